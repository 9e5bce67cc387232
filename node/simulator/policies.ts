import type { Key16 } from '../../protocol/ids.ts';
import { bestSizeLimited, bestThreshold, type RuleOutcome, type ServedRequest } from '../demo/baselines.ts';
import { DEFAULT_TIMING, PresagePolicy, type PresageTiming } from './presage-policy.ts';
import type { Trace, TraceRequest, TraceResource } from './trace.ts';
import { type Policy, type PolicyOutcome, World, type WorldOptions } from './world.ts';

/** Of a period's resources, those with at least so many requests count as popular. */
const POPULAR_MIN = 10;
/** Share of the storage that yesterday's most popular content may take. */
const POPULAR_STORAGE = 0.1;
const DAY_MS = 86_400_000;
/** How far ahead the oracle fetches, ms: far enough for any transfer, near enough not to fill the storage. */
const LOOKAHEAD_MS = 3_600_000;

/** Caches that only react, each PoP for itself or asking its peers first. */
export const reactiveLru: Policy = { name: 'reactive-lru', peers: false };
export const cooperative: Policy = { name: 'cooperative', peers: true };

/**
 * What was asked for most in the last period goes everywhere at the beginning of the next. A period is a day, or a
 * quarter of a log that is shorter than four days, so that there is a yesterday.
 */
export class PopularityPush implements Policy {
  readonly name = 'popularity-push';
  readonly peers = true;
  #counts = new Map<TraceResource, number>();
  #period = DAY_MS;
  #end = 0;

  begin({ trace }: World): void {
    const start = trace.requests[0]?.at ?? 0;
    const length = (trace.requests.at(-1)?.at ?? 0) - start;
    this.#period = Math.max(1, Math.min(DAY_MS, length / 4));
    this.#end = start + this.#period;
  }

  served({ resource }: TraceRequest): void {
    this.#counts.set(resource, (this.#counts.get(resource) ?? 0) + 1);
  }

  tick(now: number, world: World): void {
    while (this.#end <= now) {
      let room = world.options.storage * POPULAR_STORAGE;
      for (const [resource, count] of [...this.#counts].sort((a, b) => b[1] - a[1])) {
        if (count < POPULAR_MIN || resource.size > room) break;
        room -= resource.size;
        for (let pop = 0; pop < world.trace.regions.length; pop += 1) world.mirror(pop, resource, this.#end);
      }
      this.#counts = new Map();
      this.#end += this.#period;
    }
  }
}

/** Everything up to a size limit goes everywhere once it has been asked for `k` times, in the cluster. */
export class ThresholdPush implements Policy {
  readonly name: string;
  readonly peers = true;
  readonly #k: number;
  readonly #limit: number;
  readonly #counts = new Map<Key16, number>();

  constructor(name: string, k: number, limit = Number.POSITIVE_INFINITY) {
    this.name = name;
    this.#k = k;
    this.#limit = limit;
  }

  served({ key16, resource, at }: TraceRequest, _first: boolean, world: World): void {
    const count = (this.#counts.get(key16) ?? 0) + 1;
    this.#counts.set(key16, count);
    if (count !== this.#k || resource.size > this.#limit) return;
    for (let pop = 0; pop < world.trace.regions.length; pop += 1) world.mirror(pop, resource, at);
  }
}

/** Knows every first request an hour ahead, and fetches for it within the same storage and bandwidth. */
export class Oracle implements Policy {
  readonly name = 'oracle';
  readonly peers = true;
  #coming: TraceRequest[] = [];
  #next = 0;

  begin({ trace }: World): void {
    const seen = new Set<string>();
    this.#coming = trace.requests.filter(({ key16, pop }) => {
      const pair = key16 + String(pop);
      return !seen.has(pair) && seen.add(pair);
    });
  }

  tick(now: number, world: World): void {
    for (; this.#next < this.#coming.length; this.#next += 1) {
      const { at, pop, resource } = this.#coming[this.#next]!;
      if (at > now + LOOKAHEAD_MS) return;
      // A transfer begins a lookahead before it is needed, or when the log begins.
      world.mirror(pop, resource, at - LOOKAHEAD_MS);
    }
  }
}

/** A rule chosen in hindsight at the bytes that Presage mirrored, with instant pushes and endless storage. */
export interface HindsightRules {
  readonly plain: RuleOutcome;
  readonly limited: RuleOutcome;
}

export interface Comparison {
  readonly policies: readonly PolicyOutcome[];
  readonly rules: HindsightRules;
  readonly presage: PresagePolicy;
}

/** Runs all policies on one trace, each with caches of its own. */
export function comparePolicies(
  trace: Trace,
  options: WorldOptions,
  timing: PresageTiming = DEFAULT_TIMING,
  progress: (policy: string) => void = () => undefined,
): Comparison {
  const run = (policy: Policy): PolicyOutcome => {
    progress(policy.name);
    return new World(trace, options, policy).run();
  };
  const presage = new PresagePolicy(timing);
  const ours = run(presage);
  const rules = hindsight(trace, ours.prefetchedBytes);
  const policies = [
    run(reactiveLru),
    run(cooperative),
    run(new PopularityPush()),
    run(new ThresholdPush('threshold-push', rules.limited.k, rules.limited.sizeLimit)),
    run(new ThresholdPush('threshold-push-plain', rules.plain.k)),
    ours,
    run(new Oracle()),
  ];
  return { policies, rules, presage };
}

/** The best rules at `budget` mirrored bytes; see `node/demo/baselines.ts`. */
export function hindsight(trace: Trace, budget: number): HindsightRules {
  const pops = trace.regions.map((_, pop) => String(pop));
  const served: ServedRequest[] = trace.requests.map(({ key16, pop, resource }) => ({
    key: key16,
    pop: String(pop),
    size: resource.size,
  }));
  return { plain: bestThreshold(served, pops, budget), limited: bestSizeLimited(served, pops, budget) };
}
