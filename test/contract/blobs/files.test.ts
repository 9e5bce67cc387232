import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBlobs } from '../../../node/adapters/blobs.ts';
import type { Blobs, Keeping } from '../../../protocol/ports.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';
import { blobsContract } from './contract.ts';

const all: Keeping = { sealed: true };

/** A store that seals whatever it is given. */
function sealing(blobs: Blobs): Blobs {
  return new Proxy(blobs, {
    get(target, name) {
      if (name === 'create') return () => target.create(all);
      if (name === 'put' || name === 'resume')
        return (what: never) => (target[name] as (what: never, keeping: Keeping) => unknown)(what, all);
      const member = target[name as keyof Blobs];
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

for (const sealed of [false, true])
  blobsContract(sealed ? 'sealed files' : 'files', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'presage-blobs-'));
    const sealingKey = randomBytes(32);
    let seed = 1;
    return {
      open: async () => {
        const blobs = await openBlobs(
          { directory, budgetBytes: 2 ** 30, memoryBytes: 2 ** 24, maxObjectBytes: 2 ** 27, sealingKey },
          { log: silentLog, metrics: new CountingMetrics(), random: seededRandom(seed++) },
        );
        return sealed ? sealing(blobs) : blobs;
      },
      clean: () => rm(directory, { recursive: true, force: true }),
    };
  });
