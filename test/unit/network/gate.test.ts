import type { Connection } from '@libp2p/interface';
import { describe, expect, it } from 'vitest';
import { createAdmission } from '../../../node/adapters/admission.ts';
import { ADMIT_DEADLINE_MS, ADMIT_WAITING } from '../../../protocol/admission.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { recorder, testLog } from '../../integration/network/cluster.ts';
import { stepClock } from './step-clock.ts';

function world() {
  const time = stepClock();
  const metrics = recorder();
  const gate = createAdmission(
    { certificate: new Uint8Array(), self: 'self' as PopId },
    {
      log: testLog(),
      metrics,
      clock: time.clock,
      check: () => {
        throw new Error('nobody shows a certificate here');
      },
      ready: () => undefined,
      lost: () => undefined,
    },
  );
  let next = 0;
  const stranger = (options: { throws?: boolean; peer?: string } = {}) => {
    next += 1;
    const connection = {
      id: `connection ${next}`,
      direction: 'inbound',
      status: 'open',
      remotePeer: options.peer ?? `stranger ${next}`,
      abort() {
        connection.status = 'aborted';
        if (options.throws) throw new Error('Cannot write to a stream that is closed');
      },
    };
    return connection as typeof connection & Connection;
  };
  return { ...time, gate, metrics, stranger };
}

describe('the gate', () => {
  it('lets so many strangers wait, turns the next away, and has room again when one leaves', () => {
    const { gate, metrics, stranger } = world();
    const waiting = Array.from({ length: ADMIT_WAITING }, () => stranger());
    for (const connection of waiting) gate.opened(connection);
    expect(waiting.every(({ status }) => status === 'open')).toBe(true);
    const surplus = stranger();
    gate.opened(surplus);
    expect(surplus.status).toBe('aborted');
    expect(metrics.total('presage_admissions_total', { result: 'ADMIT_CROWDED' })).toBe(1);
    gate.closed(waiting[0]!);
    const later = stranger();
    gate.opened(later);
    expect(later.status).toBe('open');
    expect(gate.accepts(later)).toBe(false);
    expect(gate.isReady(later)).toBe(false);
  });
  it('closes every one of them at the deadline, each counted once, even where closing throws', async () => {
    const { gate, metrics, stranger, run } = world();
    const waiting = Array.from({ length: 10 }, (_, i) => stranger({ throws: i % 2 === 0 }));
    for (const connection of waiting) gate.opened(connection);
    await run(ADMIT_DEADLINE_MS - 1);
    expect(waiting.every(({ status }) => status === 'open')).toBe(true);
    await run(60_000);
    expect(waiting.every(({ status }) => status === 'aborted')).toBe(true);
    expect(metrics.total('presage_admissions_total', { result: 'ADMIT_TIMEOUT' })).toBe(10);
  });
  it('does not talk to itself', () => {
    const { gate, stranger } = world();
    const own = stranger({ peer: 'self' });
    gate.opened(own);
    expect(own.status).toBe('aborted');
  });
});
