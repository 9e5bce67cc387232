import { Scenario, type ScenarioOptions } from './scenario.ts';

/** A defect put in on purpose: the simulation must notice it, or it proves nothing. */
export interface DeliberateDefect
  extends Pick<ScenarioOptions, 'defects' | 'forgetful' | 'extraLiars' | 'lies' | 'attack'> {
  readonly name: string;
  /** Sizes of the cluster, in turn. */
  readonly pops: readonly number[];
  /** Share of histories in which it must be noticed at least: as often as the prototype noticed it. */
  readonly target: number;
}

const SIZES = [2, 3, 4, 5, 6, 7];

export const DEFECTS: readonly DeliberateDefect[] = [
  { name: 'quorum one short', defects: { quorum: 'one short' }, attack: 'camps', pops: SIZES, target: 0.44 },
  { name: 'q = 2b+1 at n = 5', defects: { quorum: '2b+1' }, attack: 'camps', pops: [5], target: 0.094 },
  { name: 'q = 2b+1 at n = 6', defects: { quorum: '2b+1' }, attack: 'camps', pops: [6], target: 0.2055 },
  { name: 'no persistence', forgetful: true, attack: 'relapse', pops: SIZES, target: 0.7225 },
  {
    name: 'send before fsync',
    ...{ defects: { sendBeforeFsync: true }, attack: 'relapse', pops: SIZES, target: 0.375 },
  },
  { name: 'coin per node', defects: { coinPerNode: true }, attack: 'sway', pops: [4, 7], target: 0.0515 },
  {
    name: 'AUX accepted outside bin',
    ...{ defects: { auxOutsideBin: true }, attack: 'gag', pops: [4, 7], target: 0.59 },
  },
  {
    name: 'READY not bound to an id',
    ...{ defects: { readyUnbound: true }, lies: ['equivocate'], pops: [4, 5, 6, 7], target: 0.19 },
  },
  {
    name: 'no implied votes',
    defects: { noImpliedVotes: true },
    attack: 'wedge',
    pops: [4, 7],
    target: 0.1545,
  },
  {
    name: 'gossip only, no resend',
    defects: { noResend: true },
    attack: 'drought',
    pops: SIZES,
    target: 0.7,
  },
  { name: 'vote 0 by timer', defects: { zeroByTimer: true }, attack: 'belated', pops: SIZES, target: 0.91 },
  { name: 'one liar too many, n = 4', extraLiars: 1, attack: 'camps', pops: [4], target: 0.845 },
  { name: 'one liar too many, n = 7', extraLiars: 1, attack: 'camps', pops: [7], target: 0.946 },
];

/** What a hunt has found. */
export interface Hunt {
  readonly caught: number;
  /** Which promises were broken how often. */
  readonly by: ReadonlyMap<string, number>;
  readonly first: number | undefined;
  /** Histories that went wrong without the defect: there must be none. */
  readonly blamed: readonly number[];
}

/** Runs seeds with the defect and, if `control`, the same ones without. */
export function hunt(defect: DeliberateDefect, seeds: number, from = 1, control = false): Hunt {
  const { defects, forgetful, extraLiars, lies, attack } = defect;
  const by = new Map<string, number>();
  const blamed: number[] = [];
  let caught = 0;
  let first: number | undefined;
  for (let seed = from; seed < from + seeds; seed += 1) {
    const sound = {
      ...{ seed, pops: defect.pops[seed % defect.pops.length]! },
      ...(lies && { lies }),
      ...(attack && { attack }),
    };
    if (control && new Scenario(sound).run().broken !== undefined) blamed.push(seed);
    const { broken } = new Scenario({
      ...sound,
      ...(defects && { defects }),
      ...(forgetful !== undefined && { forgetful }),
      ...(extraLiars !== undefined && { extraLiars }),
    }).run();
    if (broken === undefined) continue;
    caught += 1;
    first ??= seed;
    const promise = broken.split(':')[0]!;
    by.set(promise, (by.get(promise) ?? 0) + 1);
  }
  return { caught, by, first, blamed };
}
