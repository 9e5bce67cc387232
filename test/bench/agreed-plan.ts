import { createHash } from 'node:crypto';
import { Foresight, type Member } from '../../forecasting/foresight.ts';
import { lie } from '../../node/demo/lie.ts';
import type { Load } from '../../node/demo/load.ts';
import { replayLoad } from '../../node/demo/replay.ts';
import { places, roundTripMs } from '../../node/demo/world.ts';
import { zipfLoad } from '../../node/demo/zipf-load.ts';
import { readLogFile } from '../../node/ingest/log-reader.ts';
import { simulatedCharter } from '../../node/simulator/presage-policy.ts';
import type { Trace, TraceRequest, TraceResource } from '../../node/simulator/trace.ts';
import { type Policy, type PolicyOutcome, World, type WorldOptions } from '../../node/simulator/world.ts';
import { planStateOf } from '../../protocol/agreed-plan.ts';
import type { Charter } from '../../protocol/charter.ts';
import { committeesOf, type DecidedState, originState } from '../../protocol/decided-state.ts';
import type { OwnView } from '../../protocol/forecast-application.ts';
import type { Key16, SiteId } from '../../protocol/ids.ts';
import { MirrorLedger } from '../../protocol/mirror-ledger.ts';
import { type Placement, type Plan, plan } from '../../protocol/placement.ts';
import { decodeProposal } from '../../protocol/proposal.ts';
import { buildProposal } from '../../protocol/proposal-builder.ts';
import { type Capacities, groupOfKey, kindOfPath } from '../../protocol/summary.ts';
import { transition } from '../../protocol/transition.ts';
import { tuningKey } from '../../protocol/tuning.ts';
import { DemandWindow } from '../../protocol/window.ts';
import { foundersOf, genesis, trust } from '../property/decision/cluster.ts';
import { dataPath } from './forecast-data.ts';

/**
 * What agreeing costs or gains beside everyone's own plan, on virtual time: the same requests through the same
 * forecasts, planned once from the own forecasts and once from what five PoPs decide, one of which lies. Nothing
 * but the plan differs, so that no other load on the machine distorts it. Generated loads, and a log where it is.
 */

const POPS = 5;
/** Slot of the PoP that lies. */
const LIAR = 1;
const HORIZON_MS = 7_200_000;
/** Part of a window that passes from its end to the first pull. */
const DELAY = 0.7;
const SITE = 'site' as SiteId;
const LOG = 'nasa-http-1995-08-01.tsv';
const HOUR_MS = 3_600_000;
const CAPACITIES: Capacities = {
  ...{ storageBudgetMiB: 2_048, storageFreeMiB: 2_048, fillKiBps: 20_480, load: 0 },
  state: 'up',
};
const WORLD: WorldOptions = {
  ...{ storage: 2 ** 31, bandwidth: 1e12, clientMs: 5, originMs: 120, fetchRate: 12_500_000 },
  distances: places(POPS).map((_, a) => places(POPS).map((__, b) => (a === b ? 0 : roundTripMs(a, b)))),
};

type Basis = 'own' | 'agreed';

class Planned implements Policy {
  readonly name: Basis;
  readonly peers = true;
  readonly #windowMs: number;
  readonly #charter: Charter;
  readonly #members: readonly Member[];
  readonly #foresight: Foresight;
  readonly #windows: readonly DemandWindow[];
  readonly #ledgers: readonly MirrorLedger[];
  readonly #resources: ReadonlyMap<Key16, TraceResource>;
  readonly #chances = new Map<string, number>();
  readonly #due: { at: number; placements: readonly Placement[] }[] = [];
  #state: DecidedState;
  #end: number;

  constructor(name: Basis, trace: Trace, windowMs: number) {
    this.name = name;
    this.#windowMs = windowMs;
    const founders = foundersOf(POPS).map(({ pop, certificate, sealed }, i) => ({
      ...{ pop, sealed, certificate: { ...certificate, name: `pop-${i + 1}`, region: trace.regions[i]! } },
    }));
    const timing = { windowMs, delayMs: 0, horizonMs: HORIZON_MS };
    this.#charter = { ...simulatedCharter(trace.regions, WORLD, timing), epochMs: 1_000 };
    this.#members = founders.map(({ pop, certificate: { name: called, region } }) => ({
      ...{ id: pop, name: called, region },
    }));
    const { id: self } = this.#members[0]!;
    this.#foresight = new Foresight({ self, charter: this.#charter, members: this.#members, windowMs });
    this.#state = originState(genesis, founders);
    const start = trace.requests[0]!.at;
    this.#end = start + windowMs;
    this.#windows = this.#members.map(({ id }) => new DemandWindow(id, start, 1));
    this.#ledgers = this.#members.map(() => new MirrorLedger());
    this.#resources = new Map([...trace.resources.values()].map((one) => [one.key16, one]));
  }

  served({ at, key16, pop, clientPrefix, resource }: TraceRequest): void {
    const { size, query, kind, group } = resource;
    const { region } = this.#members[pop]!;
    this.#windows[pop]!.observe({
      ...{ key16, site: SITE, region, bytes: size, size, clientPrefix, at, shareable: true },
      ...{ query, kind, group },
    });
    this.#ledgers[pop]!.requested(key16);
  }

  arrived(pop: number, { key16, size }: TraceResource, at: number): void {
    this.#ledgers[pop]!.mirrored(key16, size, at, this.#chances.get(key16 + String(pop)) ?? 0, SITE);
  }

  evicted(pop: number, key16: Key16): void {
    this.#ledgers[pop]!.released(key16);
  }

  tick(now: number, world: World): void {
    while (this.#end <= now) {
      this.#pull(this.#end, world);
      this.#epoch(this.#end);
      this.#end += this.#windowMs;
    }
    this.#pull(now, world);
  }

  #epoch(at: number): void {
    for (const [pop, window] of this.#windows.entries()) {
      const ledger = this.#ledgers[pop]!;
      ledger.mature(at, HORIZON_MS);
      this.#foresight.fold(window.close(at, CAPACITIES, ledger.take()));
    }
    this.#foresight.prepare(at);
    const made = this.name === 'own' ? this.#own() : this.#agreed(at);
    const placements = made.placements.filter(({ purpose }) => purpose === 'mirror');
    for (const { key16, pop, chance } of placements) {
      this.#chances.set(key16 + String(this.#popOf(pop)), chance);
    }
    this.#due.push({ at: at + DELAY * this.#windowMs, placements });
  }

  #own(): Plan {
    const made = this.#foresight.ownPlan();
    this.#foresight.adopt(made);
    return made;
  }

  #agreed(at: number): Plan {
    const before = this.#state;
    const committees = committeesOf(before);
    const included = before.members.map(({ pop }, slot) => {
      const honest = this.#view(at, this.#popOf(pop));
      const view = slot === LIAR ? lie(honest, SITE, this.#charter.regions) : honest;
      const said = { ...view, rulesMin: 1, rulesMax: 1, operations: [], speaks: () => true };
      return { slot, proposal: decodeProposal(buildProposal(said, before, committees)) };
    });
    const chain = createHash('sha256').update(String(before.height)).digest('hex');
    this.#state = transition(before, chain, included, trust);
    const made = plan(planStateOf(this.#state), this.#charter);
    const tuned = this.#state.tunings.map(
      (one) => [tuningKey(one.site, one.region), one.parameters] as const,
    );
    this.#foresight.adopt(made, new Map(tuned));
    return made;
  }

  /** All PoPs hear the same windows and so expect the same; what their own mirrors came to differs. */
  #view(at: number, pop: number): OwnView {
    const foresight = this.#foresight;
    const windowMs = Math.floor(this.#windowMs);
    return {
      ...{ at: Math.floor(at), window: Math.floor(at), windowMs, cap: CAPACITIES },
      uses: this.#ledgers[pop]!.takeUses(),
      windowShare: Math.floor((1000 * windowMs) / HORIZON_MS),
      resources: foresight.resources,
      observed: (key16, region, from, lengthMs) => foresight.observed(key16, region, from, lengthMs),
      series: (key16, region) => foresight.outlook(key16, region),
    };
  }

  #pull(now: number, world: World): void {
    while (this.#due.length > 0 && this.#due[0]!.at <= now) {
      const { at, placements } = this.#due.shift()!;
      for (const { key16, pop } of placements) {
        const resource = this.#resources.get(key16);
        if (resource !== undefined) world.mirror(this.#popOf(pop), resource, at);
      }
    }
  }

  #popOf(pop: Placement['pop']): number {
    return this.#members.findIndex(({ id }) => id === pop);
  }
}

/** A load of the demo, each region's clients at their own PoP. */
function traceOf({ requests: asked, files }: Load): Trace {
  const resources = new Map<string, TraceResource>();
  let bytes = 0;
  const requests = asked.map(({ at, region: pop, client, path }): TraceRequest => {
    const known = resources.get(path);
    const key16 = createHash('sha256').update(path).digest('hex').slice(0, 32) as Key16;
    const size = files.get(path)?.size ?? 0;
    const resource = known ?? {
      ...{ key16, kind: kindOfPath(path), group: groupOfKey(`demo${path}`), query: path.includes('?'), size },
    };
    resources.set(path, resource);
    bytes += size;
    return { at, key16, pop, clientPrefix: 5_000 * pop + (client % 4_096), resource };
  });
  return { requests, resources, regions: places(POPS).map(({ region }) => region), bytes };
}

async function* linesOf(file: string) {
  for await (const batch of readLogFile(file, { malformed: () => undefined })) yield* batch;
}

async function* loads(): AsyncGenerator<{
  readonly name: string;
  readonly load: Load;
  readonly windowMs: number;
}> {
  for (const seed of [1, 2, 3]) {
    const load = zipfLoad({ seed, start: Date.UTC(2026, 0, 5, 8), durationMs: 8 * HOUR_MS, regions: POPS });
    yield { name: `zipf ${seed}`, load, windowMs: 180_000 };
  }
  const file = dataPath(LOG);
  if (file === undefined) return;
  const load = await replayLoad(linesOf(file), { regions: POPS, name: 'nasa' });
  yield { name: 'nasa', load, windowMs: 244_000 };
}

const pairsPerMB = ({ coldMissesAvoided, prefetchedBytes }: PolicyOutcome): number =>
  (1e6 * coldMissesAvoided) / Math.max(1, prefetchedBytes);
const rounded = (value: number, digits: number) => Number(value.toFixed(digits));

export async function run({ json }: { json: boolean }) {
  const ratios: number[] = [];
  const figures: Record<Basis, number[]> = { own: [], agreed: [] };
  for await (const { name, load, windowMs } of loads()) {
    const trace = traceOf(load);
    const outcomes = (['own', 'agreed'] as const).map((basis) => {
      const outcome = new World(trace, WORLD, new Planned(basis, trace, windowMs)).run();
      figures[basis].push(pairsPerMB(outcome));
      return outcome;
    });
    ratios.push(rounded(figures.agreed.at(-1)! / figures.own.at(-1)!, 3));
    if (json) continue;
    for (const outcome of outcomes) {
      const { policy, coldMissesAvoided, coldMisses, prefetchedBytes, wastedBytes } = outcome;
      const all = coldMissesAvoided + coldMisses;
      process.stdout.write(
        `${name} ${policy}: ${coldMissesAvoided} of ${all} pairs with ${rounded(prefetchedBytes / 1e6, 1)} MB, ` +
          `${rounded((100 * wastedBytes) / Math.max(1, prefetchedBytes), 1)} % unused, ${rounded(pairsPerMB(outcome), 1)} pairs a MB\n`,
      );
    }
  }
  const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
  return {
    name: 'agreed-plan',
    unit: 'first requests that found a mirror, per MB mirrored, agreed plan against the own',
    ours: rounded(median(figures.agreed), 2),
    peer: rounded(median(figures.own), 2),
    ratio: median(ratios),
    runs: ratios,
  };
}
