import { createPrivateKey, type KeyObject } from 'node:crypto';
import { genesisOf } from '../../protocol/genesis.ts';
import { decodeSummary } from '../../protocol/messages/summary.ts';
import { rawPublicKey } from '../../protocol/pop-key.ts';
import { TOPICS, type TopicName } from '../../protocol/ports.ts';
import { founderOf, Member } from '../integration/agreement/member.ts';
import type { Operator } from '../integration/network/cluster.ts';
import { summaryOf, viewOf } from './agree-demand.ts';

/** What the bench tells a process that holds some of the PoPs. */
export type Order =
  | {
      readonly type: 'open';
      /** PKCS #8 in base64: the operator's key, and the keys and certificates of all PoPs. */
      readonly operator: string;
      readonly pops: readonly { readonly key: string; readonly sealed: string }[];
      /** Which of them live here. */
      readonly own: readonly number[];
      readonly directory: string;
      readonly epochMs: number;
      readonly bootstrap: readonly string[];
    }
  | { readonly type: 'agree' }
  /** All PoPs share the summaries of an epoch. */
  | { readonly type: 'summarise'; readonly epoch: number }
  /** The window is over, and what proposals are made of is ready. */
  | { readonly type: 'propose'; readonly epoch: number }
  | { readonly type: 'count' }
  | { readonly type: 'close' };

/** What it says. Times are those of the machine's monotonic clock, ms, which processes share. */
export type Word =
  | { readonly type: 'opened'; readonly addresses: readonly string[] }
  | { readonly type: 'connected'; readonly least: number }
  | { readonly type: 'agreeing' }
  | { readonly type: 'summaries'; readonly heard: number }
  | {
      readonly type: 'decided';
      readonly pop: number;
      readonly height: number;
      readonly hash: string;
      readonly included: number;
      readonly at: number;
    }
  | {
      readonly type: 'counted';
      readonly bytes: Bytes;
      readonly messages: Messages;
      readonly cpuMs: number;
      readonly rssMiB: number;
    };

/** Bytes of payload that came in from the start, copies included, and those of streams both ways. */
export interface Bytes {
  readonly agreeGossip: number;
  readonly agreeStreams: number;
  readonly summaryGossip: number;
}
/** Gossip messages of agreement that were said, and copies of them that came in. */
export interface Messages {
  readonly said: number;
  readonly copies: number;
}

const keyOf = (pkcs8: string): KeyObject =>
  createPrivateKey({ key: Buffer.from(pkcs8, 'base64'), format: 'der', type: 'pkcs8' });
export const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;

interface RpcMessage {
  readonly topic: string;
  readonly from?: Uint8Array;
  readonly data?: Uint8Array;
  readonly seqno?: Uint8Array;
  readonly signature?: Uint8Array;
  readonly key?: Uint8Array;
}

/** Every copy of a message that gossipsub is sent: its public face shows the first one alone. */
async function countCopies(): Promise<Record<'bytes' | 'copies', (topic: TopicName) => number>> {
  const index = import.meta.resolve('@chainsafe/libp2p-gossipsub');
  const { GossipSub } = (await import(new URL('./gossipsub.js', index).href)) as {
    GossipSub: { prototype: { handleReceivedMessage(from: unknown, message: RpcMessage): unknown } };
  };
  const bytes = new Map<string, number>();
  const copies = new Map<string, number>();
  const { handleReceivedMessage } = GossipSub.prototype;
  GossipSub.prototype.handleReceivedMessage = function (from, message) {
    const topic = message.topic.replace(/^\/presage\//, '').replace(/\/[0-9a-f]{16}$/, '');
    const parts = [message.from, message.data, message.seqno, message.signature, message.key];
    const length = parts.reduce((sum, part) => sum + (part?.length ?? 0), message.topic.length);
    bytes.set(topic, (bytes.get(topic) ?? 0) + length);
    copies.set(topic, (copies.get(topic) ?? 0) + 1);
    return handleReceivedMessage.call(this, from, message);
  };
  const of = (counts: ReadonlyMap<string, number>) => (topic: TopicName) => counts.get(TOPICS[topic].id) ?? 0;
  return { bytes: of(bytes), copies: of(copies) };
}

/** A process with some PoPs of a cluster. */
class Pops {
  readonly #order: Extract<Order, { type: 'open' }>;
  readonly #members: Member[];
  readonly #operator: Operator;
  readonly #sealed: readonly Uint8Array[];
  #epoch = 0;
  /** Summaries of each epoch that have come. */
  readonly #heard = new Map<number, number>();

  constructor(order: Extract<Order, { type: 'open' }>) {
    this.#order = order;
    const key = keyOf(order.operator);
    const cluster = { operatorKey: rawPublicKey(key), name: 'bench', generation: 1 };
    this.#operator = { key, cluster, genesis: genesisOf(cluster) };
    this.#sealed = order.pops.map(({ sealed }) => new Uint8Array(Buffer.from(sealed, 'base64')));
    const { directory, epochMs, pops } = order;
    this.#members = order.own.map(
      (pop) =>
        new Member(
          {
            ...{ operator: this.#operator, key: keyOf(pops[pop]!.key), directory, epochMs },
            view: () => viewOf(pop, this.#epoch, epochMs),
            heard: ({ height, hash, included }) =>
              say({ type: 'decided', pop, height, hash, included, at: monotonicMs() }),
          },
          this.#sealed[pop],
        ),
    );
  }

  async open(): Promise<void> {
    const addresses: string[] = [];
    for (const member of this.#members) {
      const network = await member.connect([...this.#order.bootstrap, ...addresses]);
      addresses.push(...member.addresses());
      network.gossip.subscribe('agree', () => ({ verdict: 'ignore', code: 'ACTOR_STOPPED' }));
      network.gossip.subscribe('summary', (_author, bytes) => {
        const { sequence } = decodeSummary(bytes);
        this.#heard.set(sequence, (this.#heard.get(sequence) ?? 0) + 1);
        return { verdict: 'accept' };
      });
    }
    say({ type: 'opened', addresses });
    const watch = setInterval(() => {
      const counts = this.#members.map(({ network }) => network?.peers.connected().length ?? 0);
      say({ type: 'connected', least: Math.min(...counts) });
    }, 500);
    watch.unref();
  }

  async agree(): Promise<void> {
    const founders = this.#sealed.map((sealed) => founderOf(this.#operator, sealed));
    await Promise.all(this.#members.map((member) => member.start(founders)));
    say({ type: 'agreeing' });
  }

  async summarise(epoch: number): Promise<void> {
    const { own, pops, epochMs } = this.#order;
    for (const [index, member] of this.#members.entries())
      await member.network?.gossip.publish(
        'summary',
        summaryOf(own[index]!, member.self, epoch, epochMs, pops.length),
      );
    const all = this.#members.length * (pops.length - 1);
    const heard = () => this.#heard.get(epoch) ?? 0;
    for (let waited = 0; heard() < all && waited < 200; waited += 1)
      await new Promise((resolve) => setTimeout(resolve, 50));
    say({ type: 'summaries', heard: heard() / all });
  }

  propose(epoch: number): void {
    this.#epoch = epoch;
    for (const member of this.#members) member.propose();
  }

  streamBytes(): number {
    return this.#total('presage_peer_bytes_total', { protocol: 'agreeSync' });
  }

  said(): number {
    return this.#total('presage_gossip_published_total', { topic: 'agree' });
  }

  #total(name: string, labels: Record<string, string>): number {
    return this.#members.reduce((sum, { network }) => sum + (network?.metrics.total(name, labels) ?? 0), 0);
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#members.map((member) => member.stop()));
  }
}

const say = (word: Word): void => void process.send?.(word);

if (process.send) {
  const copies = await countCopies();
  let pops: Pops | undefined;
  process.on('message', async (order: Order) => {
    switch (order.type) {
      case 'open':
        pops = new Pops(order);
        return pops.open();
      case 'agree':
        return pops?.agree();
      case 'summarise':
        return pops?.summarise(order.epoch);
      case 'propose':
        return pops?.propose(order.epoch);
      case 'count': {
        const { user, system } = process.cpuUsage();
        const bytes: Bytes = {
          ...{ agreeGossip: copies.bytes('agree'), summaryGossip: copies.bytes('summary') },
          agreeStreams: pops?.streamBytes() ?? 0,
        };
        const messages: Messages = { said: pops?.said() ?? 0, copies: copies.copies('agree') };
        const rssMiB = Math.round(process.memoryUsage().rss / 2 ** 20);
        return say({ type: 'counted', bytes, messages, cpuMs: (user + system) / 1_000, rssMiB });
      }
      case 'close':
        await pops?.close();
        process.exit(0);
    }
  });
}
