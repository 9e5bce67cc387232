import type { VirtualClock } from '../../../node/simulator/virtual-clock.ts';
import type { Overlay } from './overlay.ts';
import type { WideArea } from './round-trips.ts';

/** From so many bytes on, as configured, gossipsub 1.2 tells its mesh that it has a message and needs no other copy. */
const IDONTWANT_BYTES = 4096;
/** A message id, author and sequence number, with what surrounds it in an RPC. */
const IDONTWANT_SAID_BYTES = 56;
/** A message is advertised in so many heartbeats, to so many PoPs outside the mesh, as configured. */
const IHAVE_HEARTBEATS = 3;
const IHAVE_PEERS = 3;
/** A message id and what is around it in an RPC. */
const IHAVE_BYTES = 48;
/** Author, sequence number, signature and key that every copy of a gossip message carries beside its topic and data. */
const GOSSIP_BYTES = 38 + 8 + 64 + 36;
/** Header of a frame on a stream. */
const FRAME_BYTES = 9;
/** Round trips until a PoP that was not connected takes a message: TCP, TLS, yamux and protocol, admission. */
const DIAL_ROUND_TRIPS = 5;

/** What a PoP's thread takes, ms: for a message that is new to it, signature included, and for a further copy. */
export interface Service {
  readonly firstMs: number;
  readonly copyMs: number;
}

/** What was sent on one topic or protocol, by all PoPs together; every byte counts once. */
export interface Traffic {
  /** Gossip messages published, or messages on streams. */
  messages: number;
  /** Copies of gossip messages that arrived, the first included; for streams as many as messages. */
  copies: number;
  bytes: number;
  /** Bytes of gossip's own remarks on messages: that it has them, and that no further copy is needed. */
  controlBytes: number;
}

export interface Publication {
  readonly topic: string;
  readonly from: number;
  readonly length: number;
  /** Own messages go to all connected subscribers instead of the mesh. */
  readonly flood: boolean;
  readonly heard: (to: number) => void;
  /** Called for every copy that is sent. */
  readonly copied?: () => void;
}

/**
 * Links with the delays of a wide-area matrix. Gossip goes from hop to hop along a mesh, every copy of it an event;
 * a PoP handles one message after another. Streams go straight, over connections that are made when they are needed.
 * Nothing is lost: what a network loses, TCP sends again.
 */
export class WideNetwork {
  readonly #clock: VirtualClock;
  readonly #area: WideArea;
  readonly #overlay: Overlay;
  readonly #service: Service;
  readonly #busyUntil: Float64Array;
  readonly #dials = new Map<number, number>();
  readonly #traffic = new Map<string, Traffic>();

  constructor(clock: VirtualClock, area: WideArea, overlay: Overlay, service: Service) {
    [this.#clock, this.#area, this.#overlay, this.#service] = [clock, area, overlay, service];
    this.#busyUntil = new Float64Array(area.pops);
  }

  /** Of a topic or protocol since the last `reset`. */
  traffic(name: string): Traffic {
    let traffic = this.#traffic.get(name);
    if (!traffic) {
      traffic = { messages: 0, copies: 0, bytes: 0, controlBytes: 0 };
      this.#traffic.set(name, traffic);
    }
    return traffic;
  }

  reset(): void {
    this.#traffic.clear();
  }

  publish(publication: Publication): void {
    const { topic, from, length, flood } = publication;
    this.traffic(topic).messages += 1;
    new Spreading(this, publication, {
      ...{ bytes: GOSSIP_BYTES + topic.length + length, quiet: length >= IDONTWANT_BYTES },
    }).publish(from, flood ? this.#overlay.links[from]! : this.#overlay.mesh[from]!);
  }

  /** A message on a stream; the receiver's empty reply is counted and carries nothing. */
  send(protocol: string, from: number, to: number, length: number, deliver: () => void): void {
    const traffic = this.traffic(protocol);
    traffic.messages += 1;
    traffic.copies += 1;
    traffic.bytes += length + 2 * FRAME_BYTES;
    const oneWayMs = this.#area.oneWayMs(from, to);
    const now = this.#clock.now;
    let readyAt = now;
    if (!this.#overlay.links[from]!.has(to)) {
      const pair = Math.min(from, to) * this.#area.pops + Math.max(from, to);
      readyAt = this.#dials.get(pair) ?? now + 2 * DIAL_ROUND_TRIPS * oneWayMs;
      this.#dials.set(pair, readyAt);
      if (readyAt <= now) this.#connect(from, to);
    }
    const arrives = Math.max(now, readyAt) + oneWayMs;
    this.#clock.after(arrives - now, () => {
      this.#connect(from, to);
      this.handle(to, this.#service.firstMs, deliver);
    });
  }

  #connect(a: number, b: number): void {
    this.#overlay.links[a]!.add(b);
    this.#overlay.links[b]!.add(a);
  }

  /** The PoP's thread takes that long, after what it has to do before. */
  handle(pop: number, ms: number, done: () => void): void {
    const now = this.#clock.now;
    const end = Math.max(now, this.#busyUntil[pop]!) + ms;
    this.#busyUntil[pop] = end;
    this.#clock.after(end - now, done);
  }

  first(pop: number, done: () => void): void {
    this.handle(pop, this.#service.firstMs, done);
  }

  again(pop: number): void {
    this.#busyUntil[pop] = Math.max(this.#clock.now, this.#busyUntil[pop]!) + this.#service.copyMs;
  }

  carry(from: number, to: number, arrive: () => void): void {
    this.#clock.after(this.#area.oneWayMs(from, to), arrive);
  }

  mesh(pop: number): ReadonlySet<number> {
    return this.#overlay.mesh[pop]!;
  }

  /** Heartbeats tell some of those outside the mesh of a message that the PoP has. */
  advertise(pop: number, topic: string): void {
    const others = this.#overlay.links[pop]!.size - this.mesh(pop).size;
    this.traffic(topic).controlBytes += IHAVE_HEARTBEATS * Math.min(others, IHAVE_PEERS) * IHAVE_BYTES;
  }
}

/** One gossip message on its way. */
class Spreading {
  readonly #network: WideNetwork;
  readonly #message: Publication;
  readonly #bytes: number;
  readonly #quiet: boolean;
  readonly #seen = new Set<number>();
  /** Who has told whom, before it forwarded, that it has the message. */
  readonly #unwanted = new Set<number>();

  constructor(network: WideNetwork, message: Publication, options: { bytes: number; quiet: boolean }) {
    this.#network = network;
    this.#message = message;
    this.#bytes = options.bytes;
    this.#quiet = options.quiet;
    this.#seen.add(message.from);
  }

  publish(from: number, to: Iterable<number>): void {
    this.#network.advertise(from, this.#message.topic);
    this.#leave(from, to);
  }

  #leave(from: number, to: Iterable<number>): void {
    const traffic = this.#network.traffic(this.#message.topic);
    for (const peer of to) {
      if (this.#unwanted.has(from * 4096 + peer)) continue;
      traffic.copies += 1;
      traffic.bytes += this.#bytes;
      this.#message.copied?.();
      this.#network.carry(from, peer, () => this.#arrive(from, peer));
    }
  }

  #arrive(from: number, at: number): void {
    if (this.#seen.has(at)) {
      this.#network.again(at);
      return;
    }
    this.#seen.add(at);
    this.#network.first(at, () => {
      const mesh = this.#network.mesh(at);
      if (this.#quiet) this.#decline(at, from, mesh);
      this.#message.heard(at);
      this.#network.advertise(at, this.#message.topic);
      this.#leave(
        at,
        [...mesh].filter((peer) => peer !== from),
      );
    });
  }

  /** Tells the mesh that no further copy is needed; whoever is told in time sends none. */
  #decline(at: number, from: number, mesh: ReadonlySet<number>): void {
    const traffic = this.#network.traffic(this.#message.topic);
    for (const peer of mesh) {
      if (peer === from) continue;
      traffic.controlBytes += IDONTWANT_SAID_BYTES;
      this.#network.carry(at, peer, () => this.#unwanted.add(peer * 4096 + at));
    }
  }
}
