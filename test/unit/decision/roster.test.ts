import { describe, expect, it } from 'vitest';
import { proposeStatement } from '../../../protocol/agreement-header.ts';
import { type CharterTerms, issueTerms } from '../../../protocol/charter-terms.ts';
import { type DecidedState, rosterOf, sha256 } from '../../../protocol/decided-state.ts';
import { PresageError } from '../../../protocol/errors.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { issueRevocations } from '../../../protocol/revocation.ts';
import {
  decodeOperation,
  encodeOperation,
  evictionHeights,
  leaveStatement,
  type RosterOperation,
} from '../../../protocol/roster-operations.ts';
import { type IncludedProposal, transition } from '../../../protocol/transition.ts';
import {
  DAY,
  founder,
  foundersOf,
  genesis,
  keyOf,
  operator,
  originOf,
  proposal,
  START,
  signed,
  trust,
} from '../../property/decision/cluster.ts';

const CHAIN = 'cd'.repeat(32);

/** A height at which all but `absent` are included, and slot 0 carries the operations. */
function height(
  state: DecidedState,
  operations: readonly RosterOperation[] = [],
  absent: readonly PopId[] = [],
  at = START,
): DecidedState {
  const included = state.members.flatMap(({ pop }, slot): IncludedProposal[] =>
    absent.includes(pop)
      ? []
      : [{ slot, proposal: proposal({ at, operations: slot === 0 ? operations.map(encodeOperation) : [] }) }],
  );
  return transition(state, CHAIN, included, trust);
}

const join = (number: number, change = {}): RosterOperation => ({
  kind: 'join',
  certificate: founder(number, change).sealed,
});

describe('joining', () => {
  it('takes a certificate of the operator; the newcomer has to show itself within three heights', () => {
    let state = height(originOf(4), [join(9)]);
    const newcomer = founder(9).pop;
    expect(rosterOf(state)).toEqual([...originOf(4).members.map(({ pop }) => pop), newcomer].sort());
    expect(state.members.find(({ pop }) => pop === newcomer)).toMatchObject({
      name: 'pop-9',
      missed: 117,
      weight: 500,
    });
    for (let h = 0; h < 2; h += 1) state = height(state, [], [newcomer]);
    expect(rosterOf(state)).toContain(newcomer);
    expect(rosterOf(height(state, [], [newcomer]))).not.toContain(newcomer);
    expect(rosterOf(height(height(state), [], [newcomer]))).toContain(newcomer);
  });

  it('lets in one at a time, from eight PoPs on an eighth, in the order of their ids', () => {
    const newcomers = [20, 21, 22].map((n) => founder(n).pop).sort();
    const five = height(originOf(4), [join(20), join(21), join(22)]);
    expect(five.members.length).toBe(5);
    expect(rosterOf(five)).toContain(newcomers[0]);
    expect(height(originOf(16), [join(20), join(21), join(22)]).members.length).toBe(18);
  });

  it('refuses certificates that another operator signed, that have lapsed, or that are no certificates', () => {
    const [one] = foundersOf(1);
    const forged = new Uint8Array(founder(9).sealed);
    forged[forged.length - 1]! ^= 1;
    const before = originOf(4);
    expect(rosterOf(height(before, [{ kind: 'join', certificate: forged }]))).toEqual(rosterOf(before));
    expect(rosterOf(height(before, [join(9, { expiry: START })]))).toEqual(rosterOf(before));
    expect(rosterOf(height(before, [{ kind: 'join', certificate: one!.sealed.slice(9) }]))).toEqual(
      rosterOf(before),
    );
  });

  it('renews the certificate of a member, never with an older one', () => {
    const member = founder(2);
    const renewed = founder(2, { notBefore: START, region: 'west' as never, fillCeilingKiBps: 50 });
    let state = height(originOf(4), [{ kind: 'join', certificate: renewed.sealed }]);
    const found = () => state.members.find(({ pop }) => pop === member.pop);
    expect(found()).toMatchObject({ certificate: sha256(renewed.sealed), region: 'west', missed: 0 });
    state = height(state, [{ kind: 'join', certificate: member.sealed }]);
    expect(found()?.certificate).toBe(sha256(renewed.sealed));
    expect(found()?.cap?.fillKiBps).toBe(50);
  });
});

describe('leaving', () => {
  const [first] = foundersOf(5);
  const leave = (from: number, to: number, key = first!.key): RosterOperation => ({
    ...{ kind: 'leave', pop: first!.pop, from, to },
    signature: signed(key, leaveStatement(genesis, from, to)),
  });

  it('takes the own signature, within its heights', () => {
    expect(rosterOf(height(originOf(5), [leave(1, 3)]))).not.toContain(first!.pop);
    expect(rosterOf(height(originOf(5), [leave(2, 3)]))).toContain(first!.pop);
    expect(rosterOf(height(originOf(5), [leave(1, 3, keyOf('pop 3'))]))).toContain(first!.pop);
  });
});

describe('banning', () => {
  const shut = founder(3).pop;
  const ban = (version: number, pops: readonly PopId[], key = operator): RosterOperation => ({
    kind: 'ban',
    revocations: issueRevocations(
      { genesis, version, revoked: pops.map((pop) => ({ pop, at: START, reason: 'stolen' })) },
      key,
    ),
  });

  it('shuts out for good, until a newer list says otherwise', () => {
    let state = height(originOf(5), [ban(2, [shut])]);
    expect(rosterOf(state)).not.toContain(shut);
    state = height(state, [join(3), ban(1, [])]);
    expect(rosterOf(state)).not.toContain(shut);
    state = height(height(state, [ban(3, [])]), [join(3)]);
    expect(rosterOf(state)).toContain(shut);
  });

  it('is for the operator alone', () => {
    expect(rosterOf(height(originOf(5), [ban(2, [shut], keyOf('pop 1'))]))).toContain(shut);
  });
});

describe('several at once', () => {
  const leave = (number: number): RosterOperation => ({
    ...{ kind: 'leave', pop: founder(number).pop, from: 1, to: 9 },
    signature: signed(founder(number).key, leaveStatement(genesis, 1, 9)),
  });
  const ban = (pops: readonly PopId[]): RosterOperation => ({
    kind: 'ban',
    revocations: issueRevocations(
      { genesis, version: 1, revoked: pops.map((pop) => ({ pop, at: START, reason: '' })) },
      operator,
    ),
  });

  it('whoever leaves does not come back at the same height, and whoever is banned does not join', () => {
    const gone = height(originOf(5), [leave(1), join(1, { notBefore: START })]);
    expect(rosterOf(gone)).not.toContain(founder(1).pop);
    expect(gone.members.length).toBe(4);
    expect(rosterOf(height(gone, [join(1, { notBefore: START })]))).toContain(founder(1).pop);
    expect(rosterOf(height(originOf(4), [ban([founder(9).pop]), join(9)]))).not.toContain(founder(9).pop);
  });

  it('some stay though all leave, or all are banned: nobody would be left to decide that they may return', () => {
    expect(height(originOf(3), [leave(0), leave(1), leave(2)]).members.length).toBe(3);
    expect(height(originOf(2), [ban([founder(0).pop, founder(1).pop])]).members.length).toBe(2);
  });

  it('the same operations make the same roster in any order and from any proposer', () => {
    const operations = [leave(1), join(20), join(21), ban([founder(2).pop]), join(3, { notBefore: START })];
    const one = height(originOf(9), operations);
    expect(one).toEqual(height(originOf(9), operations.toReversed()));
    expect(one.members.length).toBe(8);
  });
});

describe('eviction', () => {
  it('comes after an hour without inclusion, longest first, and never leaves fewer than four', () => {
    expect(evictionHeights(30_000)).toBe(120);
    expect(evictionHeights(7_000)).toBe(515);
    let state = originOf(6);
    const away = state.members.slice(3).map(({ pop }) => pop);
    for (let h = 0; h < 119; h += 1) state = height(state, [], h < 5 ? away.slice(0, 1) : away);
    expect(state.members.length).toBe(6);
    state = height(state, [], away);
    expect(rosterOf(state)).not.toContain(away[0]);
    for (let h = 0; h < 10; h += 1) state = height(state, [], away);
    expect(state.members.length).toBe(4);
  });

  it('is not for those whose body was empty: they live', () => {
    let state = originOf(5);
    for (let h = 0; h < 121; h += 1) {
      state = transition(
        state,
        CHAIN,
        state.members.map((_, slot) => ({ slot, proposal: undefined })),
        trust,
      );
    }
    expect(state.members.length).toBe(5);
  });
});

it('certificates lapse by the agreed clock, which up to b liars cannot move; nobody is left alone with nobody', () => {
  const state = originOf(4);
  const later = START + 400 * DAY;
  const one = state.members.map((_, slot) => ({
    slot,
    proposal: proposal({ at: slot === 0 ? later : START }),
  }));
  expect(transition(state, CHAIN, one, trust).members.length).toBe(4);
  const all = state.members.map((_, slot) => ({ slot, proposal: proposal({ at: later }) }));
  expect(transition(state, CHAIN, all, trust)).toMatchObject({ clock: { at: later } });
  expect(transition(state, CHAIN, all, trust).members.length).toBe(4);
  const renewed = height(
    state,
    [{ kind: 'join', certificate: founder(0, { expiry: later + DAY }).sealed }],
    [],
    later,
  );
  expect(rosterOf(renewed)).toEqual([founder(0).pop]);
});

describe('equivocation', () => {
  const culprit = foundersOf(4)[1]!;
  const signatureOf = (digest: string, h: number, key = culprit.key) =>
    [digest, signed(key, proposeStatement(genesis, h, digest))] as const;
  const evidence = (one: string, other: string, h = 1, key = culprit.key): RosterOperation => ({
    ...{ kind: 'evidence', pop: culprit.pop, height: h },
    proposals: [signatureOf(one, h, key), signatureOf(other, h, key)],
  });
  const weightOf = (state: DecidedState) => state.members.find(({ pop }) => pop === culprit.pop)?.weight;

  it('costs the weight for a thousand heights, and not the place in the roster', () => {
    const state = height(originOf(4), [evidence('aa'.repeat(32), 'bb'.repeat(32))]);
    expect(weightOf(state)).toBe(1);
    expect(weightOf(height(height(state)))).toBe(1);
    expect(state.members.find(({ pop }) => pop === culprit.pop)?.penaltyUntil).toBe(1001);
  });

  it('is no longer held against it once the penalty would be over', () => {
    const late = { ...originOf(4), height: 1_001 };
    expect(weightOf(height(late, [evidence('aa'.repeat(32), 'bb'.repeat(32))]))).toBe(500);
    const last = { ...originOf(4), height: 999 };
    expect(weightOf(height(last, [evidence('aa'.repeat(32), 'bb'.repeat(32))]))).toBe(1);
    // The same again, or an older one, does not prolong it.
    const state = height(originOf(4), [evidence('aa'.repeat(32), 'bb'.repeat(32))]);
    const again = height(state, [evidence('aa'.repeat(32), 'cc'.repeat(32))]);
    expect(again.members.find(({ pop }) => pop === culprit.pop)?.penaltyUntil).toBe(1001);
  });

  it('is believed with two signatures of that PoP under two proposals only', () => {
    expect(weightOf(height(originOf(4), [evidence('aa'.repeat(32), 'aa'.repeat(32))]))).toBe(500);
    expect(
      weightOf(height(originOf(4), [evidence('aa'.repeat(32), 'bb'.repeat(32), 1, keyOf('pop 9'))])),
    ).toBe(500);
    expect(weightOf(height(originOf(4), [evidence('aa'.repeat(32), 'bb'.repeat(32), 9)]))).toBe(500);
  });
});

describe('the charter', () => {
  const charter = (terms: CharterTerms, key = operator): RosterOperation => ({
    kind: 'charter',
    terms: issueTerms(terms, genesis, key),
  });
  const edition = (version: number, hash = 'ef'): CharterTerms => ({
    ...{ version, hash: hash.repeat(32), epochMs: 5_000, committee: 0 },
  });

  it('takes effect by its terms, newest first, and only the operator can sign them', () => {
    let state = height(originOf(4), [charter(edition(2))]);
    expect(state.charter).toEqual(edition(2));
    state = height(state, [charter(edition(1)), charter(edition(2, 'aa'))]);
    expect(state.charter).toEqual(edition(2));
    expect(height(state, [charter(edition(4)), charter(edition(3, 'aa'))]).charter).toEqual(edition(4));
    expect(height(state, [charter(edition(3), keyOf('pop 1'))]).charter).toEqual(edition(2));
  });

  it('counts for those let in at the same height: they have three heights whatever the epoch', () => {
    let state = height(originOf(5), [charter({ ...edition(2), epochMs: 600_000 }), join(9)]);
    const newcomer = founder(9).pop;
    expect(state.members.find(({ pop }) => pop === newcomer)?.missed).toBe(3);
    for (let h = 0; h < 2; h += 1) state = height(state, [], [newcomer]);
    expect(rosterOf(state)).toContain(newcomer);
    expect(rosterOf(height(state, [], [newcomer]))).not.toContain(newcomer);
  });

  it('of an edition that was signed twice is the same at all PoPs, whoever proposed which', () => {
    const both = [charter(edition(2)), charter(edition(2, 'aa'))];
    const state = height(originOf(4), both);
    expect(height(originOf(4), both.toReversed()).charter).toEqual(state.charter);
  });

  it('brings its epoch to bear on evictions at once', () => {
    const { pop: away } = originOf(5).members[4]!;
    let state = originOf(5);
    for (let h = 0; h < 5; h += 1) state = height(state, [], [away]);
    expect(rosterOf(state)).toContain(away);
    state = height(state, [charter({ ...edition(2), epochMs: 600_000 })], [away]);
    expect(rosterOf(state)).not.toContain(away);
  });
});

it('operations come back as they were sent, and nonsense has a code', () => {
  const all: RosterOperation[] = [
    join(1),
    { kind: 'leave', pop: founder(1).pop, from: 1, to: 9, signature: new Uint8Array(64) },
    { kind: 'ban', revocations: Uint8Array.of(1, 2) },
    { kind: 'charter', terms: Uint8Array.of(3) },
    {
      ...{ kind: 'evidence', pop: founder(1).pop, height: 4 },
      proposals: [
        ['aa'.repeat(32), new Uint8Array(64)],
        ['bb'.repeat(32), new Uint8Array(64)],
      ],
    },
  ];
  for (const operation of all)
    expect(encodeOperation(decodeOperation(encodeOperation(operation)))).toEqual(encodeOperation(operation));
  for (const bytes of [[], [0x91, 9], [0xc1], [0x92, 1, 1]]) {
    expect(() => decodeOperation(Uint8Array.from(bytes))).toThrow(PresageError);
  }
});

it('the next rules come into force after ten heights at which all who were included knew them', () => {
  let state = originOf(4);
  const step = (known: readonly number[]) => {
    const included = known.map((rulesMax, slot) => ({ slot, proposal: proposal({ rulesMax }) }));
    state = transition(state, CHAIN, included, trust);
  };
  for (let h = 0; h < 9; h += 1) step([2, 2, 2, 2]);
  step([2, 2, 1, 2]);
  expect(state.rules).toEqual({ version: 1, streak: 0 });
  for (let h = 0; h < 10; h += 1) step([2, 3, 2]);
  expect(state.rules).toEqual({ version: 2, streak: 0 });
  expect(() => step([2, 2, 2, 2])).toThrow(/rules 2 are not known/);
});
