import { systemClock } from '../../../node/adapters/clock.ts';
import { VirtualBlobs } from '../../../node/simulator/virtual-blobs.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { blobsContract } from './contract.ts';

blobsContract('the simulated disk', async () => {
  const blobs = new VirtualBlobs();
  const random = seededRandom(1);
  return {
    open: async () =>
      blobs.open({
        ...{ clock: systemClock, random, conditions: () => ({ minMs: 0, maxMs: 2 }) },
        ...{ budgetBytes: 2 ** 30, memoryBytes: 2 ** 24, maxObjectBytes: 2 ** 27 },
        makeRoom: async () => undefined,
        lost: () => undefined,
      }),
    clean: async () => undefined,
  };
});
