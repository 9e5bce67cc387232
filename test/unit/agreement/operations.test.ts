import { describe, expect, it } from 'vitest';
import { Agreement } from '../../../protocol/agreement.ts';
import { PendingOperations } from '../../../protocol/agreement-operations.ts';
import type { AgreementRecords, Application } from '../../../protocol/agreement-steps.ts';
import { decodeAgreement } from '../../../protocol/messages/agreement.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { GENESIS, popOf, signatureOf } from '../../sim/agreement/pop.ts';
import { Room } from './room.ts';

const operation = (n: number, bytes = 8) => new Uint8Array(bytes).fill(n);
const pending = () => new PendingOperations(seededRandom(1));

describe('pending operations', () => {
  it('wait until they are decided: what did not fit is carried next time', () => {
    const waiting = pending();
    waiting.add(operation(1));
    waiting.add(operation(2));
    expect(waiting.waiting(1, 0)).toEqual([operation(1), operation(2)]);
    waiting.carried([operation(1)]);
    expect(waiting.waiting(2, 0), 'the proposal was not included').toHaveLength(2);
    waiting.included();
    expect(waiting.waiting(3, 0)).toEqual([operation(2)]);
    waiting.decided([operation(2)]);
    expect(waiting.waiting(4, 0)).toEqual([]);
  });

  it('of one purpose only the newest waits, and never more than there is room for', () => {
    const waiting = pending();
    for (let n = 0; n < 100; n += 1) expect(waiting.add(operation(n), 'charter')).toBe(true);
    expect(waiting.waiting(1, 0)).toEqual([operation(99)]);
    for (let n = 0; n < 100; n += 1) waiting.add(operation(n));
    expect(waiting.waiting(1, 0)).toHaveLength(16);
    expect(waiting.add(operation(50))).toBe(false);
  });

  it('of a member that goes are kept for some heights, of one that wants in for some seconds', () => {
    const waiting = pending();
    waiting.hear(popOf(1), operation(1), true, 10, 0);
    waiting.hear(popOf(2), operation(2), false, 10, 0);
    expect(waiting.waiting(10, 4_999)).toHaveLength(2);
    expect(waiting.waiting(17, 5_000)).toEqual([operation(1)]);
    expect(waiting.waiting(18, 5_000)).toEqual([]);
  });

  it('of others take bounded room: one each, short from members, few from outside', () => {
    const waiting = pending();
    for (let n = 0; n < 50; n += 1) waiting.hear(popOf(1), operation(n), true, 1, 0);
    expect(waiting.waiting(1, 0)).toEqual([operation(49)]);
    waiting.hear(popOf(1), operation(7, 257), true, 1, 0);
    expect(waiting.waiting(1, 0)).toEqual([operation(49)]);
    for (let n = 0; n < 200; n += 1) waiting.hear(popOf(100 + n), operation(n, 4096), false, 1, 0);
    expect(waiting.waiting(1, 0)).toHaveLength(65);
  });
});

describe('a PoP that goes', () => {
  /** Bodies are the operations themselves, one at most; who is named by one is no member afterwards. */
  const application: Application = {
    propose: (_, operations) => ({
      body: operations[0] ?? Uint8Array.of(99),
      carried: operations.slice(0, 1),
    }),
    validate: () => true,
    apply: ({ state, roster }, included) => {
      const gone = new Set(included.map(({ body }) => popOf(body[0]!)));
      const left = roster.filter((pop) => !gone.has(pop));
      const operations = included.map(({ body }) => body);
      return { state, roster: left.length < roster.length ? left : undefined, operations };
    },
  };
  const none = new Map<string, Uint8Array>();
  const records: AgreementRecords = { own: none, body: none, header: none, snapshot: none };
  const founders = [0, 1, 2, 3].map(popOf);
  const machine = (self: number) =>
    new Agreement({
      ...{ self: popOf(self), genesis: GENESIS, founders, origin: Uint8Array.of(0), application, records },
      ...{ random: seededRandom(self + 1), epochMs: 1_000 },
      sign: (message) => signatureOf(popOf(self), message),
      verify: (pop, message, signature) => Buffer.compare(signatureOf(pop, message), signature) === 0,
    });

  it('tells all members and may be gone at once: they carry its leave for it', () => {
    const machines = founders.map((_, index) => machine(index));
    const leaver = machines[3]!;
    leaver.step({ type: 'start' }, 0);
    const leave = operation(3);
    const sends = leaver.step({ type: 'leaving', operation: leave }, 0).filter(({ type }) => type === 'send');
    expect(sends).toHaveLength(3);
    const room = new Room(machines.slice(0, 3));
    room.all({ type: 'start' }, 0);
    for (const effect of sends) {
      if (effect.type !== 'send') continue;
      expect(decodeAgreement(effect.bytes)).toEqual({ kind: 'join', operation: leave });
      // All but the last are reached.
      const to = founders.indexOf(effect.to);
      if (to < 2) room.tell(to, { type: 'direct', from: popOf(3), bytes: effect.bytes }, 0);
    }
    room.run(20_000);
    for (const one of machines.slice(0, 3)) expect(one.roster).toEqual(founders.slice(0, 3));
  });
});
