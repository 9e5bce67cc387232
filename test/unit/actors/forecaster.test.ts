import { describe, expect, it } from 'vitest';
import { type ForecasterMessage, type ForecasterStatus, forecasterSpec } from '../../../actors/forecaster.ts';
import { ActorSystem } from '../../../actors/kernel/system.ts';
import type { AccuracyTally } from '../../../forecasting/accuracy.ts';
import { cheapForecast, type DemandForecast } from '../../../forecasting/demand.ts';
import { sameThread } from '../../../forecasting/endpoint.ts';
import { MindWorker } from '../../../forecasting/mind-worker.ts';
import { loneCharter } from '../../../node/lone-charter.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import type { Table } from '../../../protocol/ports.ts';
import type { Summary } from '../../../protocol/summary.ts';
import { CountingMetrics, StepClock, settled, silentLog } from '../../step-clock.ts';

const EPOCH_MS = 10_000;
const self = `12D3KooW${'a'.repeat(44)}` as PopId;
const region = 'local' as RegionId;
const charter = loneCharter({
  region,
  origin: 'http://o.example',
  epochMs: EPOCH_MS,
  key: new Uint8Array(32),
});
const KEY16 = '0123456789abcdef0123456789abcdef' as Key16;

/** A table in memory; what was written outlives the actor. */
function table<V>(rows = new Map<string, V>()): Table<V> {
  return {
    name: 'memory',
    get: async (key) => rows.get(key),
    async *entries() {
      yield* rows;
    },
    put: async (key, value) => void rows.set(key, value),
    del: async (key) => void rows.delete(key),
    batch: async (writes) => {
      for (const write of writes)
        write.type === 'put' ? rows.set(write.key, write.value) : rows.delete(write.key);
    },
  };
}

const summary = (sequence: number, to: number, count: number): Summary => ({
  ...{
    pop: self,
    sequence,
    from: to - EPOCH_MS,
    to,
    requests: count,
    bytes: count,
    tail: { requests: 0, bytes: 0 },
  },
  capacities: { storageBudgetMiB: 10, storageFreeMiB: 10, fillKiBps: 100, load: 0, state: 'up' },
  worth: { mirroredKiB: 0, usedKiB: 0, unusedKiB: 0 },
  resources: [
    {
      key16: KEY16,
      site: 'default' as SiteId,
      size: 1_000,
      kind: 1,
      group: 1,
      clients: [1, 0],
      regions: [{ region, count, bytes: count }],
    },
  ],
  companions: [],
});

async function forecaster(options: {
  answers: boolean;
  history?: Table<readonly unknown[]>;
  learned?: Table<unknown>;
  accuracy?: Table<AccuracyTally>;
}) {
  const clock = new StepClock();
  const asked: number[] = [];
  const planned: number[] = [];
  const system = new ActorSystem({
    clock,
    log: silentLog,
    metrics: new CountingMetrics(),
    yieldTurn: settled,
  });
  const actor = system.actor<ForecasterMessage>(
    forecasterSpec({
      mind: () => {
        const members = [{ id: self, name: 'a', region }];
        const mind = {
          ...{ self, region, charter, charterHash: '', members },
          ...{ historyBytes: 64 << 20 },
        };
        return {
          remote: sameThread(new MindWorker(mind)),
          died: new Promise<never>(() => undefined),
          terminate: async () => undefined,
        };
      },
      capacities: () => ({ ...summary(1, EPOCH_MS, 1).capacities }),
      ready: () => undefined,
      members: () => [{ id: self, name: 'a', region }],
      pool: {
        forecastDemand: (batch, request) => {
          asked.push(batch.length);
          return options.answers
            ? Promise.resolve(batch.map((history): DemandForecast => cheapForecast(history, request)))
            : new Promise(() => undefined);
        },
      },
      demand: { speed: 1, now: () => clock.now(), at: (real) => real },
      events: { emit: () => undefined },
      history: options.history ?? table(),
      learned: options.learned ?? table(),
      accuracy: options.accuracy ?? table(),
      ...{ epochMs: EPOCH_MS, horizonMs: () => charter.horizonMs, level: 0.9 },
      worth: () => undefined,
      planned: (_wanted, epoch) => void planned.push(epoch),
      prefer: () => undefined,
    }),
  );
  await system.start(system.group('root', 'one-for-one', { restarts: 0, withinMs: 1 }, [actor]), (error) => {
    throw error;
  });
  const status = () => actor.ask<ForecasterStatus>((reply) => ({ type: 'status', reply }), 1_000);
  /** So many epochs, each with a window in which the resource is asked for. */
  const epochs = async (count: number, first = 1) => {
    for (let epoch = first; epoch < first + count; epoch += 1) {
      await clock.advance(EPOCH_MS - 3_000);
      actor.tell({ type: 'summary', summary: summary(epoch, clock.now(), 30) });
      actor.tell({ type: 'closed', epoch });
      await clock.advance(3_000);
    }
  };
  return { actor, asked, planned, status, epochs, system, clock };
}

describe('the forecaster', () => {
  it('forecasts what is established and plans once an epoch', async () => {
    const { asked, planned, status, epochs } = await forecaster({ answers: true });
    await epochs(12);
    expect(planned).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(asked.at(-1)).toBe(1);
    const { epochs: records, resources, forecastAccuracy } = await status();
    expect(records).toHaveLength(12);
    expect(resources).toBe(1);
    expect(forecastAccuracy[0]?.samples).toBeGreaterThan(0);
  });

  it('answers while its series are with the workers, and gives up on workers that never answer', async () => {
    const { asked, status, epochs } = await forecaster({ answers: false });
    await epochs(12);
    expect((await status()).resources).toBe(1);
    expect(asked.length).toBeGreaterThan(1);
    expect(asked.length).toBeLessThan(12);
  });

  it('takes its history back after a restart', async () => {
    const [history, learned] = [table<readonly unknown[]>(), table<unknown>()];
    const first = await forecaster({ answers: true, history, learned });
    await first.epochs(3);
    await first.system.stop(1_000);
    const second = await forecaster({ answers: true, history, learned });
    expect((await second.status()).resources).toBe(1);
  });

  it('goes on from its tallies of accuracy without having been stopped', async () => {
    const [history, accuracy] = [table<readonly unknown[]>(), table<AccuracyTally>()];
    const first = await forecaster({ answers: true, history, accuracy });
    await first.epochs(12);
    const { forecastAccuracy: before } = await first.status();
    expect(before[0]?.samples).toBeGreaterThan(5);
    const second = await forecaster({ answers: true, history, accuracy });
    expect((await second.status()).forecastAccuracy).toEqual(before);
  });
});
