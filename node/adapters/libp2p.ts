import type { KeyObject } from 'node:crypto';
import type { Connection, PeerId } from '@libp2p/interface';
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr';
import { ADMIT_DEADLINE_MS, ADMIT_FRAME_BYTES, ADMIT_PROTOCOL } from '../../protocol/admission.ts';
import type { Certificate } from '../../protocol/certificate.ts';
import { PresageError } from '../../protocol/errors.ts';
import type { Genesis } from '../../protocol/genesis.ts';
import type { PopId } from '../../protocol/ids.ts';
import { isCardAddress } from '../../protocol/peer-card.ts';
import { popIdOf } from '../../protocol/pop-key.ts';
import type { Clock, Gossip, Log, Metrics, Peers, Random, Streams } from '../../protocol/ports.ts';
import { createAdmission } from './admission.ts';
import { createGossip } from './gossip.ts';
import { createDirectory } from './libp2p-directory.ts';
import { createNode, DIAL_MS } from './libp2p-node.ts';
import { createPulse } from './libp2p-pulse.ts';
import { createRedial } from './redial.ts';
import { createLanes } from './streams.ts';

const EXCHANGE_DEADLINE_MS = 10_000;
/** Identify can cross the other side's last admission step, and is tried again. */
const IDENTIFY_TRIES = 5;
const IDENTIFY_RETRY_MS = 200;
/** Beats between two exchanges of cards with a random peer. */
const EXCHANGE_BEATS = 6;
/** A certificate that runs out sooner is warned of, once a day. */
const RENEW_MS = 14 * 86_400_000;
const DAY_MS = 86_400_000;
/** Beats that a connected peer may lack gossip before its connection is made anew. */
const DEAF_BEATS = 3;

export interface NetworkOptions {
  /** The PoP's Ed25519 private key. */
  readonly privateKey: KeyObject;
  readonly certificate: Uint8Array;
  /** The operator's public key, 32 raw bytes. */
  readonly operatorKey: Uint8Array;
  readonly genesis: Genesis;
  /** Multiaddrs to listen on, for example `/ip4/0.0.0.0/tcp/4101`. */
  readonly listen: readonly string[];
  /** Multiaddrs under which others reach this PoP, if they are not those it listens on. */
  readonly announce?: readonly string[];
  readonly bootstrap?: readonly string[];
  readonly revocations?: Uint8Array;
  /** Cards of PoPs known from before a restart; what is not valid any more is passed over. */
  readonly known?: readonly Uint8Array[];
}
export interface NetworkDeps {
  readonly log: Log;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly random: Random;
  /** A PoP's card has become known or newer; kept by the caller, it shortens the next start. */
  readonly onCard?: (pop: PopId, card: Uint8Array) => void;
  /** A newer revocation list has come from a peer or by `revoke`; to be kept by the caller. */
  readonly onRevocations?: (list: Uint8Array) => void;
}

/** The network as actors see it: three ports and the cluster's certificates. */
export interface Network {
  readonly self: PopId;
  readonly gossip: Gossip;
  readonly streams: Streams;
  readonly peers: Peers;
  readonly certificate: Certificate;
  /** The valid certificate of a PoP, connected or only heard of; also one's own. */
  certificateOf(peer: PopId): Certificate | undefined;
  /** All PoPs with a valid certificate that are known here, without this one. */
  known(): readonly PopId[];
  /** Multiaddrs for a bootstrap list, with the peer id. */
  addresses(): readonly string[];
  addBootstrap(address: string): void;
  /** Adopts a revocation list if it is newer, and closes the connections of those it names. Throws `ADMIT_CERTIFICATE`. */
  revoke(list: Uint8Array): void;
  close(): Promise<void>;
}

/**
 * Starts libp2p; resolves when it listens. Connections to the bootstrap list follow by themselves. Fails with
 * `ADMIT_CERTIFICATE` or `ADMIT_IDENTITY` if the own certificate is not this PoP's, with `CONFIG_INVALID` if none of the addresses can be listened on.
 */
export async function startNetwork(options: NetworkOptions, deps: NetworkDeps): Promise<Network> {
  const { metrics, clock, random } = deps;
  const log = deps.log.child({ area: 'network' });
  const self = popIdOf(options.privateKey);
  const { operatorKey, genesis } = options;
  const watchers = new Set<(peer: PopId, up: boolean) => void>();
  /** Ready connections by peer; two when both sides dialled at once. */
  const links = new Map<PopId, Connection[]>();
  const deaf = new Map<PopId, number>();
  let closing = false;
  let beats = 0;
  let warnedAt = 0;

  const directory = createDirectory(
    { self, privateKey: options.privateKey, certificate: options.certificate, operatorKey, genesis },
    {
      now: () => clock.now(),
      learned: ({ certificate, addresses }, bytes) => {
        redial.learn(certificate.pop, addresses);
        deps.onCard?.(certificate.pop, bytes);
      },
      revoked: (pops, list) => {
        for (const pop of pops) expel(pop, new PresageError('ADMIT_REVOKED'));
        if (pops.length > 0) log.warn('identities revoked', { pops });
        deps.onRevocations?.(list);
        for (const peer of links.keys()) void exchange(peer);
      },
    },
  );
  const certificate = directory.own;

  const notify = (peer: PopId, up: boolean) => {
    metrics.gauge('presage_peers_connected', links.size);
    log.info(up ? 'peer connected' : 'peer lost', { peer, name: directory.certificateOf(peer)?.name });
    for (const watcher of watchers) watcher(peer, up);
  };
  const gate = createAdmission(
    { certificate: options.certificate, self },
    {
      log,
      metrics,
      clock,
      check: (bytes, remote) => directory.check(bytes, remote),
      ready: (connection) => {
        const peer = popOf(connection.remotePeer);
        const before = links.get(peer) ?? [];
        links.set(peer, [...before, connection]);
        void meet(connection);
        if (before.length > 0) return;
        redial.up(peer);
        pulse.up(peer);
        notify(peer, true);
        void exchange(peer);
      },
      lost: (connection) => {
        const peer = popOf(connection.remotePeer);
        lanes.dropped(connection);
        const left = (links.get(peer) ?? []).filter(({ id }) => id !== connection.id);
        if (left.length > 0) {
          links.set(peer, left);
          // Gossipsub's stream may have gone with it; identifying anew makes it open another.
          void meet(left[0]!);
          return;
        }
        links.delete(peer);
        deaf.delete(peer);
        pulse.down(peer);
        if (closing) return;
        notify(peer, false);
        redial.down(peer);
      },
    },
  );

  const node = await createNode(
    { privateKey: options.privateKey, listen: options.listen, announce: options.announce ?? [], genesis },
    {
      accepts: (connection) => gate.accepts(connection),
      refused: () => metrics.count('presage_streams_refused_total'),
      isBanned: (pop) => directory.isRevoked(pop),
    },
  );
  const pubsub = node.services.pubsub;

  const lanes = await createLanes(node, {
    clock,
    metrics,
    accepts: (connection) => gate.accepts(connection),
    connectionTo: (peer) => links.get(peer)?.find(({ status }) => status === 'open'),
    reach: (peer) => redial.reach(peer),
  });
  const redial = createRedial(self, {
    clock,
    random,
    log,
    isConnected: (pop) => links.has(pop),
    dial: async (addresses, pop) => {
      const connection = await node.dial(
        addresses.map((address) => withPeer(address, pop)),
        { signal: AbortSignal.timeout(DIAL_MS) },
      );
      const peer = popOf(connection.remotePeer);
      if (peer !== self) await admitted(connection);
      return peer;
    },
  });
  const pulse = createPulse({
    clock,
    random,
    connected: () => [...links.keys()],
    ping: (peer, deadlineMs) => lanes.call(peer, 'pulse', new Uint8Array(), { deadlineMs }),
    lastHeard: lanes.lastHeard,
    dead: (peer) => expel(peer, new PresageError('PEER_TIMEOUT', 'nothing heard from the peer')),
    beat: () => repair(),
  });
  const gossip = createGossip(pubsub, genesis, {
    log,
    metrics,
    monotonic: () => clock.monotonic(),
    isCertified: (author) => directory.certificateOf(author) !== undefined,
  });

  const expel = (pop: PopId, error: PresageError) => {
    if (error.code === 'ADMIT_REVOKED') redial.forget(pop);
    gate.expel(pop, error);
  };
  /** Resolves once a connection is ready; dialling succeeds before admission does. */
  const admitted = (connection: Connection) =>
    new Promise<void>((resolve, reject) => {
      const began = clock.monotonic();
      const look = () => {
        if (gate.isReady(connection)) resolve();
        else if (connection.status !== 'open') reject(new PresageError('PEER_REFUSED', 'not admitted'));
        else if (clock.monotonic() - began > ADMIT_DEADLINE_MS) reject(new PresageError('ADMIT_TIMEOUT'));
        else clock.after(10, look);
      };
      look();
    });
  /** Identify fires libp2p's topologies: only then does gossipsub hear of the peer. */
  const meet = async (connection: Connection) => {
    for (let attempt = 1; attempt <= IDENTIFY_TRIES && connection.status === 'open'; attempt += 1) {
      try {
        await node.services.identify.identify(connection);
        return;
      } catch (error) {
        log.debug('identify failed', {
          peer: popOf(connection.remotePeer),
          reason: (error as Error).message,
        });
        await new Promise<void>((resolve) => clock.after(IDENTIFY_RETRY_MS * attempt, resolve));
      }
    }
  };
  const exchange = async (peer: PopId) => {
    try {
      const reply = await lanes.call(peer, 'peers', directory.exchange(false), {
        deadlineMs: EXCHANGE_DEADLINE_MS,
      });
      take(peer, reply);
    } catch (error) {
      log.debug('peer exchange failed', { peer, reason: (error as Error).message });
    }
  };
  const take = (peer: PopId, message: Uint8Array) => {
    for (const error of directory.receive(message)) {
      metrics.count('presage_errors_total', { code: error.code });
      log.debug('peer card refused', { peer, code: error.code });
    }
  };
  lanes.handle('peers', async (from, request) => {
    take(from, request);
    return directory.exchange(true);
  });
  lanes.handle('pulse', async () => new Uint8Array());

  /** Periodic: certificates that ran out, gossip that lost a peer, PoPs that nobody has told us of. */
  const repair = () => {
    for (const pop of directory.expire()) expel(pop, new PresageError('ADMIT_EXPIRED'));
    const gossiping = new Set(pubsub.getPeers().map(popOf));
    for (const [peer, connections] of links) {
      const outbound = connections.some(({ streams }) =>
        streams.some(
          ({ direction, protocol }) => direction === 'outbound' && protocol.startsWith('/meshsub/'),
        ),
      );
      if (outbound && gossiping.has(peer)) {
        deaf.delete(peer);
        continue;
      }
      const missed = (deaf.get(peer) ?? 0) + 1;
      deaf.set(peer, missed);
      if (missed >= DEAF_BEATS) gate.expel(peer, new PresageError('PEER_TIMEOUT', 'no gossip with the peer'));
      else if (connections[0]) void meet(connections[0]);
    }
    beats += 1;
    if (certificate.expiry - clock.now() < RENEW_MS && clock.now() - warnedAt > DAY_MS) {
      warnedAt = clock.now();
      log.warn('the certificate of this PoP expires soon; renew it with `presage keys pop --key`', {
        expiry: new Date(certificate.expiry).toISOString(),
      });
    }
    if (beats % EXCHANGE_BEATS !== 0) return;
    const peers = [...links.keys()];
    const any = peers[random.uint32() % Math.max(1, peers.length)];
    if (any) void exchange(any);
  };

  await node.handle(
    ADMIT_PROTOCOL,
    (stream, connection) => {
      stream.maxReadBufferLength = 4 * ADMIT_FRAME_BYTES;
      gate.handle(stream, connection);
    },
    { maxInboundStreams: 1, maxOutboundStreams: 1 },
  );
  node.addEventListener('connection:open', ({ detail }) => gate.opened(detail));
  node.addEventListener('connection:close', ({ detail }) => {
    const wasAccepted = gate.accepts(detail);
    gate.closed(detail);
    // libp2p remembers whoever connects; strangers must not fill memory.
    if (!wasAccepted) void forgetStranger(detail.remotePeer);
  });
  const forgetStranger = async (peer: PeerId) => {
    if (links.has(popOf(peer))) return;
    await node.peerStore.delete(peer).catch(() => undefined);
  };
  // Before the first connection: whom the operator has shut out must not slip in while we start.
  if (options.revocations) directory.revoke(options.revocations);
  try {
    await node.start();
  } catch (error) {
    pulse.close();
    await node.stop();
    throw new PresageError(
      'CONFIG_INVALID',
      `p2p.listen: cannot listen on ${options.listen.join(', ')}: ${(error as Error).message}`,
      {},
      error,
    );
  }
  const own = (options.announce?.length ? [...options.announce] : node.getMultiaddrs().map(String)).map(
    (address) => address.replace(/\/p2p\/[^/]+$/, ''),
  );
  directory.setOwn(cardAddresses(own));
  for (const card of options.known ?? []) {
    try {
      directory.learn(card);
    } catch (error) {
      log.debug('a remembered card is not valid any more', { reason: (error as Error).message });
    }
  }
  for (const address of options.bootstrap ?? []) redial.addBootstrap(address);

  return {
    self,
    gossip,
    streams: { call: lanes.call, handle: lanes.handle },
    peers: {
      self,
      connected: () => [...links.keys()],
      roundTripMs: pulse.roundTripMs,
      watch(listener) {
        watchers.add(listener);
        return () => void watchers.delete(listener);
      },
    },
    certificate,
    certificateOf: (peer) => (peer === self ? certificate : directory.certificateOf(peer)),
    known: directory.known,
    addresses: () => own.map((address) => `${address}/p2p/${self}`),
    addBootstrap: redial.addBootstrap,
    revoke: (list) => void directory.revoke(list),
    async close() {
      closing = true;
      redial.close();
      pulse.close();
      await node.stop();
    },
  };
}

const popOf = (peer: PeerId): PopId => peer.toString() as PopId;

/** Loopback says nothing to another machine; it is told only where there is nothing else. */
function cardAddresses(own: readonly string[]): string[] {
  const fit = own.filter(isCardAddress);
  const outside = fit.filter((address) => !/^\/(ip4\/127\.|ip6\/::1\/|ip6\/fe80:)/.test(address));
  return outside.length > 0 ? outside : fit;
}

function withPeer(address: string, pop: PopId | undefined): Multiaddr {
  return multiaddr(pop === undefined || address.includes('/p2p/') ? address : `${address}/p2p/${pop}`);
}
