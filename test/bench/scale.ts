import { decideHeights, type Heights } from '../sim/wide-area/heights.ts';
import { ROUND_TRIPS, readRoundTrips } from '../sim/wide-area/round-trips.ts';
import { absent, dataPath } from './forecast-data.ts';

/**
 * Agreement among PoPs all over the world, simulated: the real machines and forecasts on virtual time, over links with
 * the delays of a table of round trips between countries derived from RIPE Atlas pings (which the repository does not
 * hold). PoPs are dealt to its countries in turn. Connections are those that the daemons' redialling makes: to all up
 * to 64 PoPs, above that to some 40, and to any other when something is to be sent to it. Gossip goes along meshes as
 * gossipsub forms them, and every copy is counted, as are its advertisements. Streams go straight.
 */

/** Heights before those that are measured: the first states know nothing, so that all is new in them. */
const WARM_UP = 3;
const SIZES = [
  { pops: 30, heights: 6 },
  { pops: 100, heights: 4 },
  { pops: 300, heights: 3 },
];
/** `SCALE_POPS=30,100` measures those sizes alone. */
const ONLY = process.env.SCALE_POPS?.split(',').map(Number);
/** What one thread takes for a gossip message and for a further copy of one, ms, as `agree` measures it. */
const SERVICE = { firstMs: 0.4, copyMs: 0.1 };

export async function run({ json }: { json: boolean }) {
  const path = dataPath(ROUND_TRIPS);
  if (path === undefined) throw new Error(absent(ROUND_TRIPS));
  const trips = readRoundTrips(path);
  const rows: Heights[] = [];
  for (const { pops, heights } of SIZES.filter((size) => ONLY?.includes(size.pops) ?? true)) {
    for (const committees of [true, false]) {
      const row = decideHeights({
        ...{ trips, pops, heights, committees, seed: pops, warmUp: WARM_UP, service: SERVICE },
      });
      rows.push(row);
      if (!json) print(row, rows.length === 1);
      else process.stderr.write(`${JSON.stringify(rounded(row))}\n`);
    }
  }
  const largest = rows.findLast(({ committees }) => committees)!;
  return {
    name: 'scale',
    unit: `bytes a PoP sends and receives an epoch to agree, ${largest.pops} PoPs simulated`,
    ours: Math.round(largest.agreeBytes),
    peer: Math.round(largest.summaryBytes),
    ratio: Math.round(100 * largest.ratio) / 100,
    runs: rows.map(({ ratio }) => Math.round(100 * ratio) / 100),
    sizes: rows.map(rounded),
  };
}

const rounded = (row: Heights) =>
  Object.fromEntries(
    Object.entries(row).map(([key, value]) => [
      key,
      typeof value === 'number' ? Math.round(100 * value) / 100 : value,
    ]),
  );

const HEAD = [
  ...['PoPs', 'committees', 'p50, p99 from window end', 'gossip said, copies heard', 'on streams'],
  ...['body', 'bytes (all ECHOs plain, all compact)', 'summaries', 'ratio', 'links, mesh'],
];

function print(row: Heights, first: boolean): void {
  const seconds = (ms: number) => (ms / 1_000).toFixed(1);
  const size = (bytes: number) =>
    bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} KB` : `${(bytes / 1e6).toFixed(2)} MB`;
  const cells = [
    ...[row.pops, row.committees ? 'yes' : 'no', `${seconds(row.p50Ms)}, ${seconds(row.p99Ms)} s`],
    ...[`${row.published.toFixed(1)}, ${row.copies.toFixed(0)}`, row.direct.toFixed(0), size(row.bodyBytes)],
    `${size(row.agreeBytes)} (${size(row.plainBytes)}, ${size(row.compactBytes)})`,
    ...[size(row.summaryBytes), row.ratio.toFixed(2)],
    `${row.links.toFixed(0)}, ${row.meshDegree.toFixed(1)}`,
  ];
  const line = (texts: readonly unknown[]) => process.stdout.write(`| ${texts.join(' | ')} |\n`);
  if (first) {
    line(HEAD);
    line(HEAD.map(() => '---'));
  }
  line(cells);
}
