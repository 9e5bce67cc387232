import type { Connection, Libp2p, Stream } from '@libp2p/interface';
import { PresageError } from '../../protocol/errors.ts';
import type { PopId } from '../../protocol/ids.ts';
import { CARD_BYTES } from '../../protocol/peer-card.ts';
import {
  type CallOptions,
  type Clock,
  type Metrics,
  PROTOCOLS,
  type ProtocolName,
} from '../../protocol/ports.ts';
import { REVOCATION_BYTES } from '../../protocol/revocation.ts';
import { serveLane } from './streams-answerer.ts';
import { type Caller, createCaller } from './streams-caller.ts';

/** Bounds of one unary protocol, as in `PROTOCOLS`. */
export interface LaneSpec {
  readonly id: string;
  readonly maxRequestBytes: number;
  readonly maxReplyBytes: number;
  /** Calls that one peer may have outstanding. */
  readonly concurrency: number;
}

/** Protocols of the network layer itself. */
export const INNER_PROTOCOLS = {
  /** Certificates and addresses of known PoPs, and the newest revocation list. */
  peers: {
    id: '/presage/peers/1',
    maxRequestBytes: CARD_BYTES + REVOCATION_BYTES + 64,
    maxReplyBytes: 1 << 20,
    concurrency: 2,
  },
  /** Round trips; an empty request, an empty answer. */
  pulse: { id: '/presage/pulse/1', maxRequestBytes: 0, maxReplyBytes: 0, concurrency: 2 },
} as const;
export type AnyProtocol = ProtocolName | keyof typeof INNER_PROTOCOLS;
const SPECS: Readonly<Record<AnyProtocol, LaneSpec>> = { ...PROTOCOLS, ...INNER_PROTOCOLS };

/** Calls of one protocol in work for all peers together, in multiples of its concurrency. */
const TOTAL_FACTOR = 8;
/** A lane, and a second while a lost one is being replaced. */
const LANES_PER_CONNECTION = 2;

export interface Lanes {
  call(peer: PopId, protocol: AnyProtocol, request: Uint8Array, options: CallOptions): Promise<Uint8Array>;
  handle(protocol: AnyProtocol, handler: (from: PopId, request: Uint8Array) => Promise<Uint8Array>): void;
  /** Ends all lanes of a connection that is gone. */
  dropped(connection: Connection): void;
  /** Monotonic ms at which a byte last came over any lane from the peer. */
  lastHeard(peer: PopId): number | undefined;
}

export interface LaneDeps {
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Whether streams of a connection may be taken. */
  readonly accepts: (connection: Connection) => boolean;
  /** A connection over which streams may be opened. */
  readonly connectionTo: (peer: PopId) => Connection | undefined;
  /** Tries to reach a known peer that is not connected. */
  readonly reach: (peer: PopId, deadlineMs: number) => Promise<void>;
}

/** Registers every protocol with libp2p and keeps one lane per (connection, protocol) and direction. */
export async function createLanes(node: Libp2p, deps: LaneDeps): Promise<Lanes> {
  const { clock, metrics } = deps;
  const callers = new Map<string, Map<AnyProtocol, Caller>>();
  const handlers = new Map<AnyProtocol, (from: PopId, request: Uint8Array) => Promise<Uint8Array>>();
  const inWork = new Map<AnyProtocol, number>();
  const lastHeard = new Map<PopId, number>();

  const heard = (peer: PopId) => lastHeard.set(peer, clock.monotonic());
  const count = (protocol: AnyProtocol, side: string, result: string) =>
    metrics.count('presage_peer_calls_total', { protocol, side, result });
  const transferred = (protocol: AnyProtocol, direction: string, bytes: number) =>
    metrics.count('presage_peer_bytes_total', { protocol, direction }, bytes);
  const enter = (protocol: AnyProtocol) => {
    const now = inWork.get(protocol) ?? 0;
    if (now >= TOTAL_FACTOR * SPECS[protocol].concurrency) return undefined;
    inWork.set(protocol, now + 1);
    return () => void inWork.set(protocol, (inWork.get(protocol) ?? 1) - 1);
  };
  const violation = (error: PresageError) => metrics.count('presage_errors_total', { code: error.code });

  const incoming = (protocol: AnyProtocol) => (stream: Stream, connection: Connection) => {
    if (!deps.accepts(connection)) {
      metrics.count('presage_streams_refused_total');
      stream.abort(new PresageError('PEER_UNKNOWN', 'not admitted'));
      return;
    }
    const from = connection.remotePeer.toString() as PopId;
    serveLane(stream, SPECS[protocol], {
      enter: () => enter(protocol),
      answer: (request) => handlers.get(protocol)?.(from, request),
      heard: (bytes) => {
        heard(from);
        transferred(protocol, 'requests', bytes);
      },
      answered: (result) => count(protocol, 'answered', result),
      violation,
    });
  };
  for (const protocol of Object.keys(SPECS) as AnyProtocol[]) {
    await node.handle(SPECS[protocol].id, incoming(protocol), {
      maxInboundStreams: LANES_PER_CONNECTION,
      maxOutboundStreams: LANES_PER_CONNECTION,
    });
  }

  const callerOn = (connection: Connection, peer: PopId, protocol: AnyProtocol): Caller => {
    const lanes = callers.get(connection.id) ?? new Map<AnyProtocol, Caller>();
    callers.set(connection.id, lanes);
    const present = lanes.get(protocol);
    if (present) return present;
    const caller = createCaller(connection, SPECS[protocol], {
      clock,
      heard: (bytes) => {
        heard(peer);
        transferred(protocol, 'replies', bytes);
      },
      violation,
    });
    lanes.set(protocol, caller);
    return caller;
  };

  return {
    async call(peer, protocol, request, options) {
      const spec = SPECS[protocol];
      const began = clock.monotonic();
      try {
        if (request.length > spec.maxRequestBytes) {
          throw new PresageError('WIRE_TOO_LARGE', `${spec.id}: a request of ${request.length} bytes`);
        }
        let connection = deps.connectionTo(peer);
        if (connection === undefined) {
          await deps.reach(peer, options.deadlineMs);
          connection = deps.connectionTo(peer);
          if (connection === undefined) throw new PresageError('PEER_UNKNOWN');
        }
        const deadlineMs = options.deadlineMs - (clock.monotonic() - began);
        if (deadlineMs <= 0) throw new PresageError('PEER_TIMEOUT');
        const reply = await callerOn(connection, peer, protocol).call(request, { ...options, deadlineMs });
        count(protocol, 'called', 'OK');
        metrics.observe('presage_peer_call_seconds', (clock.monotonic() - began) / 1000, { protocol });
        return reply;
      } catch (error) {
        count(protocol, 'called', error instanceof PresageError ? error.code : 'INTERNAL');
        throw error;
      }
    },
    handle(protocol, handler) {
      handlers.set(protocol, handler);
    },
    dropped(connection) {
      const lanes = callers.get(connection.id);
      callers.delete(connection.id);
      for (const caller of lanes?.values() ?? []) {
        caller.close(new PresageError('PEER_UNKNOWN', 'the connection to the peer was lost'));
      }
    },
    lastHeard: (peer) => lastHeard.get(peer),
  };
}
