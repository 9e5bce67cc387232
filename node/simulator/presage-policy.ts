import { Foresight, type Member } from '../../forecasting/foresight.ts';
import { type Charter, LOCAL_DISTANCE_MS } from '../../protocol/charter.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../protocol/ids.ts';
import { MirrorLedger } from '../../protocol/mirror-ledger.ts';
import type { Placement } from '../../protocol/placement.ts';
import type { Capacities } from '../../protocol/summary.ts';
import { DemandWindow } from '../../protocol/window.ts';
import type { Trace, TraceRequest, TraceResource } from './trace.ts';
import type { Policy, World, WorldOptions } from './world.ts';

/** The beat of the simulated cluster, all in ms of demand time. */
export interface PresageTiming {
  /** Length of a window. */
  readonly windowMs: number;
  /** From the end of a window to the first transfer that follows from it. */
  readonly delayMs: number;
  readonly horizonMs: number;
}

export const DEFAULT_TIMING: PresageTiming = { windowMs: 30_000, delayMs: 15_000, horizonMs: 7_200_000 };

const SITE = 'site' as SiteId;

/** The charter that the simulated PoPs share: a region each, distances from the world. */
export function simulatedCharter(
  regions: readonly RegionId[],
  options: Pick<WorldOptions, 'distances'>,
  { windowMs, horizonMs }: PresageTiming,
): Charter {
  const distances = Object.fromEntries(
    regions.map((region, a) => [
      region,
      Object.fromEntries(
        regions.map((other, b) => [other, a === b ? LOCAL_DISTANCE_MS : (options.distances[a]?.[b] ?? 100)]),
      ),
    ]),
  );
  return {
    version: 1,
    cluster: 'simulated',
    epochMs: windowMs,
    horizonMs,
    committee: 0,
    regions,
    distances,
    networks: [],
    countries: {},
    defaultRegion: regions[0]!,
    sites: [
      {
        id: SITE,
        hosts: ['*'],
        origin: 'http://origin.invalid',
        secret: new Uint8Array(32),
        normalise: { dropParameters: [], sortParameters: false, ignoreQuery: false },
        allow: ['*'],
        private: false,
        shield: 'home',
        cutOff: 'revalidate',
      },
    ],
  };
}

/** The id under which the cluster's one foresight runs; no PoP bears it. */
const OBSERVER = 'observer' as PopId;

/**
 * Presage as the daemon runs it: a window and an account of mirrors per PoP, and every PoP pulls its own share. The
 * PoPs hear the same summaries in the same order and would plan alike; so one foresight plans for all of them.
 */
export class PresagePolicy implements Policy {
  readonly name = 'presage';
  readonly peers = true;
  readonly ledgers: MirrorLedger[] = [];
  foresight: Foresight | undefined;
  readonly #timing: PresageTiming;
  #windows: DemandWindow[] = [];
  #byKey = new Map<Key16, TraceResource>();
  #regions: readonly RegionId[] = [];
  #capacities: Capacities | undefined;
  #end = 0;
  #pops: readonly PopId[] = [];
  readonly #chances = new Map<string, number>();
  /** Transfers that wait for the delay to pass. */
  #due: { at: number; shares: (readonly Placement[])[] }[] = [];
  /** Milliseconds of real time that folding and planning took, one an epoch. */
  readonly planMs: number[] = [];

  constructor(timing: PresageTiming = DEFAULT_TIMING) {
    this.#timing = timing;
  }

  begin({ trace, options }: World): void {
    const start = trace.requests[0]?.at ?? 0;
    this.#regions = trace.regions;
    this.#byKey = new Map([...trace.resources.values()].map((resource) => [resource.key16, resource]));
    this.#end = start + this.#timing.windowMs;
    const charter = simulatedCharter(trace.regions, options, this.#timing);
    const members = membersOf(trace);
    this.#pops = members.map(({ id }) => id);
    this.foresight = new Foresight({ self: OBSERVER, charter, members });
    this.#capacities = {
      storageBudgetMiB: Math.max(1, Math.floor(options.storage / (1 << 20))),
      storageFreeMiB: Math.max(1, Math.floor(options.storage / (1 << 20))),
      fillKiBps: Math.max(1, Math.floor(options.bandwidth / 1024)),
      load: 0,
      state: 'up',
    };
    for (const { id } of members) {
      this.#windows.push(new DemandWindow(id, start, 1));
      this.ledgers.push(new MirrorLedger());
    }
  }

  served({ at, key16, pop, clientPrefix, resource }: TraceRequest): void {
    this.#windows[pop]!.observe({
      key16,
      site: SITE,
      region: this.#regions[pop]!,
      bytes: resource.size,
      size: resource.size,
      clientPrefix,
      at,
      shareable: true,
      query: resource.query,
      kind: resource.kind,
      group: resource.group,
    });
    this.ledgers[pop]!.requested(key16);
  }

  tick(now: number, world: World): void {
    while (this.#end <= now) {
      this.#release(this.#end, world);
      this.#epoch(this.#end);
      this.#end += this.#timing.windowMs;
    }
    this.#release(now, world);
  }

  arrived(pop: number, resource: TraceResource, at: number): void {
    const chance = this.#chances.get(resource.key16 + String(pop)) ?? 0;
    this.ledgers[pop]!.mirrored(resource.key16, resource.size, at, chance);
  }

  evicted(pop: number, key16: Key16): void {
    this.ledgers[pop]!.released(key16);
  }

  #epoch(at: number): void {
    const capacities = this.#capacities!;
    const foresight = this.foresight!;
    const begun = performance.now();
    this.#windows.forEach((window, pop) => {
      const ledger = this.ledgers[pop]!;
      ledger.mature(at, this.#timing.horizonMs);
      foresight.fold(window.close(at, capacities, ledger.take()));
    });
    const { plan } = foresight.epoch(at);
    const shares = this.#pops.map((): Placement[] => []);
    for (const placement of plan.placements) {
      if (placement.purpose !== 'mirror') continue;
      const pop = this.#pops.indexOf(placement.pop);
      shares[pop]?.push(placement);
      this.#chances.set(placement.key16 + String(pop), placement.chance);
    }
    this.planMs.push(performance.now() - begun);
    this.#due.push({ at: at + this.#timing.delayMs, shares });
  }

  #release(now: number, world: World): void {
    while (this.#due.length > 0 && this.#due[0]!.at <= now) {
      const { at, shares } = this.#due.shift()!;
      shares.forEach((share, pop) => {
        for (const { key16 } of share) {
          const resource = this.#byKey.get(key16);
          if (resource !== undefined) world.mirror(pop, resource, at);
        }
      });
    }
  }
}

function membersOf(trace: Trace): Member[] {
  return trace.regions.map((region, pop) => ({
    id: `pop-${String(pop + 1).padStart(4, '0')}` as PopId,
    name: `pop-${pop + 1}`,
    region,
  }));
}
