import type { Twist } from '../../../node/simulator/network-hooks.ts';
import type { SimulatedPop } from '../../../node/simulator/simulated-pop.ts';
import type { Defects } from '../../../protocol/agreement-steps.ts';
import type { Invalidations } from '../../../protocol/invalidation.ts';
import type { ProtocolName } from '../../../protocol/ports.ts';
import type { Draw, Fault } from './draw.ts';
import { type Outcome, Scenario } from './scenario.ts';

/** A defect that is put in on purpose: a checker must notice it, or the simulation proves nothing. */
export interface Sabotage {
  readonly name: string;
  /** The checker that is to notice it. */
  readonly by: string;
  readonly pops: number;
  readonly faults: readonly Fault[];
  /** The first seed in which it was noticed; the tests look from there on. */
  readonly seed: number;
  readonly defects?: Defects;
  /** What the seed drew, changed. */
  redraw?(drawn: Draw): Partial<Draw>;
  /** What honest PoPs send in place of what they should. */
  readonly twist?: Twist;
  /** Once, before the PoP starts for the first time. */
  build?(pop: SimulatedPop): void;
  /** Before each start. */
  start?(pop: SimulatedPop): void;
  /** When it runs, before anybody is served. */
  running?(pop: SimulatedPop): void;
}

/** The table of purges, and that of the agreement, by their prefixes. */
const PURGES = 3;
const AGREEMENT = 20;

const withoutCalls = (silenced: ProtocolName): Twist => ({
  gossip: (topic, bytes) => (topic === silenced ? [] : [bytes]),
  request: (protocol, bytes) => (protocol === silenced ? undefined : bytes),
  reply: (_protocol, bytes) => bytes,
});

const invalidationsOf = (pop: SimulatedPop): Invalidations | undefined =>
  pop.running?.store.ledger.invalidations;

export const SABOTAGES: readonly Sabotage[] = [
  {
    name: 'a disk that says that it has written before it has',
    ...{ seed: 7, by: 'agreement', pops: 4, faults: ['crash', 'torn'] },
    build: (pop) => {
      pop.database.liesAboutSync = true;
    },
  },
  {
    name: 'decisions are forgotten at a restart',
    ...{ seed: 1, by: 'agreement', pops: 1, faults: ['crash'] },
    start: (pop) => pop.database.forget(AGREEMENT),
  },
  {
    name: 'purges are forgotten at a restart',
    ...{ seed: 2, by: 'stale', pops: 1, faults: ['torn'] },
    // Soon after a purge, before what it concerns has been taken off the disk.
    redraw: () => ({ purgeMs: 150, requestMs: 20, tear: 0.2, disk: { minMs: 40, maxMs: 200 } }),
    start: (pop) => pop.database.forget(PURGES),
  },
  {
    name: 'a fetch that began before a purge is stored as if it had begun after',
    ...{ seed: 1, by: 'stale', pops: 3, faults: ['origin'] },
    redraw: (drawn) => ({ origin: { ...drawn.origin, minMs: 300, maxMs: 1_500, failures: 0 }, purgeMs: 400 }),
    running: (pop) => {
      const own = invalidationsOf(pop);
      if (!own) return;
      const { fenceAt } = own;
      own.fenceAt = (_ordinal, handle) => fenceAt.call(own, own.ordinal, handle);
      own.overtaken = () => false;
    },
  },
  {
    name: 'clocks are compared instead of fences',
    ...{ seed: 12, by: 'stale', pops: 3, faults: ['skew', 'partition'] },
    redraw: (drawn) => ({ skews: drawn.skews.map((_, at) => at * 20_000), purgeMs: 800 }),
    running: (pop) => {
      const own = invalidationsOf(pop);
      const issuers = () => [pop.id, ...(pop.running?.network?.known() ?? [])];
      // Purges are numbered by their issuers' clocks.
      if (own) own.fenceAt = () => new Map(issuers().map((issuer) => [issuer, pop.now]));
    },
  },
  {
    name: 'what a peer hands over is taken whatever its fence says',
    ...{ seed: 4, by: 'stale', pops: 5, faults: ['one-way', 'network'] },
    redraw: () => ({ purgeMs: 300, requestMs: 20 }),
    running: (pop) => {
      const index = pop.running?.store.replicas;
      const own = invalidationsOf(pop);
      if (!index || !own) return;
      const { adopt } = index;
      index.adopt = (replica) =>
        adopt.call(index, { ...replica, fence: own.fenceAt(own.ordinal, own.handle(replica)) });
    },
  },
  {
    name: 'stored bytes are handed out as they are found',
    ...{ seed: 5, by: 'content', pops: 2, faults: ['damage'] },
    build: (pop) => {
      pop.blobs.verifies = false;
    },
  },
  {
    name: 'purges travel by no other way than gossip, and that is lost',
    ...{ seed: 1, by: 'progress', pops: 4, faults: [] },
    twist: withoutCalls('purge'),
  },
  {
    name: 'nobody tells what it holds',
    ...{ seed: 1, by: 'catalogues', pops: 4, faults: [] },
    twist: withoutCalls('catalogue'),
  },
  {
    name: 'more liars than can be borne, all with wild forecasts',
    ...{ seed: 1, by: 'demand', pops: 4, faults: ['liars'] },
    redraw: () => ({ liars: new Set([0, 1, 2]), wild: true }),
  },
];

/** Seeds with the defect, and how many of them it was noticed in by the checker that is to notice it. */
export async function hunt(
  sabotage: Sabotage,
  seeds: number,
  from = 1,
): Promise<{
  readonly caught: number;
  readonly others: readonly Outcome[];
  readonly first: number | undefined;
}> {
  const others: Outcome[] = [];
  let caught = 0;
  let first: number | undefined;
  for (let seed = from; seed < from + seeds; seed += 1) {
    const { pops, faults } = sabotage;
    const outcome = await new Scenario({ seed, pops, faults: new Set(faults), sabotage }).run();
    if (outcome.broken?.includes(`${sabotage.by}: `)) {
      caught += 1;
      first ??= seed;
    } else if (outcome.broken) others.push(outcome);
  }
  return { caught, others, first };
}
