import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { openBlobs } from '../../../node/adapters/blobs.ts';
import type { ContentHash } from '../../../protocol/ids.ts';
import { CHUNK_BYTES } from '../../../protocol/ports.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';

/** Stores contents of all sizes until it is killed; prints `put HASH` or `del HASH` once the store has answered. */
const [directory = '', seedText = '1'] = process.argv.slice(2);
const random = seededRandom(Number(seedText));
const blobs = await openBlobs(
  { directory, budgetBytes: 2 ** 30, memoryBytes: 2 ** 20, maxObjectBytes: 2 ** 26 },
  { log: silentLog, metrics: new CountingMetrics(), random },
);
const sizes = [10, 5_000, CHUNK_BYTES, 3 * CHUNK_BYTES + 5];
const stored: ContentHash[] = [];
const say = (text: string) => writeSync(1, `${text}\n`);

async function one(): Promise<void> {
  const size = sizes[Math.floor(random.float() * sizes.length)] ?? 1;
  const bytes = Buffer.alloc(size, createHash('sha256').update(String(random.uint32())).digest());
  const hash = await blobs.put(bytes);
  stored.push(hash);
  say(`put ${hash}`);
  if (random.float() < 0.2) {
    const victim = stored.shift();
    if (!victim) return;
    say(`try ${victim}`);
    await blobs.delete(victim);
    say(`del ${victim}`);
  }
}
for (;;) await Promise.all([one(), one(), one()]);
