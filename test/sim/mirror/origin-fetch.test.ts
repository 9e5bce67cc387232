import { beforeEach, describe, expect, it } from 'vitest';
import type { ActorRef } from '../../../actors/kernel/actor.ts';
import { ActorSystem } from '../../../actors/kernel/system.ts';
import { type MirrorMessage, type MirrorStatus, mirrorSpec } from '../../../actors/mirror.ts';
import { Puller } from '../../../actors/puller.ts';
import type { Site } from '../../../protocol/charter.ts';
import { PresageError } from '../../../protocol/errors.ts';
import {
  type ContentHash,
  type Key16,
  key16Of,
  type PopId,
  type ResourceKey,
  type SiteId,
} from '../../../protocol/ids.ts';
import { decodeNameRequest, encodeNameReply } from '../../../protocol/messages/replica.ts';
import { RANK_STEP_MS } from '../../../protocol/origin-ranking.ts';
import type { Blobs, ProtocolName, Streams } from '../../../protocol/ports.ts';
import { rendezvous } from '../../../protocol/rendezvous.ts';
import type { Replica, ReplicaIndex } from '../../../protocol/replica.ts';
import { CountingMetrics, StepClock, settled, silentLog } from '../../step-clock.ts';

const POPS = ['a', 'b', 'c', 'd'] as unknown as PopId[];
const KEY = 'www.example/premiere' as ResourceKey;
const SITE = {
  id: 'www' as SiteId,
  hosts: ['www.example'],
  secret: new Uint8Array(32),
  allow: ['*'],
} as unknown as Site;
const KEY16 = key16Of(KEY, SITE.secret);
const WANTED = { key16: KEY16, size: 1_000, value: 1, tier: 'disk' as const };
const REPLICA = { key16: KEY16, key: KEY, site: SITE.id, content: 'x' as ContentHash } as Replica;

type Handler = (from: PopId, request: Uint8Array) => Promise<Uint8Array>;

/** Several real mirrors on virtual time; calls between them take 20 ms, and those of the dead never arrive. */
class World {
  readonly clock = new StepClock();
  readonly fetched: { pop: PopId; at: number }[] = [];
  readonly dead = new Set<PopId>();
  readonly mirrors = new Map<PopId, ActorRef<MirrorMessage>>();
  readonly #handlers = new Map<string, Handler>();
  readonly held = new Map<PopId, Replica>();
  /** Whose copies wait for the origin's word. */
  readonly stale = new Set<PopId>();
  mirrored = 0;

  async start(knowsName: (pop: PopId) => boolean): Promise<void> {
    for (const pop of POPS) await this.#startPop(pop, knowsName(pop));
  }

  async #startPop(pop: PopId, knowsName: boolean): Promise<void> {
    const { clock } = this;
    const system = new ActorSystem({
      clock,
      log: silentLog,
      metrics: new CountingMetrics(),
      yieldTurn: settled,
    });
    const streams: Streams = {
      call: async (peer: PopId, protocol: ProtocolName, request: Uint8Array) => {
        await new Promise<void>((resolve) => void clock.after(20, resolve));
        const handler = this.#handlers.get(`${peer} ${protocol}`);
        if (!handler || this.dead.has(peer) || this.dead.has(pop)) throw new PresageError('PEER_TIMEOUT');
        return handler(pop, request);
      },
      handle: (protocol, handler) => void this.#handlers.set(`${pop} ${protocol}`, handler),
    };
    const peers = {
      self: pop,
      connected: () => POPS.filter((other) => other !== pop && !this.dead.has(other)),
      roundTripMs: () => 20,
      watch: () => () => undefined,
    };
    const index = {
      get: () => [this.held.get(pop)].filter((replica) => replica !== undefined),
      standing: () => (this.stale.has(pop) ? 'stale' : 'valid'),
    } as unknown as ReplicaIndex;
    const name = { key: KEY, site: SITE.id };
    let known = knowsName ? name : undefined;
    streams.handle('name', async (_from, request) =>
      encodeNameReply(
        decodeNameRequest(request).flatMap((key16) => (known ? [[key16, known.key] as const] : [])),
      ),
    );
    const puller = new Puller({
      ...{ index, blobs: {} as Blobs, streams, peers, clock, log: silentLog, metrics: new CountingMetrics() },
      compressor: { compress: () => undefined, expand: (bytes) => bytes },
      demand: { speed: 1, now: () => clock.now(), at: (real) => real },
      site: () => SITE,
      name: pop,
      maxObjectBytes: 1e9,
    });
    const mirror = system.actor(
      mirrorSpec({
        ...{
          index,
          puller,
          streams,
          peers,
          events: { emit: () => undefined },
          name: pop,
          speed: 1,
          bytesPerSecond: 1e6,
        },
        holders: () =>
          POPS.filter((other) => this.held.has(other) && !this.stale.has(other) && other !== pop),
        site: () => SITE,
        nameOf: (other) => other,
        keyOf: () => known,
        learnKey: (key16: Key16, key: ResourceKey) => {
          if (key16 !== KEY16 || key !== KEY) return undefined;
          known = name;
          return name;
        },
        fenceOf: () => new Map(),
        roomFor: async () => true,
        fetch: async () => {
          this.fetched.push({ pop, at: clock.now() });
          this.held.set(pop, REPLICA);
          this.stale.delete(pop);
          return REPLICA;
        },
        mirrored: () => {
          this.mirrored += 1;
        },
        tag: () => undefined,
      }),
    );
    this.mirrors.set(pop, mirror);
    await system.start(
      system.group('root', 'one-for-one', { restarts: 0, withinMs: 1 }, [mirror]),
      (error) => {
        throw error;
      },
    );
  }

  planAll(): void {
    for (const [pop, mirror] of this.mirrors)
      if (!this.dead.has(pop)) mirror.tell({ type: 'plan', wanted: [WANTED] });
  }

  status(pop: PopId): Promise<MirrorStatus> {
    return this.mirrors.get(pop)!.ask<MirrorStatus>((reply) => ({ type: 'status', reply }), 1_000);
  }
}

let world: World;
const ranks = rendezvous(`${KEY16} `, POPS);

beforeEach(() => {
  world = new World();
});

describe('what no PoP holds', () => {
  it('is fetched from the origin once, though all want it', async () => {
    await world.start(() => true);
    world.planAll();
    await world.clock.advance(20 * RANK_STEP_MS);
    expect(world.fetched.map(({ pop }) => pop)).toEqual([ranks[0]]);
    for (const pop of ranks.slice(1)) expect((await world.status(pop)).outcomes[KEY16]).not.toBe('mirrored');
  });

  it('is fetched by the next in rank when the first is dead, after its wait', async () => {
    await world.start(() => true);
    world.dead.add(ranks[0]!);
    const startedAt = world.clock.now();
    // The others have noticed the loss: the ranking is among the living.
    world.mirrors.get(ranks[1]!)!.tell({ type: 'plan', wanted: [WANTED] });
    const living = rendezvous(
      `${KEY16} `,
      POPS.filter((pop) => pop !== ranks[0]),
    );
    expect(living[0]).toBe(ranks[1]);
    await world.clock.advance(10 * RANK_STEP_MS);
    expect(world.fetched).toHaveLength(1);
    expect(world.fetched[0]?.pop).toBe(ranks[1]);
    expect(world.fetched[0]!.at - startedAt).toBeLessThanOrEqual(3 * RANK_STEP_MS);
  });

  it('is fetched by the one PoP that wants it when its turn comes, though a plan comes every second', async () => {
    await world.start(() => true);
    const last = ranks[3]!;
    for (let second = 0; second < 15; second += 1) {
      world.mirrors.get(last)!.tell({ type: 'plan', wanted: [WANTED] });
      await world.clock.advance(1_000);
    }
    expect(world.fetched.map(({ pop }) => pop)).toEqual([last]);
  });

  it('is asked by name of a peer, where its name is not known', async () => {
    await world.start((pop) => pop === ranks[2]);
    world.planAll();
    await world.clock.advance(20 * RANK_STEP_MS);
    expect(world.fetched.map(({ pop }) => pop)).toEqual([ranks[0]]);
  });

  it('is left alone where nobody knows its name, and the status says so', async () => {
    await world.start(() => false);
    world.planAll();
    await world.clock.advance(20 * RANK_STEP_MS);
    expect(world.fetched).toEqual([]);
    expect((await world.status(ranks[0]!)).outcomes[KEY16]).toBe('name-unknown');
  });
});

describe('what a soft purge has made stale at all that hold it', () => {
  it('is confirmed by the origin once, and its bytes count as nothing new', async () => {
    await world.start(() => true);
    for (const pop of POPS) {
      world.held.set(pop, REPLICA);
      world.stale.add(pop);
    }
    world.planAll();
    await world.clock.advance(20 * RANK_STEP_MS);
    expect(world.fetched.map(({ pop }) => pop)).toEqual([ranks[0]]);
    expect((await world.status(ranks[0]!)).outcomes[KEY16]).toBe('renewed');
    expect([world.mirrored, (await world.status(ranks[0]!)).bytes]).toEqual([0, 0]);
  });
});
