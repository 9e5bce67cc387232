import type { Certificate } from '../../protocol/certificate.ts';
import { codeOf, PresageError } from '../../protocol/errors.ts';
import type { PopId } from '../../protocol/ids.ts';
import { Links } from '../../protocol/links.ts';
import {
  type CallOptions,
  type GossipReceiver,
  PROTOCOLS,
  type ProtocolName,
  type Random,
  TOPICS,
  type TopicName,
} from '../../protocol/ports.ts';
import type { Network } from '../adapters/libp2p.ts';
import type { Life } from './life.ts';
import type { RevocationReader, Twist, Wiretap } from './network-hooks.ts';
import type { VirtualClock } from './virtual-clock.ts';
import type { VirtualNetwork } from './virtual-network.ts';

/** Calls to one peer that may wait for a place, as in the real lanes. */
const WAITING_CALLS = 256;
/** Until a lost or refused connection is tried again, ms. */
const REDIAL_MS = 1_000;
/** Longest time until a silent connection is taken for dead, ms. */
const SILENCE_MS = 6_000;

type Handler = (from: PopId, request: Uint8Array) => Promise<Uint8Array>;

interface Call {
  readonly from: Node;
  readonly to: Node;
  readonly fail: (error: PresageError) => void;
}

interface Lane {
  outstanding: number;
  readonly waiting: (() => void)[];
}

interface Node {
  readonly index: number;
  readonly pop: PopId;
  readonly life: Life;
  readonly certificate: Certificate;
  readonly twist: Twist | undefined;
  readonly onRevocations: ((list: Uint8Array) => void) | undefined;
  readonly receivers: Map<TopicName, GossipReceiver>;
  readonly handlers: Map<ProtocolName, Handler>;
  readonly watchers: Set<(peer: PopId, up: boolean) => void>;
  readonly links: Set<Node>;
  readonly lanes: Map<Node, Map<ProtocolName, Lane>>;
  revocations: { readonly list: Uint8Array; readonly version: number; readonly revoked: ReadonlySet<PopId> };
}

const NONE = { list: new Uint8Array(0), version: 0, revoked: new Set<PopId>() };

/**
 * The network of a simulated cluster. Gossip is a lossy, duplicating, reordering broadcast with authenticated authors;
 * calls go over connections that break where the links below them do. Bytes cross it, so that codecs and validators
 * are at work; of libp2p only what the ports promise is modelled.
 */
export class ClusterNetwork {
  readonly links: VirtualNetwork;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #read: RevocationReader;
  readonly #tap: Wiretap;
  readonly #nodes = new Map<PopId, Node>();
  readonly #cards = new Map<PopId, Certificate>();
  /** All that ever came; another list with each that is new. */
  #pops: readonly PopId[] = [];
  readonly #calls = new Set<Call>();
  readonly #dialling = new Set<number>();

  constructor(
    links: VirtualNetwork,
    deps: { clock: VirtualClock; random: Random; revocations: RevocationReader; tap?: Wiretap },
  ) {
    this.links = links;
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.#read = deps.revocations;
    this.#tap = deps.tap ?? {};
  }

  /** A PoP comes, or comes back; connections follow by themselves. */
  join(
    index: number,
    certificate: Certificate,
    life: Life,
    own: { readonly twist?: Twist | undefined; readonly onRevocations?: (list: Uint8Array) => void } = {},
  ): Network {
    const { pop } = certificate;
    const node: Node = {
      ...{ index, pop, life, certificate, twist: own.twist, onRevocations: own.onRevocations },
      ...{ receivers: new Map(), handlers: new Map(), watchers: new Set() },
      ...{ links: new Set(), lanes: new Map(), revocations: NONE },
    };
    this.#nodes.set(pop, node);
    if (!this.#cards.has(pop)) this.#pops = [...this.#pops, pop];
    this.#cards.set(pop, certificate);
    for (const other of this.#nodes.values()) if (other !== node) this.#dial(node, other);
    return this.#portsOf(node);
  }

  /** A PoP is gone: by crash in silence, or with its connections closed. */
  leave(pop: PopId, silently: boolean): void {
    const node = this.#nodes.get(pop);
    if (!node) return;
    this.#nodes.delete(pop);
    for (const other of [...node.links]) {
      const after = silently ? this.#random.float() * SILENCE_MS : 1 + this.#random.float() * 100;
      this.#clock.after(after, () => this.#unlink(node, other));
    }
  }

  /** The links below have changed: connections across a cut are noticed to be dead, sooner or later. */
  cut(): void {
    for (const node of this.#nodes.values())
      for (const other of node.links) {
        if (other.index < node.index || !this.#severed(node, other)) continue;
        this.#clock.after(this.#random.float() * SILENCE_MS, () => {
          if (this.#severed(node, other)) this.#unlink(node, other);
        });
      }
  }

  #severed(a: Node, b: Node): boolean {
    return this.links.severed(a.index, b.index) || this.links.severed(b.index, a.index);
  }

  #lives(node: Node): boolean {
    return node.life.alive && this.#nodes.get(node.pop) === node;
  }

  #dial(a: Node, b: Node): void {
    // Connections are those that the daemon chooses.
    if (!Links.among(this.#pops).of(a.pop).has(b.pop)) return;
    const pair = Math.min(a.index, b.index) * 4096 + Math.max(a.index, b.index);
    if (this.#dialling.has(pair)) return;
    this.#dialling.add(pair);
    this.#clock.after(5 + this.#random.float() * 200, () => {
      this.#dialling.delete(pair);
      const [one, other] = [this.#nodes.get(a.pop), this.#nodes.get(b.pop)];
      if (!one || !other || one.links.has(other)) return;
      const admitted = !one.revocations.revoked.has(other.pop) && !other.revocations.revoked.has(one.pop);
      if (!admitted || this.#severed(one, other)) {
        this.#clock.after(REDIAL_MS * (0.5 + this.#random.float()), () => this.#dial(one, other));
        return;
      }
      const [known, knew] = [this.#relink(one, other), this.#relink(other, one)];
      if (!known) this.#notify(one, other.pop, true);
      if (!knew) this.#notify(other, one.pop, true);
      this.#exchange(one, other);
      this.#exchange(other, one);
    });
  }

  /**
   * One end of a new connection. Whether the peer was connected already: it may have come back before its old
   * connection was found dead, which is then no news.
   */
  #relink(node: Node, peer: Node): boolean {
    const old = [...node.links].find(({ pop }) => pop === peer.pop);
    if (old) {
      node.links.delete(old);
      old.links.delete(node);
      this.#abandon(node, old);
    }
    node.links.add(peer);
    return old !== undefined;
  }

  #abandon(a: Node, b: Node): void {
    for (const call of [...this.#calls])
      if ((call.from === a && call.to === b) || (call.from === b && call.to === a))
        call.fail(new PresageError('PEER_UNKNOWN', 'the connection was lost'));
  }

  #unlink(a: Node, b: Node): void {
    if (!a.links.delete(b)) return;
    b.links.delete(a);
    this.#abandon(a, b);
    this.#notify(a, b.pop, false);
    this.#notify(b, a.pop, false);
    const redial = () => {
      const [one, other] = [this.#nodes.get(a.pop), this.#nodes.get(b.pop)];
      if (one && other) this.#dial(one, other);
    };
    this.#clock.after(REDIAL_MS * (0.5 + this.#random.float()), redial);
  }

  #notify(node: Node, peer: PopId, up: boolean): void {
    if (this.#lives(node)) for (const watcher of node.watchers) watcher(peer, up);
  }

  /** Peers tell each other of the newest list of revocations. */
  #exchange(from: Node, to: Node): void {
    const { list, version } = from.revocations;
    if (version === 0) return;
    this.links.stream(from.index, to.index, () => {
      if (this.#lives(to)) this.#revoke(to, list);
    });
  }

  #revoke(node: Node, list: Uint8Array): void {
    const { version, revoked } = this.#read.read(list);
    if (version <= node.revocations.version) return;
    node.revocations = { list, version, revoked: new Set(revoked) };
    for (const other of [...node.links]) {
      if (node.revocations.revoked.has(other.pop)) this.#unlink(node, other);
      else this.#exchange(node, other);
    }
    node.onRevocations?.(list);
  }

  #portsOf(node: Node): Network {
    const certificateOf = (pop: PopId) =>
      node.revocations.revoked.has(pop) ? undefined : this.#cards.get(pop);
    return {
      self: node.pop,
      certificate: node.certificate,
      certificateOf,
      known: () =>
        [...this.#cards.keys()].filter((pop) => pop !== node.pop && !node.revocations.revoked.has(pop)),
      addresses: () => [],
      addBootstrap: () => undefined,
      revoke: (list) => this.#revoke(node, list),
      close: async () => {
        if (this.#lives(node)) this.leave(node.pop, false);
      },
      peers: {
        self: node.pop,
        connected: () => [...node.links].map(({ pop }) => pop),
        roundTripMs: (peer) => {
          const other = this.#nodes.get(peer);
          return other && node.links.has(other) ? this.links.roundTripMs(node.index, other.index) : undefined;
        },
        watch: (listener) => {
          node.watchers.add(listener);
          return () => void node.watchers.delete(listener);
        },
      },
      gossip: {
        publish: async (topic, bytes) => this.#publish(node, topic, bytes),
        subscribe: (topic, receive) => void node.receivers.set(topic, receive),
      },
      streams: {
        call: (peer, protocol, request, options) => this.#call(node, peer, protocol, request, options),
        handle: (protocol, handler) => void node.handlers.set(protocol, handler),
      },
    };
  }

  #publish(node: Node, topic: TopicName, bytes: Uint8Array): void {
    if (bytes.length > TOPICS[topic].maxBytes)
      throw new PresageError('WIRE_TOO_LARGE', `${topic}: too large`);
    if (!this.#lives(node)) return;
    // One copy for all receivers, so that a broadcast is decoded once.
    const copy = new Uint8Array(bytes);
    this.#tap.published?.(node.pop, topic, copy);
    for (const to of this.#nodes.values()) {
      if (to === node) continue;
      const said = node.twist ? node.twist.gossip(topic, copy, to.index) : [copy];
      for (const message of said)
        this.links.carry(node.index, to.index, () => this.#hear(to, node.pop, topic, message));
    }
  }

  #hear(to: Node, author: PopId, topic: TopicName, bytes: Uint8Array): void {
    if (!this.#lives(to) || to.revocations.revoked.has(author)) return;
    const receive = to.receivers.get(topic);
    if (!receive) return;
    const judged = async () => {
      const verdict = await receive(author, bytes);
      if (verdict.verdict === 'reject') this.#tap.rejected?.(to.pop, author, topic, verdict.code);
    };
    judged().catch((error: unknown) => this.#tap.rejected?.(to.pop, author, topic, codeOf(error)));
  }

  #call(
    node: Node,
    peer: PopId,
    protocol: ProtocolName,
    request: Uint8Array,
    { deadlineMs, signal }: CallOptions,
  ): Promise<Uint8Array> {
    const spec = PROTOCOLS[protocol];
    const to = this.#nodes.get(peer);
    return new Promise((resolve, reject) => {
      if (!this.#lives(node)) return;
      if (request.length > spec.maxRequestBytes) return reject(new PresageError('WIRE_TOO_LARGE'));
      if (!to || !node.links.has(to)) return reject(new PresageError('PEER_UNKNOWN'));
      if (signal?.aborted) return reject(new PresageError('CANCELLED'));
      const lane = this.#lane(node, to, protocol);
      if (lane.waiting.length >= WAITING_CALLS) return reject(new PresageError('PEER_BUSY'));
      let begun = false;
      let settled = false;
      const settle = (act: () => void) => {
        if (settled) return;
        settled = true;
        cancel();
        signal?.removeEventListener('abort', aborted);
        this.#calls.delete(call);
        if (begun) {
          lane.outstanding -= 1;
          lane.waiting.shift()?.();
        }
        if (node.life.alive) act();
      };
      const fail = (error: PresageError) => settle(() => reject(error));
      const aborted = () => fail(new PresageError('CANCELLED'));
      const call: Call = { from: node, to, fail };
      const cancel = this.#clock.after(deadlineMs, () => fail(new PresageError('PEER_TIMEOUT')));
      signal?.addEventListener('abort', aborted, { once: true });
      this.#calls.add(call);
      const begin = () => {
        if (settled) {
          lane.waiting.shift()?.();
          return;
        }
        begun = true;
        lane.outstanding += 1;
        this.#ask(node, to, protocol, new Uint8Array(request), (reply) => settle(() => resolve(reply)), fail);
      };
      if (lane.outstanding < spec.concurrency) begin();
      else lane.waiting.push(begin);
    });
  }

  #lane(from: Node, to: Node, protocol: ProtocolName): Lane {
    const lanes = from.lanes.get(to) ?? new Map<ProtocolName, Lane>();
    from.lanes.set(to, lanes);
    const lane = lanes.get(protocol) ?? { outstanding: 0, waiting: [] };
    lanes.set(protocol, lane);
    return lane;
  }

  /** Over the wire, to the handler, and back. */
  #ask(
    from: Node,
    to: Node,
    protocol: ProtocolName,
    request: Uint8Array,
    answered: (reply: Uint8Array) => void,
    failed: (error: PresageError) => void,
  ): void {
    const said = from.twist ? from.twist.request(protocol, request, to.index) : request;
    if (!said) return;
    const back = (act: () => void) => {
      if (this.#lives(to)) this.links.stream(to.index, from.index, act);
    };
    const refused = (error: unknown) => {
      const code = codeOf(error);
      back(() => failed(new PresageError('PEER_REFUSED', `the peer refused: ${code}`, { code })));
    };
    this.links.stream(from.index, to.index, () => {
      if (!this.#lives(to)) return;
      const handler = to.handlers.get(protocol);
      // Its actors are still to start.
      if (!handler) return back(() => failed(new PresageError('PEER_BUSY')));
      handler(from.pop, said).then((reply) => {
        if (reply.length > PROTOCOLS[protocol].maxReplyBytes)
          return refused(new PresageError('WIRE_TOO_LARGE'));
        const copy = new Uint8Array(reply);
        const told = to.twist ? to.twist.reply(protocol, copy, from.index) : copy;
        if (!told) return;
        if (this.#lives(to)) this.#tap.replied?.(to.pop, from.pop, protocol, told);
        back(() => answered(told));
      }, refused);
    });
  }
}
