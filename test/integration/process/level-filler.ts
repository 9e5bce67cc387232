import { openLevel } from '../../../node/adapters/level.ts';
import { codeOf } from '../../../protocol/errors.ts';
import type { Log, TableSpec } from '../../../protocol/ports.ts';
import { CountingMetrics } from '../../step-clock.ts';

/**
 * Writes until the disk is full, reads on, and writes again when the parent says that there is room. Tells the
 * parent: the first failure's code, whether reads go on, how many writes it took to succeed again, and what is there.
 */
const lines: string[] = [];
const log: Log = {
  debug: () => undefined,
  info: (message) => lines.push(message),
  warn: (message) => lines.push(message),
  error: (message) => lines.push(message),
  child: () => log,
};
const spec: TableSpec<Uint8Array> = {
  name: 'blocks',
  prefix: 3,
  encode: (value) => value,
  decode: (bytes) => bytes,
};
const database = await openLevel(process.argv[2] ?? '', { log, metrics: new CountingMetrics() });
const table = database.table(spec);
const block = (id: number) => Buffer.alloc(4096, id % 251);

let stored = 0;
let code = 'none';
while (code === 'none' && stored < 10_000) {
  try {
    await table.put(`k${stored}`, block(stored), { sync: true });
    stored += 1;
  } catch (error) {
    code = codeOf(error);
  }
}
const readable = async () => {
  for (let id = 0; id < stored; id += 1) {
    const value = await table.get(`k${id}`);
    if (!value || Buffer.compare(value, block(id)) !== 0) return false;
  }
  return true;
};
process.send?.({ code, stored, readable: await readable() });

await new Promise((resolve) => process.once('message', resolve));
let attempts = 0;
for (let done = false; !done && attempts < 100; attempts += 1) {
  try {
    await table.put('again', block(1), { sync: true });
    done = true;
  } catch {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
process.send?.({ attempts, readable: (await readable()) && (await table.get('again')) !== undefined, lines });
await database.close();
process.disconnect?.();
