import { describe, expect, it } from 'vitest';
import { HybridClock } from '../../../protocol/hybrid-clock.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { Invalidator } from '../../../protocol/invalidator.ts';
import type { InvalidatorEffect, InvalidatorInput } from '../../../protocol/invalidator-steps.ts';
import { invalidationsOf, popOf, purgeAt, resource, SITE, url } from './pops.ts';

/** Machines joined by links of our choosing, with neither gossip nor delay; disks that take no time. */
class Links {
  readonly machines = new Map<PopId, Invalidator>();
  readonly invalidations = new Map<PopId, ReturnType<typeof invalidationsOf>>();
  readonly #links = new Set<string>();
  now = 1_000_000;
  calls = 0;
  bytes = 0;

  constructor(count: number) {
    for (let n = 0; n < count; n += 1) {
      const invalidations = invalidationsOf(n);
      this.invalidations.set(popOf(n), invalidations);
      const clock = new HybridClock(popOf(n));
      // Signatures have tests of their own.
      const options = { invalidations, clock, verify: () => true, alone: false };
      this.machines.set(popOf(n), new Invalidator(options));
    }
  }

  link(a: PopId, b: PopId): void {
    this.#links.add(`${a} ${b}`).add(`${b} ${a}`);
    this.step(a, { type: 'peer', peer: b, up: true });
    this.step(b, { type: 'peer', peer: a, up: true });
  }

  tick(): void {
    this.now += 1_000;
    for (const pop of this.machines.keys()) this.step(pop, { type: 'tick' });
  }

  step(pop: PopId, input: InvalidatorInput): void {
    const waiting = this.machines
      .get(pop)!
      .step(input, this.now)
      .map((effect) => ({ pop, effect }));
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const at = next.pop;
      for (const effect of this.#carryOut(at, next.effect)) waiting.push(effect);
    }
  }

  readonly #asked = new Map<string, { pop: PopId; token: number }>();
  #request = 0;

  #carryOut(pop: PopId, effect: InvalidatorEffect): { pop: PopId; effect: InvalidatorEffect }[] {
    const run = (at: PopId, input: InvalidatorInput) =>
      this.machines
        .get(at)!
        .step(input, this.now)
        .map((next) => ({ pop: at, effect: next }));
    switch (effect.type) {
      case 'persist':
        return run(pop, { type: 'persisted', token: effect.token });
      case 'call': {
        if (!this.#links.has(`${pop} ${effect.peer}`))
          return run(pop, { type: 'failed', token: effect.token });
        this.calls += 1;
        this.bytes += effect.bytes.length;
        const token = ++this.#request;
        this.#asked.set(`${effect.peer} ${token}`, { pop, token: effect.token });
        return run(effect.peer, { type: 'request', token, from: pop, bytes: effect.bytes });
      }
      case 'reply': {
        const asked = this.#asked.get(`${pop} ${effect.token}`)!;
        this.bytes += effect.bytes.length;
        return run(asked.pop, { type: 'answered', token: asked.token, bytes: effect.bytes });
      }
      default:
        return [];
    }
  }
}

describe('without gossip', () => {
  it('a purge passes along a line of PoPs of which each knows but its neighbours', () => {
    const pops = [0, 1, 2, 3, 4, 5].map(popOf);
    const links = new Links(pops.length);
    for (let i = 1; i < pops.length; i += 1) links.link(pops[i - 1]!, pops[i]!);
    const order = { site: SITE, scope: url('a/page'), soft: false, wait: false };
    links.step(pops[0]!, { type: 'issue', token: 1, order });
    for (let i = 0; i < 3; i += 1) links.tick();
    const standings = pops.map((pop) => links.invalidations.get(pop)!.covers(new Map(), resource('a/page')));
    expect(standings).toEqual(pops.map(() => 'gone'));
  });

  it('a PoP that was long away learns of thousands in a few calls, and tells its own', () => {
    const [here, there] = [popOf(0), popOf(1)];
    const links = new Links(2);
    const [ours, theirs] = [links.invalidations.get(here)!, links.invalidations.get(there)!];
    for (let i = 0; i < 4_000; i += 1) purgeAt(theirs, url(`a/${i}`), { time: 1_000 + i });
    for (let i = 0; i < 2_000; i += 1) purgeAt(ours, url(`b/${i}`), { time: 1_000 + i });
    links.link(here, there);
    expect(ours.size).toBe(6_000);
    expect(ours.differing(theirs.digest())).toEqual([]);
    expect(links.calls).toBeLessThan(20);
    expect([...links.machines.values()].map(({ reconciled }) => reconciled)).toEqual([true, true]);
    // In step, a comparison costs next to nothing.
    const before = links.bytes;
    for (let i = 0; i < 20; i += 1) links.tick();
    expect(links.bytes - before).toBeLessThan(4_000);
  });
});
