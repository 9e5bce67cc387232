import type { Dice } from '../../../node/simulator/dice.ts';
import type { DiskConditions } from '../../../node/simulator/virtual-database.ts';
import type { NetworkConditions } from '../../../node/simulator/virtual-network.ts';
import type { OriginConditions, OriginResource } from '../../../node/simulator/virtual-origin.ts';
import { quorumOf } from '../../../protocol/quorum.ts';
import { REGIONS, STALE_HOST, STRICT_HOST } from './operator.ts';

/** What can go wrong; a seed draws which of it does. */
export const FAULTS = [
  'network',
  'partition',
  'one-way',
  'flapping',
  'crash',
  'torn',
  'slow-disk',
  'full-disk',
  'damage',
  'skew',
  'jump',
  'origin',
  'flood',
  'join',
  'leave',
  'revoke',
  'liars',
] as const;
export type Fault = (typeof FAULTS)[number];

/** A resource, and from when on which region asks for it, ms from the beginning. */
export interface DrawnResource extends OriginResource {
  readonly askedFrom: Readonly<Record<string, number>>;
}

/** All that a seed decides before anything happens. */
export interface Draw {
  readonly pops: number;
  readonly faults: ReadonlySet<Fault>;
  readonly network: NetworkConditions;
  readonly origin: OriginConditions;
  readonly disk: DiskConditions;
  readonly epochMs: number;
  /** Of demand time: windows are to be long enough for there to be something to forecast. */
  readonly speed: number;
  readonly storageBytes: number;
  readonly bytesPerSecond: number;
  readonly historyBytes: number;
  readonly resources: readonly DrawnResource[];
  /** Time in which things go wrong, virtual ms. */
  readonly hostileMs: number;
  /** Mean time between two requests of the whole cluster, and between two purges, ms. */
  readonly requestMs: number;
  readonly purgeMs: number;
  /** Share of fsyncs that are the moment of a crash. */
  readonly tear: number;
  readonly liars: ReadonlySet<number>;
  /** All of them propose nonsense, and do nothing else. */
  readonly wild: boolean;
  /** How wrong the times of day are, ms. */
  readonly skews: readonly number[];
  readonly leaver: number | undefined;
  readonly revoked: number | undefined;
  /** Founders come first; one more may come later. */
  readonly joiner: number | undefined;
}

/** Three and four, and six and seven, between which one more liar can be borne; the smaller more often. */
const SMALL = [1, 2, 3, 3, 4, 4, 4, 5, 5, 6, 7, 7, 8, 9, 10];
/** Nine times as much is said among 300 as among 100: most have a hundred PoPs. */
const LARGE = [...Array<number>(48).fill(100), 200, 300];

/** Sizes as the whole run is to have them: 95 % small, 4 % of 30, 1 % large. */
function sizeOf(dice: Dice): number {
  const share = dice.random.float();
  if (share < 0.95) return dice.pick(SMALL);
  return share < 0.99 ? 30 : dice.pick(LARGE);
}

export function draw(
  dice: Dice,
  wanted: { readonly pops?: number; readonly faults?: ReadonlySet<Fault> },
): Draw {
  const drawn = sizeOf(dice);
  const pops = wanted.pops ?? drawn;
  const large = pops > 30;
  const swarm = new Set(FAULTS.filter(() => dice.chance(0.4)));
  // Some seeds are to show that nothing goes wrong by itself.
  if (dice.chance(0.05)) swarm.clear();
  const faults = wanted.faults ?? swarm;
  const has = (fault: Fault) => faults.has(fault);
  const { liars: bearable } = quorumOf(pops);
  const liars = new Set(
    has('liars') && bearable > 0
      ? dice
          .shuffled(Array.from({ length: pops }, (_, index) => index))
          .slice(0, dice.between(1, bearable + 1))
      : [],
  );
  // With fewer than are needed at once nothing is decided any more, that somebody is gone included.
  const canGo = liars.size === 0 && pops >= 3 && pops - 1 >= quorumOf(pops).quorum;
  const goer = dice.between(0, pops);
  const leaver = has('leave') && canGo ? goer : undefined;
  const revoked = has('revoke') && canGo && leaver === undefined ? goer : undefined;
  const sound = { loss: 0, duplicates: 0, minMs: 5, maxMs: 60, stragglers: 0 };
  const rough = {
    loss: dice.pick([0, 0.05, 0.1, 0.2, 0.3]),
    duplicates: dice.pick([0, 0.05, 0.2]),
    minMs: dice.pick([1, 20]),
    maxMs: dice.pick([40, 100, 300]),
    stragglers: dice.pick([0, 0.02, 0.1]),
  };
  const skew = () => {
    const most = dice.pick([200, 2_000, 2_000, 600_000]);
    return dice.chance(0.5) ? Math.floor((2 * dice.random.float() - 1) * most) : 0;
  };
  const hostileMs = pops > 10 ? 6_000 : dice.between(3_000, 10_000);
  return {
    ...{ pops, faults, liars, leaver, revoked, hostileMs, wild: false },
    joiner: has('join') && !large ? pops : undefined,
    network: has('network') ? rough : sound,
    origin: {
      minMs: 20,
      maxMs: dice.pick([60, 200, 800]),
      failures: has('origin') ? dice.pick([0, 0.1, 0.3]) : 0,
    },
    disk: has('slow-disk') ? { minMs: 1, maxMs: dice.pick([40, 200]) } : { minMs: 1, maxMs: 8 },
    tear: has('torn') ? 0.004 : 0,
    speed: dice.pick([1, 60, 60, 120]),
    epochMs: large ? 5_000 : pops > 10 ? 3_000 : dice.pick([1_000, 2_000, 3_000]),
    storageBytes: dice.pick([1, 16, 64]) * (1 << 20),
    bytesPerSecond: dice.pick([64, 512, 16_384]) * 1_024,
    historyBytes: 8 << 20,
    resources: resourcesOf(dice, hostileMs),
    requestMs: pops > 10 ? 200 : dice.pick([75, 150, 400]),
    purgeMs: dice.pick([1_000, 2_500, 6_000]),
    skews: Array.from({ length: pops + 1 }, () => (has('skew') ? skew() : 0)),
  };
}

/** Most become known one after the other, and in one region before the others: so there is something to foresee. */
function resourcesOf(dice: Dice, hostileMs: number): DrawnResource[] {
  return Array.from({ length: dice.between(5, 20) }, (_, at) => {
    const born = dice.chance(0.3) ? 0 : dice.between(0, hostileMs);
    return {
      key: `${at % 2 ? STRICT_HOST : STALE_HOST}/${at % 3 ? 'docs' : 'media'}/${at}`,
      tags: [`tag-${at % 3}`, 'tag-all'],
      // Most fit into one chunk, a few take more.
      size: dice.chance(0.04) ? dice.between(260_000, 600_000) : dice.between(50, 20_000),
      maxAgeSeconds: dice.pick([1, 60, 3_600, 86_400]),
      version: 1,
      askedFrom: Object.fromEntries(REGIONS.map((region) => [region, born + dice.between(0, 8_000)])),
    };
  });
}
