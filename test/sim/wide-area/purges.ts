import { createHmac } from 'node:crypto';
import { VirtualClock } from '../../../node/simulator/virtual-clock.ts';
import { HybridClock } from '../../../protocol/hybrid-clock.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { Invalidations } from '../../../protocol/invalidation.ts';
import { INVALIDATOR_TICK_MS, Invalidator } from '../../../protocol/invalidator.ts';
import type { InvalidatorEffect, InvalidatorInput } from '../../../protocol/invalidator-steps.ts';
import type { PurgeResult } from '../../../protocol/purge-waiters.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { SITE, secretOf, url } from '../../unit/invalidation/pops.ts';
import { popOf } from '../agreement/pop.ts';
import { linksOf, meshOf } from './overlay.ts';
import { placePops, type RoundTrips } from './round-trips.ts';
import { type Service, WideNetwork } from './wide-network.ts';

/** An fsync. */
const DISK_MS = [2, 10] as const;
/** From one purge to the next, long enough that they do not meet. */
const EVERY_MS = 3_000;
/** For the first comparisons of knowledge. */
const SETTLE_MS = 20_000;

export interface PurgesOptions {
  readonly trips: RoundTrips;
  readonly pops: number;
  readonly seed: number;
  readonly purges: number;
  readonly service: Service;
}

/** How long purges took, ms, one figure a purge. */
export interface Purges {
  /** From the order until it is in force at the last PoP. */
  readonly inForce: readonly number[];
  /** From the order until the last PoP has acknowledged it. */
  readonly acknowledged: readonly number[];
  readonly slowestPathMs: number;
}

const mac = (pop: PopId, bytes: Uint8Array) => createHmac('sha512', pop).update(bytes).digest();

interface World {
  readonly clock: VirtualClock;
  readonly network: WideNetwork;
  readonly random: ReturnType<typeof seededRandom>;
  readonly nodes: Node[];
  readonly roster: readonly PopId[];
  applied(id: string): void;
}

/** The machine of one PoP on a disk and a network of the simulation. */
class Node {
  readonly #world: World;
  readonly #index: number;
  readonly #machine: Invalidator;
  readonly #issues = new Map<number, (result: PurgeResult) => void>();
  readonly #replies = new Map<number, (bytes: Uint8Array) => void>();
  #token = 0;

  constructor(world: World, index: number) {
    this.#world = world;
    this.#index = index;
    const self = popOf(index);
    this.#machine = new Invalidator({
      invalidations: new Invalidations({ self, secretOf, sign: (bytes) => mac(self, bytes) }),
      clock: new HybridClock(self),
      verify: (pop, bytes, signature) => mac(pop, bytes).equals(signature),
      alone: false,
      roster: () => world.roster,
    });
    this.#tick(world.random.float() * INVALIDATOR_TICK_MS);
  }

  #tick(delayMs: number): void {
    this.#world.clock.after(delayMs, () => {
      this.step({ type: 'tick' });
      this.#tick(INVALIDATOR_TICK_MS);
    });
  }

  issue(path: string, done: (result: PurgeResult) => void): void {
    const token = ++this.#token;
    this.#issues.set(token, done);
    const order = { site: SITE, scope: url(path), soft: false, wait: true, waitMs: 60_000 };
    this.step({ type: 'issue', token, order });
  }

  step(input: InvalidatorInput): void {
    for (const effect of this.#machine.step(input, this.#world.clock.now)) this.#carryOut(effect);
  }

  #carryOut(effect: InvalidatorEffect): void {
    const { clock, network, random, nodes } = this.#world;
    const from = this.#index;
    switch (effect.type) {
      case 'persist': {
        const [least, most] = DISK_MS;
        clock.after(least + random.float() * (most - least), () =>
          this.step({ type: 'persisted', token: effect.token }),
        );
        return;
      }
      case 'publish':
        network.publish({
          ...{ topic: 'purge', from, length: effect.bytes.length, flood: true },
          heard: (to) => nodes[to]!.#hear(popOf(from), effect.bytes),
        });
        return;
      case 'call': {
        const to = this.#world.roster.indexOf(effect.peer);
        network.send('purge', from, to, effect.bytes.length, () =>
          nodes[to]!.#request(popOf(from), effect.bytes, (bytes) =>
            network.send('purge', to, from, bytes.length, () =>
              this.step({ type: 'answered', token: effect.token, bytes }),
            ),
          ),
        );
        return;
      }
      case 'reply':
        this.#replies.get(effect.token)?.(effect.bytes);
        this.#replies.delete(effect.token);
        return;
      case 'settled':
        this.#issues.get(effect.token)?.(effect.result);
        this.#issues.delete(effect.token);
        return;
      case 'applied':
        for (const { id } of effect.purges) this.#world.applied(id);
        return;
      case 'refused':
        throw effect.error;
      case 'fault':
        throw new Error(`a fault among honest PoPs: ${effect.code}`);
      case 'reconciled':
    }
  }

  #hear(author: PopId, bytes: Uint8Array): void {
    const { verdict, effects } = this.#machine.heard(author, bytes, this.#world.clock.now);
    if (verdict.verdict !== 'accept') throw new Error(`an honest purge was refused: ${verdict.code}`);
    for (const effect of effects) this.#carryOut(effect);
  }

  #request(from: PopId, bytes: Uint8Array, reply: (bytes: Uint8Array) => void): void {
    const token = ++this.#token;
    this.#replies.set(token, reply);
    this.step({ type: 'request', token, from, bytes });
  }
}

/**
 * Purges from one PoP after another, by the real machines on a wide-area network: flooded to all who are connected,
 * from hop to hop beyond, and pushed over streams. Fails if one does not come to all, or is not acknowledged by all.
 */
export function spreadPurges({ trips, pops, seed, purges, service }: PurgesOptions): Purges {
  const random = seededRandom(seed);
  const clock = new VirtualClock();
  const area = placePops(trips, pops, random);
  const roster = Array.from({ length: pops }, (_, index) => popOf(index));
  const links = linksOf(roster);
  const network = new WideNetwork(clock, area, { links, mesh: meshOf(links, random) }, service);
  const times = new Map<string, number[]>();
  const nodes: Node[] = [];
  const applied = (id: string) => times.set(id, [...(times.get(id) ?? []), clock.now]);
  const world: World = { clock, network, random, nodes, roster, applied };
  for (let index = 0; index < pops; index += 1) nodes.push(new Node(world, index));
  for (const [index, peers] of links.entries()) {
    for (const peer of peers) nodes[index]!.step({ type: 'peer', peer: popOf(peer), up: true });
  }
  clock.run(SETTLE_MS);

  const inForce: number[] = [];
  const acknowledged: number[] = [];
  for (let number = 0; number < purges; number += 1) {
    const began = clock.now;
    let settledAt: number | undefined;
    times.clear();
    nodes[(number * 37) % pops]!.issue(`a.example/${number}`, (result) => {
      settledAt = clock.now;
      if (result.missing.length > 0) throw new Error(`${result.missing.length} PoPs have not acknowledged`);
    });
    clock.run(EVERY_MS);
    const [all = []] = [...times.values()];
    if (times.size !== 1 || all.length !== pops || settledAt === undefined) {
      throw new Error(`a purge is in force at ${all.length} of ${pops} PoPs`);
    }
    inForce.push(Math.max(...all) - began);
    acknowledged.push(settledAt - began);
  }
  return { inForce, acknowledged, slowestPathMs: area.slowestMs };
}
