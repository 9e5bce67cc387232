import { createOperator, startPop, until } from '../../integration/network/cluster.ts';
import { networkContract } from './suite.ts';

networkContract('libp2p', async (count) => {
  const operator = createOperator();
  const first = await startPop(operator);
  const rest = await Promise.all(
    Array.from({ length: count - 1 }, () => startPop(operator, { bootstrap: first.addresses() })),
  );
  const pops = [first, ...rest];
  const removed = new Set<number>();
  return {
    pops,
    settle: async (condition) => void (await until('the contract condition', condition)),
    remove: async (index) => {
      removed.add(index);
      await pops[index]?.close();
    },
    close: async () => {
      await Promise.all(pops.filter((_, index) => !removed.has(index)).map((pop) => pop.close()));
    },
  };
});
