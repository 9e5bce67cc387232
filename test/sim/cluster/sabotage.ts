import type { Twist } from '../../../node/simulator/network-hooks.ts';
import type { SimulatedPop } from '../../../node/simulator/simulated-pop.ts';
import type { Defects } from '../../../protocol/agreement-steps.ts';
import type { PopId } from '../../../protocol/ids.ts';
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
    ...{ by: 'agreement', pops: 4, faults: ['crash', 'torn'] },
    build: (pop) => {
      pop.database.liesAboutSync = true;
    },
  },
  {
    name: 'votes are sent before they are on disk',
    ...{ by: 'agreement', pops: 4, faults: ['network', 'crash', 'torn', 'slow-disk'] },
    defects: { sendBeforeFsync: true },
  },
  {
    name: 'decisions are forgotten at a restart',
    ...{ by: 'agreement', pops: 4, faults: ['crash'] },
    start: (pop) => pop.database.forget(AGREEMENT),
  },
  {
    name: 'purges are forgotten at a restart',
    ...{ by: 'stale', pops: 3, faults: ['crash', 'partition'] },
    start: (pop) => pop.database.forget(PURGES),
  },
  {
    name: 'a fetch that began before a purge is stored as if it had begun after',
    ...{ by: 'stale', pops: 3, faults: ['origin'] },
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
    ...{ by: 'stale', pops: 3, faults: ['skew', 'partition'] },
    redraw: (drawn) => ({ skews: drawn.skews.map((_, at) => at * 20_000), purgeMs: 800 }),
    running: (pop) => {
      const own = invalidationsOf(pop);
      if (!own) return;
      const { check } = own;
      own.fenceAt = () => new Map([['clock' as PopId, pop.demandNow]]);
      own.check = (fence, handle, since) => {
        const until = fence.get('clock' as PopId) ?? 0;
        const covered = new Map<PopId, number>();
        for (const { issuer, seq, stamp } of own.list())
          if (stamp.time <= until) covered.set(issuer, Math.max(seq, covered.get(issuer) ?? 0));
        return check.call(own, covered, handle, since);
      };
    },
  },
  {
    name: 'what a peer hands over is taken whatever its fence says',
    ...{ by: 'stale', pops: 5, faults: ['partition', 'one-way'] },
    redraw: () => ({ purgeMs: 700 }),
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
    ...{ by: 'content', pops: 2, faults: ['damage'] },
    build: (pop) => {
      pop.blobs.verifies = false;
    },
  },
  {
    name: 'purges travel by no other way than gossip, and that is lost',
    ...{ by: 'progress', pops: 4, faults: [] },
    twist: withoutCalls('purge'),
  },
  {
    name: 'nobody tells what it holds',
    ...{ by: 'catalogues', pops: 4, faults: [] },
    twist: withoutCalls('catalogue'),
  },
  {
    name: 'more liars than can be borne, all with wild forecasts',
    ...{ by: 'demand', pops: 4, faults: ['liars'] },
    redraw: () => ({ liars: new Set([0, 1]), wild: true }),
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
