import { createHash } from 'node:crypto';
import { eachBit, newBits, setBit } from './agreement-bits.ts';
import { type Digest, ECHO_BLOCK_SLOTS, type EchoBlock, type SlotDigest } from './messages/agreement.ts';

/** From so many PoPs on, ECHO tells its ids by their digest: explicit pairs would be most of what is sent. */
export const COMPACT_ABOVE = 64;
/** Blocks of one sender that wait for PROPOSEs, by block; ECHO grows in a few steps at a height. */
const WAITING = 8;
/** Digests remembered; honest senders' blocks differ little, and others are not to fill the memory. */
const DIGESTS = 1_024;

function digestOf(height: number, block: number, ids: readonly Digest[]): Digest {
  const place = Buffer.alloc(12);
  place.writeBigUInt64BE(BigInt(height));
  place.writeUInt32BE(block, 8);
  const hash = createHash('sha256').update(place);
  for (const id of ids) hash.update(id, 'hex');
  return hash.digest('hex');
}

/** The compact form of an ECHO. */
export function blocksOf(height: number, echoes: readonly SlotDigest[]): EchoBlock[] {
  const byBlock = new Map<number, SlotDigest[]>();
  for (const echo of echoes) {
    const block = Math.floor(echo[0] / ECHO_BLOCK_SLOTS);
    const same = byBlock.get(block);
    if (same) same.push(echo);
    else byBlock.set(block, [echo]);
  }
  return [...byBlock].map(([block, pairs]): EchoBlock => {
    const slots = newBits(ECHO_BLOCK_SLOTS);
    for (const [slot] of pairs) setBit(slots, slot % ECHO_BLOCK_SLOTS);
    const ids = pairs.sort(([a], [b]) => a - b).map(([, id]) => id);
    return [block, slots, digestOf(height, block, ids)];
  });
}

interface Waiting {
  readonly sender: number;
  readonly slots: readonly number[];
  readonly hash: Digest;
}
/** What a sender is now known to vouch for. */
export type Opened = readonly [sender: number, echoes: readonly SlotDigest[]];

/**
 * Opens compact ECHOs with the ids that were proposed to this PoP. A block waits until all of them are known. If they
 * are not what the sender vouches for, as when a PoP proposed two things, it counts for nothing: the sender's next
 * resend names the ids.
 */
export class EchoBlocks {
  readonly #height: number;
  readonly #size: number;
  readonly #known: (slot: number) => Digest | undefined;
  readonly #waiting = new Map<number, Waiting[]>();
  /** Digests by block and slots: most senders vouch for the same. */
  readonly #digests = new Map<string, Digest>();

  /** `known`: the id of a slot's proposal, as vouched for or else heard first; once known it stays. */
  constructor(height: number, size: number, known: (slot: number) => Digest | undefined) {
    this.#height = height;
    this.#size = size;
    this.#known = known;
  }

  take(sender: number, blocks: readonly EchoBlock[]): Opened[] {
    const opened: Opened[] = [];
    for (const [block, bits, hash] of blocks) {
      const slots: number[] = [];
      eachBit(bits, ECHO_BLOCK_SLOTS, (bit) => slots.push(block * ECHO_BLOCK_SLOTS + bit));
      if (slots.length === 0 || slots.at(-1)! >= this.#size) continue;
      const one: Waiting = { sender, slots, hash };
      if (slots.every((slot) => this.#known(slot) !== undefined)) opened.push(...this.#open(block, one));
      else this.#wait(block, one);
    }
    return opened;
  }

  /** The id of a slot is known now. */
  proposed(slot: number): Opened[] {
    const block = Math.floor(slot / ECHO_BLOCK_SLOTS);
    const waiting = this.#waiting.get(block);
    if (!waiting) return [];
    const opened: Opened[] = [];
    const left = waiting.filter((one) => {
      if (one.slots.some((each) => this.#known(each) === undefined)) return true;
      opened.push(...this.#open(block, one));
      return false;
    });
    this.#waiting.set(block, left);
    return opened;
  }

  #open(block: number, { sender, slots, hash }: Waiting): Opened[] {
    const echoes = slots.map((slot): SlotDigest => [slot, this.#known(slot)!]);
    const key = `${block} ${slots.join()}`;
    let digest = this.#digests.get(key);
    if (digest === undefined) {
      const ids = echoes.map(([, id]) => id);
      digest = digestOf(this.#height, block, ids);
      if (this.#digests.size < DIGESTS) this.#digests.set(key, digest);
    }
    return digest === hash ? [[sender, echoes]] : [];
  }

  #wait(block: number, one: Waiting): void {
    const waiting = this.#waiting.get(block) ?? [];
    const own = waiting.filter(({ sender }) => sender === one.sender);
    if (own.length >= WAITING) waiting.splice(waiting.indexOf(own[0]!), 1);
    waiting.push(one);
    this.#waiting.set(block, waiting);
  }
}
