import type { KeyObject } from 'node:crypto';
import { type GossipSub, gossipsub } from '@chainsafe/libp2p-gossipsub';
import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import { type Identify, identify } from '@libp2p/identify';
import type { Connection, Libp2p, PeerId } from '@libp2p/interface';
import { noise } from '@libp2p/noise';
import { tcp } from '@libp2p/tcp';
import { tls } from '@libp2p/tls';
import { createLibp2p } from 'libp2p';
import type { Genesis } from '../../protocol/genesis.ts';
import type { PopId } from '../../protocol/ids.ts';
import { gossipOptions } from './gossip.ts';
import { openingAtOnce } from './gossip-streams.ts';
import { gated } from './libp2p-gate.ts';
import { guardedYamux } from './libp2p-muxer.ts';

/** Connections in all: links, those on demand and strangers that wait. */
const CONNECTIONS = 1024;
/** A cluster may start all at once, and a local one does so from one address. */
const INBOUND_PER_SECOND_AND_HOST = 256;
const PENDING_INBOUND = 128;
const PARALLEL_DIALS = 32;
export const DIAL_MS = 10_000;
/** Yamux's per-stream buffers. The read buffer must hold a full window, or a paused stream would be reset. */
const WINDOW_BYTES = 4 << 20;
const READ_BUFFER_BYTES = 8 << 20;
const WRITE_BUFFER_BYTES = 16 << 20;

export type Node = Libp2p<{ identify: Identify; pubsub: GossipSub }>;

export interface NodeOptions {
  readonly privateKey: KeyObject;
  readonly listen: readonly string[];
  readonly announce: readonly string[];
  readonly genesis: Genesis;
}

/** libp2p as Presage needs it, not started yet: limits raised, every service behind the gate. */
export function createNode(
  options: NodeOptions,
  gate: {
    readonly accepts: (connection: Connection) => boolean;
    readonly refused: () => void;
    readonly isBanned: (pop: PopId) => boolean;
  },
): Promise<Node> {
  const { accepts, refused } = gate;
  const banned = (peer: PeerId) => gate.isBanned(peer.toString() as PopId);
  return createLibp2p({
    privateKey: libp2pKey(options.privateKey),
    addresses: { listen: [...options.listen], announce: [...options.announce] },
    transports: [tcp({ dialOpts: { noDelay: true }, listenOpts: { noDelay: true } })],
    connectionEncrypters: [tls(), noise()],
    streamMuxers: [
      guardedYamux({
        streamOptions: {
          maxStreamWindowSize: WINDOW_BYTES,
          maxReadBufferLength: READ_BUFFER_BYTES,
          maxWriteBufferLength: WRITE_BUFFER_BYTES,
        },
      }),
    ],
    // Its pings abort connections when our event loop is late; our own pulse knows better.
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: CONNECTIONS,
      inboundConnectionThreshold: INBOUND_PER_SECOND_AND_HOST,
      maxIncomingPendingConnections: PENDING_INBOUND,
      maxParallelDials: PARALLEL_DIALS,
      dialTimeout: DIAL_MS,
      // Redialling is ours: libp2p gives up after a few tries.
      reconnectRetries: 0,
    },
    connectionGater: {
      denyDialMultiaddr: () => false,
      denyInboundEncryptedConnection: banned,
      denyOutboundEncryptedConnection: banned,
    },
    services: {
      identify: gated(identify({ runOnConnectionOpen: false }), accepts, refused),
      pubsub: gated(openingAtOnce(gossipsub(gossipOptions(options.genesis))), accepts, refused),
    },
    start: false,
  });
}

/** libp2p wants the seed and the public key in one. */
function libp2pKey(key: KeyObject) {
  const { d, x } = key.export({ format: 'jwk' });
  return privateKeyFromRaw(
    Buffer.concat([Buffer.from(d ?? '', 'base64url'), Buffer.from(x ?? '', 'base64url')]),
  );
}
