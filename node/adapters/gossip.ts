import type { GossipSub, GossipsubOpts, Message, PublishResult } from '@chainsafe/libp2p-gossipsub';
import { TopicValidatorResult } from '@chainsafe/libp2p-gossipsub';
import { coded, PresageError } from '../../protocol/errors.ts';
import { type Genesis, genesis8 } from '../../protocol/genesis.ts';
import type { PopId } from '../../protocol/ids.ts';
import {
  type Gossip,
  type GossipReceiver,
  type Log,
  type Metrics,
  TOPICS,
  type TopicName,
  type Verdict,
} from '../../protocol/ports.ts';

/** An RPC may carry all that a peer missed in five heartbeats; summaries of a whole cluster are at most 8 MiB. */
const RPC_BYTES = 10 << 20;
/** What may wait for one slow peer before its stream is given up; streams repair what it missed. */
const OUTBOUND_BYTES = 16 << 20;

/** Peers outside the mesh that a heartbeat tells which messages are here. */
const LAZY_PEERS = 3;
/** A message is so long that the mesh is told to send no other copy: a summary, a body. */
const DECLINED_BYTES = 4096;

/** Messages that one author may send on one topic: what a purge storm or a flash crowd needs, with room. */
const AUTHOR_PER_SECOND = 200;
const AUTHOR_BURST = 2_000;

const NAMES = Object.keys(TOPICS) as TopicName[];
/** `/presage/<topic id>/<genesis8>` */
export const topicName = (topic: TopicName, genesis: Genesis): string =>
  `/presage/${TOPICS[topic].id}/${genesis8(genesis)}`;

/** Options of gossipsub; each departs from its default for the reason beside it. */
export function gossipOptions(genesis: Genesis): Partial<GossipsubOpts> {
  return {
    // Only topics marked `flood` go to every subscriber; that is said publication by publication.
    floodPublish: false,
    fallbackToFloodsub: false,
    allowedTopics: NAMES.map((topic) => topicName(topic, genesis)),
    // A lone PoP publishes too; peers that come later reconcile over streams.
    allowPublishToZeroTopicPeers: true,
    emitSelf: false,
    globalSignaturePolicy: 'StrictSign',
    // Most copies of a message are not the first. Without a name to know them by, each one's signature is verified,
    // which was the largest share of a PoP's CPU; a name is remembered only once its signature was found good.
    fastMsgIdFn: ({ signature }) => Buffer.from(signature ?? []).toString('latin1'),
    msgIdToStrFn: (id) => Buffer.from(id.buffer, id.byteOffset, id.length).toString('latin1'),
    // Gossip need not be certain: agreement says everything again, purges and versions are compared over streams. By
    // default a quarter of all peers outside the mesh is told of every message in three heartbeats, which among 300
    // PoPs is more than the messages themselves.
    Dlazy: LAZY_PEERS,
    gossipFactor: 0,
    // To decline a copy costs a frame to each of the mesh, as the copy does; it has to be worth it.
    idontwantMinDataSize: DECLINED_BYTES,
    maxInboundDataLength: RPC_BYTES,
    maxOutboundBufferSize: OUTBOUND_BYTES,
    doPX: false,
    // Peers are certified, so many on one address are no Sybils: clusters behind one address are ordinary.
    scoreParams: {
      IPColocationFactorWeight: 0,
      topics: Object.fromEntries(
        NAMES.map((topic) => [
          topicName(topic, genesis),
          {
            topicWeight: 1,
            timeInMeshWeight: 0,
            timeInMeshQuantum: 1000,
            timeInMeshCap: 0,
            firstMessageDeliveriesWeight: 0,
            firstMessageDeliveriesDecay: 0.5,
            firstMessageDeliveriesCap: 1,
            // Quiet topics would punish everybody in the mesh.
            meshMessageDeliveriesWeight: 0,
            meshMessageDeliveriesDecay: 0.5,
            meshMessageDeliveriesCap: 1,
            meshMessageDeliveriesThreshold: 1,
            meshMessageDeliveriesWindow: 10,
            meshMessageDeliveriesActivation: 5000,
            meshFailurePenaltyWeight: 0,
            meshFailurePenaltyDecay: 0.5,
            // A peer that forwards what no correct PoP forwards is heard no more after some ten messages.
            invalidMessageDeliveriesWeight: -1,
            invalidMessageDeliveriesDecay: 0.9,
          },
        ]),
      ),
    },
  };
}

/** gossipsub 17 takes options per publication, though its public type does not say so. */
interface OptionPublish {
  publish(topic: string, data: Uint8Array, options: { floodPublish: boolean }): Promise<PublishResult>;
}

export interface GossipDeps {
  readonly log: Log;
  readonly metrics: Metrics;
  /** Monotonic ms. */
  readonly monotonic: () => number;
  /** Whether the author has a valid certificate that is known here. */
  readonly isCertified: (author: PopId) => boolean;
}

/** The port `Gossip` over gossipsub. */
export function createGossip(pubsub: GossipSub, genesis: Genesis, deps: GossipDeps): Gossip {
  const { metrics, log } = deps;
  const receivers = new Map<TopicName, GossipReceiver>();

  const buckets = new Map<string, { tokens: number; at: number }>();
  /** Authors are certified PoPs, so that the buckets are few. */
  const withinRate = (topic: TopicName, author: PopId): boolean => {
    const now = deps.monotonic();
    const key = `${topic} ${author}`;
    const bucket = buckets.get(key) ?? { tokens: AUTHOR_BURST, at: now };
    buckets.set(key, bucket);
    bucket.tokens = Math.min(AUTHOR_BURST, bucket.tokens + ((now - bucket.at) * AUTHOR_PER_SECOND) / 1000);
    bucket.at = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  };

  const judge = async (topic: TopicName, message: Message): Promise<Verdict> => {
    if (message.type !== 'signed') return { verdict: 'reject', code: 'WIRE_SIGNATURE' };
    const author = message.from.toString() as PopId;
    // Ignored, not rejected: the forwarder may know a certificate that has not come here yet.
    if (!deps.isCertified(author)) return { verdict: 'ignore', code: 'PEER_UNKNOWN' };
    if (message.data.length > TOPICS[topic].maxBytes) return { verdict: 'reject', code: 'WIRE_TOO_LARGE' };
    if (!withinRate(topic, author)) return { verdict: 'ignore', code: 'PEER_BUSY' };
    const receive = receivers.get(topic);
    if (!receive) return { verdict: 'ignore', code: 'ACTOR_STOPPED' };
    try {
      return await receive(author, message.data);
    } catch (thrown) {
      const error = coded(thrown);
      log.error('a gossip receiver failed', { topic, author, code: error.code, reason: error.message });
      return { verdict: 'ignore', code: error.code };
    }
  };
  for (const topic of NAMES) {
    pubsub.topicValidators.set(topicName(topic, genesis), async (_forwarder, message) => {
      const verdict = await judge(topic, message);
      const result = verdict.verdict === 'accept' ? 'accept' : verdict.code;
      metrics.count('presage_gossip_received_total', { topic, verdict: verdict.verdict, result });
      metrics.count('presage_gossip_received_bytes_total', { topic }, message.data.length);
      if (verdict.verdict === 'accept') return TopicValidatorResult.Accept;
      return verdict.verdict === 'reject' ? TopicValidatorResult.Reject : TopicValidatorResult.Ignore;
    });
  }

  return {
    async publish(topic, bytes) {
      const { maxBytes, flood } = TOPICS[topic];
      if (bytes.length > maxBytes) {
        throw new PresageError('WIRE_TOO_LARGE', `${topic}: ${bytes.length} bytes, at most ${maxBytes}`);
      }
      // Copied: gossipsub keeps it for several heartbeats, and the caller may reuse its buffer.
      const data = new Uint8Array(bytes);
      const { recipients } = await (pubsub as unknown as OptionPublish).publish(
        topicName(topic, genesis),
        data,
        { floodPublish: flood },
      );
      metrics.count('presage_gossip_published_total', { topic });
      metrics.count('presage_gossip_published_bytes_total', { topic }, data.length * recipients.length);
    },
    subscribe(topic, receive) {
      receivers.set(topic, receive);
      pubsub.subscribe(topicName(topic, genesis));
    },
  };
}
