import { heightKey } from './agreement-chain.ts';
import { digestOf } from './agreement-header.ts';
import type { AgreementRecords, AgreementWrite } from './agreement-steps.ts';
import { BODY_RETRY_MS } from './agreement-timing.ts';
import { type Digest, MAX_BODY_BYTES } from './messages/agreement.ts';
import type { Random } from './ports.ts';

/** Heights of which bodies are kept, the active one included. */
const KEPT_HEIGHTS = 3;
/** All bodies of one height at most. */
const HEIGHT_BYTES = 4 << 20;
/**
 * Larger bodies are pulled by those who lack them, however few PoPs there are: gossip brings every one of them several
 * copies, which at five PoPs was five times the bytes for 30 ms less.
 */
const INLINE_BYTES = 8 * 1024;

/** How long a body may be in a roster of that size. */
export const bodyLimit = (size: number): number => Math.min(MAX_BODY_BYTES, Math.floor(HEIGHT_BYTES / size));

export const isInline = (length: number): boolean => length <= INLINE_BYTES;

interface Held {
  readonly height: number;
  readonly bytes: Uint8Array;
  /** It was vouched for, so that it has to survive a crash. */
  stored: boolean;
}
interface Wanted {
  readonly slot: number;
  nextAt: number;
  tries: number;
}

/** Bodies of proposals by their digest: those held, and those that have to be fetched. */
export class Bodies {
  readonly #held = new Map<Digest, Held>();
  readonly #wanted = new Map<Digest, Wanted>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  get(id: Digest): Uint8Array | undefined {
    return this.#held.get(id)?.bytes;
  }

  hold(id: Digest, bytes: Uint8Array, height: number): void {
    this.#wanted.delete(id);
    if (!this.#held.has(id)) this.#held.set(id, { height, bytes, stored: false });
  }

  /** The write that makes a body durable, if it is not. */
  store(id: Digest): AgreementWrite[] {
    const held = this.#held.get(id);
    if (!held || held.stored) return [];
    held.stored = true;
    return [{ table: 'body', key: `${heightKey(held.height)}/${id}`, value: held.bytes }];
  }

  want(id: Digest, slot: number, now: number): void {
    if (!this.#held.has(id) && !this.#wanted.has(id)) this.#wanted.set(id, { slot, nextAt: now, tries: 0 });
  }

  /** Takes a body that was asked for. */
  receive(id: Digest, bytes: Uint8Array, height: number, limit: number): boolean {
    if (!this.#wanted.has(id) || bytes.length > limit || digestOf(bytes) !== id) return false;
    this.hold(id, bytes, height);
    return true;
  }

  get nextAt(): number {
    let at = Number.POSITIVE_INFINITY;
    for (const { nextAt } of this.#wanted.values()) at = Math.min(at, nextAt);
    return at;
  }

  /**
   * Whom to ask for what now: the proposer first, then in turn those who vouch for the body, at random. `echoers`
   * names their slots.
   */
  due(now: number, echoers: (slot: number, id: Digest) => readonly number[]): [slot: number, id: Digest][] {
    const asks: [number, Digest][] = [];
    for (const [id, wanted] of this.#wanted) {
      if (wanted.nextAt > now) continue;
      const others = echoers(wanted.slot, id);
      const pick = others[Math.floor(this.#random.float() * others.length)];
      asks.push([wanted.tries === 0 ? wanted.slot : (pick ?? wanted.slot), id]);
      wanted.tries += 1;
      wanted.nextAt = now + BODY_RETRY_MS;
    }
    return asks;
  }

  /** A new height begins: nothing is wanted any more, and what is old goes. */
  begin(height: number): AgreementWrite[] {
    this.#wanted.clear();
    const writes: AgreementWrite[] = [];
    for (const [id, held] of this.#held) {
      if (held.height > height - KEPT_HEIGHTS) continue;
      this.#held.delete(id);
      if (held.stored)
        writes.push({ table: 'body', key: `${heightKey(held.height)}/${id}`, value: undefined });
    }
    return writes;
  }

  /** Reads the disk back; returns how many records were damaged. */
  restore(records: AgreementRecords): number {
    let damaged = 0;
    for (const [key, bytes] of records.body) {
      const [height, id] = key.split('/');
      if (id !== undefined && digestOf(bytes) === id) {
        this.#held.set(id, { height: Number(height), bytes, stored: true });
      } else damaged += 1;
    }
    return damaged;
  }
}
