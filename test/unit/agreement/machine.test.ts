import { describe, expect, it } from 'vitest';
import { Agreement } from '../../../protocol/agreement.ts';
import { heightKey } from '../../../protocol/agreement-chain.ts';
import type {
  AgreementEffect,
  AgreementRecords,
  AgreementTable,
  Application,
} from '../../../protocol/agreement-steps.ts';
import { coalesceMs } from '../../../protocol/agreement-timing.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { decodeAgreement, encodeAgreement } from '../../../protocol/messages/agreement.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { decodeOperation, encodeOperation } from '../../../protocol/roster-operations.ts';
import { GENESIS, popOf, signatureOf } from '../../sim/agreement/pop.ts';
import { Room } from './room.ts';

const EPOCH_MS = 1_000;
const application: Application = {
  propose: ({ height }) => ({ body: Uint8Array.of(1, height), carried: [] }),
  validate: (body) => body[0] === 1,
  apply: ({ state }, included) => ({ state: Uint8Array.of(state[0]! + included.length), roster: undefined }),
};

type Tables = Record<AgreementTable, Map<string, Uint8Array>>;
const emptyDisk = (): Tables => ({ own: new Map(), body: new Map(), header: new Map(), snapshot: new Map() });

function machine(self: number, size: number, records: AgreementRecords): Agreement {
  const founders = Array.from({ length: size }, (_, index) => popOf(index));
  return new Agreement({
    ...{ self: popOf(self), genesis: GENESIS, founders, origin: Uint8Array.of(0), application, records },
    ...{ random: seededRandom(self + 1), epochMs: EPOCH_MS },
    sign: (message) => signatureOf(popOf(self), message),
    verify: (pop, message, signature) => Buffer.compare(signatureOf(pop, message), signature) === 0,
  });
}

/** Carries out the writes at once, and what follows from them. */
function settle(
  agreement: Agreement,
  effects: AgreementEffect[],
  disk: Tables,
  now: number,
): AgreementEffect[] {
  const seen: AgreementEffect[] = [];
  const queue = [...effects];
  for (let effect = queue.shift(); effect; effect = queue.shift()) {
    seen.push(effect);
    if (effect.type !== 'persist') continue;
    for (const { table, key, value } of effect.writes) {
      if (value) disk[table].set(key, value);
      else disk[table].delete(key);
    }
    queue.push(...agreement.step({ type: 'persisted', token: effect.token }, now));
  }
  return seen;
}

describe('a PoP alone', () => {
  it('decides by itself on every beat, and tells only what is on disk', () => {
    const disk = emptyDisk();
    const alone = machine(0, 1, disk);
    settle(alone, alone.step({ type: 'start' }, 0), disk, 0);
    expect(alone.height).toBe(0);
    const effects = alone.step({ type: 'propose' }, 0);
    expect(effects.map(({ type }) => type)).toContain('persist');
    expect(effects.map(({ type }) => type)).not.toContain('decided');
    const told = settle(alone, effects, disk, 0).filter(({ type }) => type === 'decided');
    expect(told).toHaveLength(1);
    settle(alone, alone.step({ type: 'propose' }, EPOCH_MS / 2 - 1), disk, EPOCH_MS / 2 - 1);
    expect(alone.height, 'a beat of the epoch that has begun').toBe(1);
    settle(alone, alone.step({ type: 'propose' }, EPOCH_MS / 2), disk, EPOCH_MS / 2);
    expect(alone.height).toBe(2);
    expect([...disk.header.keys()]).toEqual([heightKey(1), heightKey(2)]);
  });

  it('goes on without beats, after one and a half epochs', () => {
    const disk = emptyDisk();
    const alone = machine(0, 1, disk);
    settle(alone, alone.step({ type: 'start' }, 0), disk, 0);
    for (const [at, height] of [
      [1.5 * EPOCH_MS - 1, 0],
      [1.5 * EPOCH_MS, 1],
      [3 * EPOCH_MS - 1, 1],
      [3 * EPOCH_MS, 2],
    ] as const) {
      settle(alone, alone.step({ type: 'tick' }, at), disk, at);
      expect(alone.height).toBe(height);
    }
  });

  it('shows the proposals that counted, again after a restart', () => {
    const disk = emptyDisk();
    const before = machine(0, 1, disk);
    before.step({ type: 'start' }, 0);
    const effects = settle(before, before.step({ type: 'propose' }, 0), disk, 0);
    const after = machine(0, 1, disk);
    effects.push(...settle(after, after.step({ type: 'start' }, 10), disk, 10));
    const included = effects.flatMap((effect) =>
      effect.type === 'decided' ? [effect.decided.included] : [],
    );
    const one = { slot: 0, proposer: popOf(0), body: Uint8Array.of(1, 1) };
    expect(included).toEqual([[one], [one]]);
  });

  it('tells its last decision again after a restart, and goes on from there', () => {
    const disk = emptyDisk();
    const before = machine(0, 1, disk);
    before.step({ type: 'start' }, 0);
    settle(before, before.step({ type: 'propose' }, 0), disk, 0);
    const after = machine(0, 1, disk);
    const effects = settle(after, after.step({ type: 'start' }, 10), disk, 10);
    effects.push(...settle(after, after.step({ type: 'propose' }, 11), disk, 11));
    const heights = effects.flatMap((effect) =>
      effect.type === 'decided' ? [[effect.decided.header.height, effect.decided.again]] : [],
    );
    expect(heights).toEqual([
      [1, true],
      [2, false],
    ]);
  });

  it('tries a refused write again, and tells nothing before it is done', () => {
    const disk = emptyDisk();
    const alone = machine(0, 1, disk);
    alone.step({ type: 'start' }, 0);
    const [persist] = alone.step({ type: 'propose' }, 0).filter((effect) => effect.type === 'persist');
    const refused = alone.step({ type: 'not-persisted', token: persist!.token, code: 'STORE_IO' }, 5);
    expect(refused.map(({ type }) => type)).not.toContain('decided');
    const again = settle(alone, alone.step({ type: 'tick' }, 1_005), disk, 1_005);
    expect(again.map(({ type }) => type)).toContain('decided');
  });
});

describe('a member', () => {
  const send = (to: Agreement, from: PopId, bytes: Uint8Array, now: number) =>
    to.heard(from, bytes, now).verdict.verdict;

  it('ignores strangers and itself, and rejects what is malformed or forged', () => {
    const member = machine(0, 4, emptyDisk());
    member.step({ type: 'start' }, 0);
    const echo = encodeAgreement({ kind: 'echo', height: 1, echoes: [] });
    expect(send(member, popOf(9), echo, 1)).toBe('ignore');
    expect(send(member, popOf(0), echo, 1)).toBe('ignore');
    expect(send(member, popOf(1), echo, 1)).toBe('accept');
    expect(send(member, popOf(1), Uint8Array.of(0x91, 99), 1)).toBe('reject');
    const forged = encodeAgreement({
      ...{
        kind: 'propose',
        height: 1,
        id: 'ab'.repeat(32),
        length: 1,
        signature: new Uint8Array(64),
        body: undefined,
      },
    });
    expect(send(member, popOf(1), forged, 1)).toBe('reject');
  });

  it('says that it is degraded when nothing is decided for three epochs', () => {
    const member = machine(0, 4, emptyDisk());
    member.step({ type: 'start' }, 0);
    expect(member.step({ type: 'tick' }, 3 * EPOCH_MS - 1).some(({ type }) => type === 'degraded')).toBe(
      false,
    );
    expect(member.step({ type: 'tick' }, 3 * EPOCH_MS)).toContainEqual({
      type: 'degraded',
      degraded: true,
      height: 1,
    });
  });

  it('falls silent when its peers hold newer votes from it than its disk', () => {
    const member = machine(0, 4, emptyDisk());
    member.step({ type: 'start' }, 0);
    const decision = (seq: number) =>
      encodeAgreement({
        ...{ kind: 'decision', headers: [], snapshot: new Uint8Array(0), tip: undefined, held: [1, seq] },
      });
    member.step({ type: 'direct', from: popOf(1), bytes: decision(50) }, 1);
    expect(member.voting, 'one may lie').toBe(true);
    member.step({ type: 'direct', from: popOf(2), bytes: decision(50) }, 2);
    expect(member.voting).toBe(false);
  });

  it('proves that a member proposed two things', () => {
    const member = machine(0, 4, emptyDisk());
    member.step({ type: 'start' }, 0);
    const disk = emptyDisk();
    const other = { ...application, propose: () => ({ body: Uint8Array.of(1, 99), carried: [] }) };
    const proposals = [application, other].map((app) => {
      const twin = new Agreement({
        ...{ self: popOf(1), genesis: GENESIS, founders: [0, 1, 2, 3].map(popOf), origin: Uint8Array.of(0) },
        ...{ application: app, records: disk, random: seededRandom(1), epochMs: EPOCH_MS },
        sign: (message) => signatureOf(popOf(1), message),
        verify: () => true,
      });
      twin.step({ type: 'start' }, 0);
      settle(twin, twin.step({ type: 'propose' }, 0), emptyDisk(), 0);
      const said = settle(twin, twin.step({ type: 'tick' }, 200), emptyDisk(), 200);
      return said.flatMap((effect) =>
        effect.type === 'publish' && decodeAgreement(effect.bytes).kind === 'propose' ? [effect.bytes] : [],
      )[0]!;
    });
    member.heard(popOf(1), proposals[0]!, 300);
    const { effects } = member.heard(popOf(1), proposals[1]!, 301);
    const shown = effects.find((effect) => effect.type === 'equivocation');
    expect(shown).toMatchObject({ equivocation: { height: 1, pop: popOf(1) } });
    const operation = encodeOperation({ kind: 'evidence', ...shown!.equivocation });
    expect(decodeOperation(operation)).toEqual({ kind: 'evidence', ...shown!.equivocation });
    const [[lower], [higher]] = shown!.equivocation.proposals;
    expect(lower < higher, 'the same evidence whichever came first').toBe(true);
    const more = [...member.heard(popOf(1), proposals[0]!, 302).effects];
    more.push(...member.heard(popOf(1), proposals[1]!, 303).effects);
    expect(more.filter(({ type }) => type === 'equivocation')).toEqual([]);
  });

  it('proposes on a beat, or as soon as the height before is decided', () => {
    const [one, other] = [machine(0, 2, emptyDisk()), machine(1, 2, emptyDisk())];
    const room = new Room([one, other]);
    room.all({ type: 'start' }, 0);
    room.run(0);
    expect(one.height).toBe(0);
    room.tell(0, { type: 'propose' }, 0);
    room.run(EPOCH_MS - 1);
    expect([one.height, other.height], 'the other followed').toEqual([1, 1]);
    room.cut = true;
    room.tell(0, { type: 'propose' }, EPOCH_MS);
    room.run(EPOCH_MS);
    room.tell(0, { type: 'propose' }, 2 * EPOCH_MS);
    room.run(2 * EPOCH_MS);
    expect(one.height).toBe(1);
    room.cut = false;
    room.run(8 * EPOCH_MS);
    // What a PoP proposes is told a moment later.
    const starts = room.proposals(0).map((at) => at - coalesceMs(2, 0, 0));
    expect(starts.slice(0, 2)).toEqual([0, EPOCH_MS]);
    // The beat of the second epoch was kept for the height after the one that stalled.
    expect(starts[2]).toBe(room.decisions(0)[1]);
    expect(starts[3]).toBe(starts[2]! + 1.5 * EPOCH_MS);
  });
});
