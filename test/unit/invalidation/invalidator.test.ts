import { describe, expect, it } from 'vitest';
import { HybridClock } from '../../../protocol/hybrid-clock.ts';
import type { PopId } from '../../../protocol/ids.ts';
import type { Invalidations } from '../../../protocol/invalidation.ts';
import { Invalidator, WAIT_DEADLINE_MS } from '../../../protocol/invalidator.ts';
import type { InvalidatorEffect, InvalidatorInput, PurgeOrder } from '../../../protocol/invalidator-steps.ts';
import { Links } from '../../../protocol/links.ts';
import {
  decodePurgeGossip,
  decodePurgeReply,
  encodePurgeCall,
  encodePurgeGossip,
  encodePurgeReply,
  seal,
} from '../../../protocol/messages/purge.ts';
import { purgeVerifier, signPurge } from '../../../protocol/purge.ts';
import { invalidationsOf, popOf, purgeAt, resource, SITE, url } from './pops.ts';

const [A, B, C] = [popOf(1), popOf(2), popOf(3)];
const page = resource('a/page');
const order: PurgeOrder = { site: SITE, scope: url('a/page'), soft: false, wait: true };

/** The machine of PoP 1, at a time of our choosing. */
class Bench {
  readonly invalidations: Invalidations = invalidationsOf(1);
  readonly machine: Invalidator;
  now = 1_000_000;

  constructor(options: { alone?: boolean; roster?: PopId[]; certified?: PopId[] } = {}) {
    this.machine = new Invalidator({
      invalidations: this.invalidations,
      clock: new HybridClock(A),
      // Where certificates are looked at, signatures are not: a test of the bound needs many.
      verify: options.certified ? () => true : purgeVerifier((pop) => pop !== C),
      ...(options.certified && { certified: (pop: PopId) => options.certified?.includes(pop) ?? false }),
      alone: options.alone ?? false,
      roster: () => options.roster ?? [],
    });
  }

  step(input: InvalidatorInput): InvalidatorEffect[] {
    return this.machine.step(input, this.now);
  }

  /** Answers the first comparison with a peer: nothing differs. */
  join(peer: PopId): InvalidatorEffect[] {
    const [call] = of(this.step({ type: 'peer', peer, up: true }), 'call');
    const bytes = encodePurgeReply({ kind: 'compare', ids: new Map(), more: false });
    return this.step({ type: 'answered', token: call!.token, bytes });
  }
}

const of = <T extends InvalidatorEffect['type']>(effects: readonly InvalidatorEffect[], type: T) =>
  effects.filter((e): e is Extract<InvalidatorEffect, { type: T }> => e.type === type);
const push = (...purges: ReturnType<typeof purgeAt>[]) =>
  encodePurgeCall({ kind: 'push', purges: purges.map(seal) });
const theirs = (time = 1_000) => purgeAt(invalidationsOf(2), url('a/page'), { time });

describe('issuing', () => {
  it('writes, then applies, then tells, then waits for acknowledgements', () => {
    const bench = new Bench({ roster: [A, B, popOf(9)] });
    bench.join(B);
    const first = bench.step({ type: 'issue', token: 7, order });
    expect(first.map(({ type }) => type)).toEqual(['persist']);
    expect(bench.invalidations.covers(new Map(), page)).toBe('valid');
    const [write] = of(first, 'persist');
    const then = bench.step({ type: 'persisted', token: write!.token });
    expect(then.map(({ type }) => type)).toEqual(['applied', 'publish', 'call']);
    expect(bench.invalidations.covers(new Map(), page)).toBe('gone');
    bench.now += 20;
    const bytes = encodePurgeReply({ kind: 'push', acknowledged: [write!.puts[0]!.id] });
    const done = bench.step({ type: 'answered', token: of(then, 'call')[0]!.token, bytes });
    expect(of(done, 'settled')[0]).toMatchObject({
      token: 7,
      result: { issuer: A, acknowledged: [B], missing: [popOf(9)], afterMs: new Map([[B, 20]]) },
    });
  });

  describe('that goes to all there are', () => {
    const issued = () => {
      const bench = new Bench({ roster: [A, B, C] });
      bench.join(B);
      bench.join(C);
      const issue = () => {
        const [write] = of(bench.step({ type: 'issue', token: 1, order }), 'persist');
        const effects = bench.step({ type: 'persisted', token: write!.token });
        return { id: write!.puts[0]!.id, effects, calls: of(effects, 'call') };
      };
      const acknowledge = (token: number, id: string) =>
        bench.step({
          ...{ type: 'answered', token },
          bytes: encodePurgeReply({ kind: 'push', acknowledged: [id] }),
        });
      return { bench, issue, acknowledge };
    };

    it('is not gossiped if they acknowledge it', () => {
      const { bench, issue, acknowledge } = issued();
      const { id, effects, calls } = issue();
      expect(calls.map(({ peer }) => peer).sort()).toEqual([B, C].sort());
      const after = calls.flatMap(({ token }) => acknowledge(token, id));
      bench.now += 1_000;
      expect(of([...effects, ...after, ...bench.step({ type: 'tick' })], 'publish')).toEqual([]);
    });

    it.each(['fails', 'refuses', 'is silent', 'goes'] as const)(
      'is gossiped, once, if one of them %s',
      (how) => {
        const { bench, issue, acknowledge } = issued();
        const { id, effects, calls } = issue();
        const [first, second] = calls;
        const after = acknowledge(first!.token, id);
        if (how === 'fails') after.push(...bench.step({ type: 'failed', token: second!.token }));
        if (how === 'refuses') after.push(...acknowledge(second!.token, 'another'));
        if (how === 'goes') after.push(...bench.step({ type: 'peer', peer: second!.peer, up: false }));
        bench.now += 400;
        after.push(...bench.step({ type: 'tick' }));
        expect(of(after, 'publish')).toHaveLength(how === 'fails' || how === 'goes' ? 1 : 0);
        bench.now += 1_000;
        after.push(...bench.step({ type: 'tick' }), ...bench.step({ type: 'tick' }));
        expect(of(effects, 'publish')).toEqual([]);
        const gossips = of(after, 'publish').map(({ bytes }) => decodePurgeGossip(bytes).length);
        expect(gossips).toEqual([1]);
      },
    );

    it('is gossiped at once if as many as a stream takes are under way', () => {
      const { issue } = issued();
      const gossiped = Array.from({ length: 10 }, () => of(issue().effects, 'publish').length);
      expect(gossiped).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
    });
  });

  it('in a cluster too large to be connected to all also goes to the others directly, if it is to be proven', () => {
    const roster = Array.from({ length: 70 }, (_, n) => popOf(n));
    const bench = new Bench({ roster });
    bench.join(B);
    const told = (wait: boolean) => {
      const [write] = of(bench.step({ type: 'issue', token: 1, order: { ...order, wait } }), 'persist');
      const calls = of(bench.step({ type: 'persisted', token: write!.token }), 'call');
      return { id: write!.puts[0]!.id, calls };
    };
    expect(told(false).calls.map(({ peer }) => peer)).toEqual([B]);
    const { id, calls } = told(true);
    expect(calls.map(({ peer }) => peer).sort()).toEqual(roster.filter((pop) => pop !== A).sort());
    // Encoded once for all of them.
    expect(new Set(calls.map(({ bytes }) => bytes)).size).toBe(1);
    const reply = encodePurgeReply({ kind: 'push', acknowledged: [id] });
    const settled = calls.flatMap(({ peer, token }) =>
      of(
        bench.step(
          // One cannot be reached.
          peer === C ? { type: 'failed', token } : { type: 'answered', token, bytes: reply },
        ),
        'settled',
      ),
    );
    expect(settled).toHaveLength(1);
    expect(settled[0]!.result.acknowledged).toHaveLength(68);
    expect(settled[0]!.result.missing).toEqual([C]);
  });

  it('is handed on by two of those whom its issuer told, to each who is not connected to it', () => {
    const roster = Array.from({ length: 150 }, (_, n) => popOf(n));
    const links = new Links(roster);
    const purge = theirs();
    const issuer = purge.issuer;
    const told = new Map<PopId, number>();
    for (const n of roster.keys()) {
      const self = roster[n]!;
      if (self === issuer) continue;
      const machine = new Invalidator({
        invalidations: invalidationsOf(n),
        clock: new HybridClock(self),
        verify: () => true,
        alone: false,
        roster: () => roster,
      });
      for (const peer of links.of(self)) machine.step({ type: 'peer', peer, up: true }, 1_000);
      const calls = of(machine.heard(issuer, encodePurgeGossip([purge]), 1_000).effects, 'call');
      if (!links.of(issuer).has(self)) expect(calls).toEqual([]);
      for (const { peer } of calls) told.set(peer, (told.get(peer) ?? 0) + 1);
      // Once is enough.
      expect(of(machine.heard(issuer, encodePurgeGossip([purge]), 1_001).effects, 'call')).toEqual([]);
    }
    for (const pop of roster) {
      const common = [...links.of(pop)].filter((one) => links.of(issuer).has(one)).length;
      const others = pop === issuer || links.of(issuer).has(pop) ? 0 : Math.min(2, common);
      expect(told.get(pop) ?? 0).toBe(others);
    }
  });

  it('refused by the disk it never was', () => {
    const bench = new Bench({ alone: true });
    const [write] = of(bench.step({ type: 'issue', token: 1, order }), 'persist');
    const effects = bench.step({ type: 'not-persisted', token: write!.token, code: 'STORE_FULL' });
    expect(of(effects, 'refused')[0]?.error.code).toBe('STORE_FULL');
    expect(bench.invalidations.covers(new Map(), page)).toBe('valid');
    expect(bench.step({ type: 'tick' })).toEqual([]);
  });

  it('pushes again to one who does not answer, and names it as missing in the end', () => {
    const bench = new Bench();
    bench.join(B);
    const [write] = of(bench.step({ type: 'issue', token: 1, order }), 'persist');
    const [call] = of(bench.step({ type: 'persisted', token: write!.token }), 'call');
    bench.step({ type: 'failed', token: call!.token });
    bench.now += 1_000;
    expect(of(bench.step({ type: 'tick' }), 'call').length).toBeGreaterThan(0);
    bench.now += WAIT_DEADLINE_MS;
    const [settled] = of(bench.step({ type: 'tick' }), 'settled');
    expect(settled?.result).toMatchObject({ acknowledged: [], missing: [B] });
  });
});

describe('taking', () => {
  it('is in force at once, acknowledged only when it is on disk', () => {
    const bench = new Bench();
    const purge = theirs();
    const effects = bench.step({ type: 'request', token: 3, from: B, bytes: push(purge) });
    expect(effects.map(({ type }) => type)).toEqual(['applied', 'persist']);
    expect(bench.invalidations.covers(new Map(), page)).toBe('gone');
    // The same again is no news, but not on disk any sooner.
    expect(bench.step({ type: 'request', token: 4, from: C, bytes: push(purge) })).toEqual([]);
    const [write] = of(effects, 'persist');
    const replies = of(bench.step({ type: 'persisted', token: write!.token }), 'reply');
    expect(replies.map(({ token }) => token)).toEqual([3, 4]);
    for (const { bytes } of replies) {
      expect(decodePurgeReply(bytes, 'push').acknowledged).toEqual([purge.id]);
    }
  });

  it('refused by the disk it stays in force, is not acknowledged, and is written again', () => {
    const bench = new Bench();
    const purge = theirs();
    const [write] = of(bench.step({ type: 'request', token: 3, from: B, bytes: push(purge) }), 'persist');
    const failed = bench.step({ type: 'not-persisted', token: write!.token, code: 'STORE_FULL' });
    expect(of(failed, 'refused')[0]).toMatchObject({ token: 3, error: { code: 'STORE_FULL' } });
    expect(bench.invalidations.covers(new Map(), page)).toBe('gone');
    expect(bench.step({ type: 'request', token: 4, from: B, bytes: push(purge) })).toEqual([]);
    const [again] = of(bench.step({ type: 'tick' }), 'persist');
    expect(again?.puts.map(({ id }) => id)).toEqual([purge.id]);
    expect(of(bench.step({ type: 'persisted', token: again!.token }), 'reply')[0]?.token).toBe(4);
  });

  it('what was in force before the actor was restarted is written before it is acknowledged', () => {
    const invalidations = invalidationsOf(1);
    const purge = theirs();
    invalidations.apply(purge);
    const verify = purgeVerifier(() => true);
    const clock = new HybridClock(A);
    const machine = new Invalidator({ invalidations, clock, verify, alone: false, unwritten: [purge] });
    expect(machine.step({ type: 'request', token: 3, from: B, bytes: push(purge) }, 1)).toEqual([]);
    const [write] = of(machine.step({ type: 'tick' }, 2), 'persist');
    const replies = of(machine.step({ type: 'persisted', token: write!.token }, 3), 'reply');
    expect(replies[0]?.token).toBe(3);
  });

  it('a stamp far ahead is not adopted; the purge holds all the same', () => {
    const bench = new Bench();
    const purge = theirs(bench.now + 3_600_000);
    const effects = bench.step({ type: 'request', token: 1, from: B, bytes: push(purge) });
    expect(of(effects, 'fault')).toEqual([{ type: 'fault', code: 'CLOCK_SKEW', from: B }]);
    expect(bench.invalidations.covers(new Map(), page)).toBe('gone');
    const [own] = of(bench.step({ type: 'issue', token: 2, order }), 'persist');
    expect(own!.puts[0]!.stamp.time).toBeLessThan(bench.now + 1_000);
  });
});

describe('reconciling', () => {
  it('holds from the first comparison until no peer is left; alone, until the first peer comes and goes', () => {
    const bench = new Bench();
    expect(bench.machine.reconciled).toBe(false);
    expect(of(bench.join(B), 'reconciled')).toEqual([{ type: 'reconciled', reconciled: true }]);
    expect(of(bench.step({ type: 'peer', peer: B, up: false }), 'reconciled')[0]?.reconciled).toBe(false);
    const first = new Bench({ alone: true });
    expect(first.machine.reconciled).toBe(true);
    first.join(B);
    first.step({ type: 'peer', peer: B, up: false });
    expect(first.machine.reconciled).toBe(false);
  });

  it('is not done before what was fetched is on disk', () => {
    const bench = new Bench();
    const purge = theirs();
    const [compare] = of(bench.step({ type: 'peer', peer: B, up: true }), 'call');
    const ids = encodePurgeReply({ kind: 'compare', ids: new Map([[B, [purge.id]]]), more: false });
    const [fetch] = of(bench.step({ type: 'answered', token: compare!.token, bytes: ids }), 'call');
    const bytes = encodePurgeReply({ kind: 'fetch', purges: [seal(purge)] });
    const effects = bench.step({ type: 'answered', token: fetch!.token, bytes });
    expect(of(effects, 'reconciled')).toEqual([]);
    expect(bench.invalidations.covers(new Map(), page)).toBe('gone');
    const [write] = of(effects, 'persist');
    const done = bench.step({ type: 'persisted', token: write!.token });
    expect(of(done, 'reconciled')).toHaveLength(1);
    expect(bench.machine.inStep()).toEqual([B]);
  });
});

describe('hostile peers', () => {
  it('get a coded refusal, and change nothing', () => {
    const bench = new Bench();
    const purge = theirs();
    const forged = { ...purge, signature: new Uint8Array(64) };
    const stranger = purgeAt(invalidationsOf(3), url('a/page'));
    const own = signPurge({ ...purge, issuer: A, seq: 2 ** 50 }, () => new Uint8Array(64));
    for (const bytes of [push(forged), push(stranger), push(own)]) {
      const [fault, reply] = bench.step({ type: 'request', token: 1, from: B, bytes });
      expect(fault).toMatchObject({ type: 'fault', code: 'WIRE_SIGNATURE', from: B });
      const acknowledged = reply?.type === 'reply' && decodePurgeReply(reply.bytes, 'push').acknowledged;
      expect(acknowledged).toEqual([]);
    }
    for (const bytes of [new Uint8Array([0xc1]), new Uint8Array(2 << 20)]) {
      const effects = bench.step({ type: 'request', token: 1, from: B, bytes });
      expect(effects.map(({ type }) => type)).toEqual(['fault', 'refused']);
    }
    expect(bench.invalidations.size).toBe(0);
    expect(bench.invalidations.lastOwnSeq).toBe(0);
    // One false record does not keep out a good one beside it.
    const good = theirs();
    const [, , write] = bench.step({ type: 'request', token: 2, from: B, bytes: push(forged, good) });
    expect(write).toMatchObject({ type: 'persist', puts: [{ id: good.id }] });
  });

  it('cannot fill the memory in the name of PoPs that never were', () => {
    const bench = new Bench({ certified: [A, B] });
    const [n, each] = [9, 2_000];
    const sign = () => new Uint8Array(64);
    const template = theirs();
    let taken = 0;
    for (let issuer = 0; issuer < n; issuer += 1) {
      const pop = popOf(100 + issuer);
      const purges = Array.from({ length: each }, (_, i) => {
        const target = { ...template.target, scope: (issuer * each + i).toString(16).padStart(32, '0') };
        return signPurge({ ...template, issuer: pop, seq: i + 1, target }, sign);
      });
      for (let at = 0; at < each; at += 500) {
        const bytes = push(...purges.slice(at, at + 500));
        for (const write of of(bench.step({ type: 'request', token: 1, from: B, bytes }), 'persist')) {
          taken += write.puts.length;
          bench.step({ type: 'persisted', token: write.token });
        }
      }
    }
    expect(taken).toBe(16_384);
    expect(
      of(bench.step({ type: 'request', token: 1, from: B, bytes: push(theirs()) }), 'applied'),
    ).toHaveLength(1);
  });

  it('speak in gossip for themselves alone', () => {
    const bench = new Bench();
    const bytes = encodePurgeGossip([theirs()]);
    expect(bench.machine.heard(popOf(5), bytes, 1)).toEqual({
      verdict: { verdict: 'reject', code: 'WIRE_ORIGIN' },
      effects: [],
    });
    expect(bench.machine.heard(B, bytes, 1).verdict).toEqual({ verdict: 'accept' });
    expect(bench.machine.heard(B, new Uint8Array([1]), 1).verdict.verdict).toBe('reject');
  });

  it('that answer nonsense are asked again later, not at once', () => {
    const bench = new Bench();
    bench.step({ type: 'tick' });
    const [call] = of(bench.step({ type: 'peer', peer: B, up: true }), 'call');
    const effects = bench.step({ type: 'answered', token: call!.token, bytes: new Uint8Array([0x90]) });
    expect(effects.map(({ type }) => type)).toEqual(['fault']);
    expect(of(bench.step({ type: 'tick' }), 'call')).toEqual([]);
    bench.now += 2_000;
    expect(of(bench.step({ type: 'tick' }), 'call')).toHaveLength(1);
    expect(bench.machine.reconciled).toBe(false);
  });
});
