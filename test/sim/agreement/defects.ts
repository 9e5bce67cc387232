import { Scenario, type ScenarioOptions } from './scenario.ts';

/** A defect put in on purpose: the simulation must notice it, or it proves nothing. */
export interface DeliberateDefect
  extends Pick<ScenarioOptions, 'defects' | 'forgetful' | 'extraLiars' | 'lies' | 'crashAtWrite'> {
  readonly name: string;
  /** Sizes of the cluster, in turn. */
  readonly pops: readonly number[];
  /** Seeds for the full table, and as many as show it in a test. */
  readonly seeds: number;
  readonly enough: number;
  /** Where a test begins, for defects that show rarely. */
  readonly from?: number;
}

const SIZES = [2, 3, 4, 5, 6, 7];

export const DEFECTS: readonly DeliberateDefect[] = [
  { name: 'quorum one short', defects: { quorum: 'one short' }, pops: SIZES, seeds: 400, enough: 30 },
  { name: 'q = 2b+1 at n = 5', defects: { quorum: '2b+1' }, pops: [5], seeds: 400, enough: 20, from: 4 },
  { name: 'q = 2b+1 at n = 6', defects: { quorum: '2b+1' }, pops: [6], seeds: 400, enough: 20, from: 12 },
  { name: 'no persistence', forgetful: true, pops: SIZES, seeds: 400, enough: 20 },
  {
    name: 'send before fsync',
    defects: { sendBeforeFsync: true },
    crashAtWrite: 0.1,
    pops: SIZES,
    seeds: 400,
    enough: 40,
    from: 9,
  },
  {
    name: 'coin per node',
    defects: { coinPerNode: true },
    lies: ['split'],
    pops: [4, 7],
    seeds: 1000,
    enough: 60,
    from: 90,
  },
  {
    name: 'AUX accepted outside bin',
    defects: { auxOutsideBin: true },
    lies: ['flip'],
    pops: [4, 7],
    seeds: 1000,
    enough: 100,
  },
  {
    name: 'READY not bound to an id',
    defects: { readyUnbound: true },
    pops: [4, 5, 6, 7],
    seeds: 1000,
    enough: 100,
  },
  {
    name: 'no implied votes',
    defects: { noImpliedVotes: true },
    lies: ['contrary'],
    pops: [4, 7],
    seeds: 1000,
    enough: 60,
    from: 51,
  },
  { name: 'gossip only, no resend', defects: { noResend: true }, pops: SIZES, seeds: 400, enough: 20 },
  { name: 'vote 0 by timer', defects: { zeroByTimer: true }, pops: SIZES, seeds: 400, enough: 20 },
  { name: 'one liar too many, n = 4', extraLiars: 1, pops: [4], seeds: 400, enough: 30 },
  { name: 'one liar too many, n = 7', extraLiars: 1, pops: [7], seeds: 200, enough: 20 },
];

/** Runs seeds with the defect, up to `stopAt` catches; which promises were broken how often. */
export function hunt(
  defect: DeliberateDefect,
  seeds: number,
  from = 1,
  stopAt = Number.POSITIVE_INFINITY,
): { caught: number; by: Map<string, number>; first: number | undefined } {
  const { defects, forgetful, extraLiars, lies, crashAtWrite } = defect;
  const by = new Map<string, number>();
  let caught = 0;
  let first: number | undefined;
  for (let seed = from; seed < from + seeds && caught < stopAt; seed += 1) {
    const { broken } = new Scenario({
      seed,
      pops: defect.pops[seed % defect.pops.length]!,
      ...(defects && { defects }),
      ...(forgetful !== undefined && { forgetful }),
      ...(extraLiars !== undefined && { extraLiars }),
      ...(lies && { lies }),
      ...(crashAtWrite !== undefined && { crashAtWrite }),
    }).run();
    if (broken === undefined) continue;
    caught += 1;
    first ??= seed;
    const promise = broken.split(':')[0]!;
    by.set(promise, (by.get(promise) ?? 0) + 1);
  }
  return { caught, by, first };
}
