import { ClusterNetwork } from '../../../node/simulator/cluster-network.ts';
import { Life } from '../../../node/simulator/life.ts';
import { VirtualClock } from '../../../node/simulator/virtual-clock.ts';
import { PERFECT, VirtualNetwork } from '../../../node/simulator/virtual-network.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { popOf, readRevocations } from '../../sim/cluster/operator.ts';
import { networkContract } from './suite.ts';

/** Real ms between two steps of virtual time, and how far one goes: the suite waits in real time. */
const STEP_MS = 2;
const VIRTUAL_MS = 20;
const SETTLE_STEPS = 5_000;

networkContract('the simulated network', async (count) => {
  const clock = new VirtualClock();
  const links = new VirtualNetwork(clock, seededRandom(1), PERFECT);
  const network = new ClusterNetwork(links, {
    ...{ clock, random: seededRandom(2), revocations: { read: readRevocations } },
  });
  let running = true;
  const goOn = async (): Promise<void> => {
    while (running) {
      await clock.runSettled(VIRTUAL_MS);
      await new Promise((resolve) => setTimeout(resolve, STEP_MS));
    }
  };
  void goOn();
  const lives = Array.from({ length: count }, () => new Life());
  const pops = lives.map((life, index) => network.join(index, popOf(index).certificate, life));
  return {
    pops,
    settle: async (condition) => {
      for (let step = 0; step < SETTLE_STEPS && !condition(); step += 1)
        await new Promise((resolve) => setTimeout(resolve, STEP_MS));
    },
    remove: async (index) => {
      lives[index]?.end();
      network.leave(pops[index]!.self, false);
    },
    close: async () => {
      running = false;
    },
  };
});
