import { systemClock } from '../../../node/adapters/clock.ts';
import { VirtualDatabase } from '../../../node/simulator/virtual-database.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { describeDatabase } from './suite.ts';

describeDatabase('the simulated disk', async () => {
  const database = new VirtualDatabase();
  const random = seededRandom(1);
  return {
    open: async () =>
      database.open({ clock: systemClock, random, conditions: () => ({ minMs: 0, maxMs: 3 }) }),
    dispose: async () => undefined,
  };
});
