import * as v from 'valibot';
import { openLevel } from '../../../node/adapters/level.ts';
import { recordTable } from '../../../node/adapters/level-record.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';

/** Writes synced records for ever and tells the parent of each that is durable. It is killed in the middle. */
const spec = recordTable(
  'things',
  7,
  v.object({ id: v.number(), name: v.string(), at: v.map(v.string(), v.number()) }),
);
const database = await openLevel(process.argv[2] ?? '', { log: silentLog, metrics: new CountingMetrics() });
for (let id = 0; ; id += 1) {
  await database
    .table(spec)
    .put(`k${id}`, { id, name: `thing ${id}`, at: new Map([['x', id]]) }, { sync: true });
  process.send?.(id);
}
