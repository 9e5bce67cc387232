import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBlobs } from '../../../node/adapters/blobs.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';
import { blobsContract } from './contract.ts';

blobsContract('files', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'presage-blobs-'));
  let seed = 1;
  return {
    open: () =>
      openBlobs(
        { directory, budgetBytes: 2 ** 30, memoryBytes: 2 ** 24, maxObjectBytes: 2 ** 27 },
        { log: silentLog, metrics: new CountingMetrics(), random: seededRandom(seed++) },
      ),
    clean: () => rm(directory, { recursive: true, force: true }),
  };
});
