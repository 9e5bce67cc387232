import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeHeader, encodeHeader, inSlotOrder } from '../../../protocol/agreement-header.ts';
import { Tally } from '../../../protocol/agreement-tally.ts';
import { PresageError } from '../../../protocol/errors.ts';
import {
  type AgreementMessage,
  decodeAgreement,
  encodeAgreement,
} from '../../../protocol/messages/agreement.ts';
import { applyOperations } from '../../../protocol/roster-operations.ts';
import { admission, banishment, farewell, originOf, TRUST } from '../../sim/agreement/operator.ts';
import { popOf } from '../../sim/agreement/pop.ts';

const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((b) => Buffer.from(b).toString('hex'));
const signature = fc.uint8Array({ minLength: 64, maxLength: 64 });
const height = fc.integer({ min: 1, max: 2 ** 40 });
const slot = fc.integer({ min: 0, max: 9 });
const bits = fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ minLength: 2, maxLength: 2 }));
const pairs = fc.array(fc.tuple(slot, digest), { maxLength: 10 });
const cert = fc.array(fc.tuple(slot, signature), { maxLength: 4 });
const certified = fc.tuple(fc.uint8Array({ maxLength: 40 }), cert);
const vote = fc.record({
  kind: fc.constant('vote' as const),
  height,
  seq: fc.nat(),
  ready: bits,
  alternative: pairs,
  rounds: fc.array(fc.tuple(bits, bits, bits, bits), { maxLength: 4 }),
  decided: fc.tuple(bits, bits),
  commit: fc.option(fc.record({ hash: digest, signature }), { nil: undefined }),
});
const message: fc.Arbitrary<AgreementMessage> = fc.oneof(
  vote,
  fc.record({
    kind: fc.constant('propose' as const),
    ...{ height, id: digest, length: fc.nat(1000), signature },
    body: fc.option(fc.uint8Array({ maxLength: 50 }), { nil: undefined }),
  }),
  fc.record({ kind: fc.constant('echo' as const), height, echoes: pairs }),
  fc.record({
    kind: fc.constant('compact-echo' as const),
    height,
    blocks: fc.array(fc.tuple(fc.nat(7), fc.uint8Array({ minLength: 8, maxLength: 8 }), digest), {
      maxLength: 8,
    }),
  }),
  fc.record({ kind: fc.constant('sync' as const), height }),
  fc.record({ kind: fc.constant('body-request' as const), id: digest }),
  fc.record({ kind: fc.constant('body' as const), id: digest, bytes: fc.uint8Array() }),
  fc.record({
    kind: fc.constant('decision' as const),
    headers: fc.array(certified, { maxLength: 3 }),
    snapshot: fc.uint8Array(),
    tip: fc.option(certified, { nil: undefined }),
    held: fc.tuple(fc.nat(), fc.nat()),
  }),
  fc.record({ kind: fc.constant('join' as const), operation: fc.uint8Array({ minLength: 1 }) }),
);

describe('messages of agreement', () => {
  it('survive the wire', () => {
    fc.assert(
      fc.property(message, (m) => {
        expect(decodeAgreement(encodeAgreement(m))).toEqual(m);
      }),
    );
  });

  it('are refused with a code when damaged, or still have a shape', () => {
    fc.assert(
      fc.property(message, fc.nat(), fc.integer({ min: 1, max: 255 }), (m, at, flip) => {
        const bytes = encodeAgreement(m);
        bytes[at % bytes.length]! ^= flip;
        try {
          decodeAgreement(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(PresageError);
        }
      }),
    );
  });

  it('headers survive, their rosters sorted', () => {
    const roster = fc.option(fc.uniqueArray(slot, { minLength: 1 }), { nil: undefined });
    fc.assert(
      fc.property(height, digest, pairs, digest, roster, (h, previous, included, stateHash, slots) => {
        const pops = slots && inSlotOrder(slots.map(popOf));
        const header = { height: h, previous, included, stateHash, roster: pops };
        expect(decodeHeader(encodeHeader(header))).toEqual(header);
      }),
    );
  });
});

describe('the tally', () => {
  it('counts the same whatever order the newest votes come in, and however often', () => {
    const senders = fc.array(vote, { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(senders, fc.nat(), (votes, turn) => {
        const count = (order: readonly number[]) => {
          const tally = new Tally(10, 3, true);
          for (const s of order) tally.vote(s, votes[s]!);
          const counts: number[] = [tally.rounds];
          for (let j = 0; j < 10; j += 1) {
            for (let r = 0; r < tally.rounds; r += 1) {
              counts.push(
                tally.bvals(r, 0, j),
                tally.bvals(r, 1, j),
                tally.auxes(r, 0, j),
                tally.auxes(r, 1, j),
              );
            }
          }
          return counts;
        };
        const order = votes.map((_, s) => s);
        const turned = [...order.slice(turn % order.length), ...order.slice(0, turn % order.length)];
        expect(count([...turned, ...order])).toEqual(count(order));
      }),
    );
  });
});

describe('the roster', () => {
  it('follows from what was decided, whatever order operations come in; never empty, never unsorted', () => {
    const pop = fc.integer({ min: 0, max: 15 }).map(popOf);
    const operation = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 60 }),
      fc.tuple(fc.constantFrom(admission, farewell, banishment), pop).map(([make, one]) => make(one)),
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.array(operation, { maxLength: 6 }),
        fc.uniqueArray(fc.integer({ min: 0, max: 11 })),
        (n, operations, away) => {
          const pops = Array.from({ length: n }, (_, index) => popOf(index));
          const state = { ...originOf(pops, 5), height: 3 };
          const members = state.members.map((one, at) => ({ ...one, missed: away.includes(at) ? 5 : 0 }));
          const one = applyOperations({ ...state, members }, operations, TRUST);
          const other = applyOperations({ ...state, members }, operations.toReversed(), TRUST);
          expect(one).toEqual(other);
          const roster = one.members.map((member) => member.pop);
          expect(roster).toEqual(inSlotOrder(roster));
          expect(roster.length).toBeGreaterThan(0);
          const joined = roster.filter((member) => !pops.includes(member));
          expect(joined.length).toBeLessThanOrEqual(Math.max(1, n >> 3));
          const asked = new Set(operations.map((each) => Buffer.from(each).toString('hex')));
          const has = (each: Uint8Array) => asked.has(Buffer.from(each).toString('hex'));
          const evicted = pops.filter(
            (member) => !roster.includes(member) && !has(farewell(member)) && !has(banishment(member)),
          );
          if (evicted.length > 0) expect(roster.length - joined.length).toBeGreaterThanOrEqual(4);
        },
      ),
    );
  });
});
