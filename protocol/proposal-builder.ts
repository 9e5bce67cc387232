import { byBytes, product, quotient, scaled } from './exact.ts';
import type { Key16, RegionId, SiteId } from './ids.ts';
import type { PlanResource } from './placement.ts';
import {
  encodeProposal,
  OPERATION_BYTES,
  OPERATIONS_MAX,
  PROPOSAL_RESOURCES,
  type Proposal,
  type ProposalCell,
  type ProposalEntry,
  proposalBytesMax,
  USES_MAX,
  VALUE_MAX,
} from './proposal.ts';
import { sizeClassOf, sizeOfClass } from './size-class.ts';

/** What a series' forecast says of one region; thousandths of a request. */
export interface Expectation {
  readonly next: number;
  readonly mean: number;
  readonly upper: number;
}

/** What a PoP knows when it proposes. */
export interface ProposalView extends Omit<Proposal, 'entries'> {
  /** What the PoP would plan with if it planned alone. */
  readonly resources: Iterable<PlanResource>;
  /** Requests that all PoPs together saw two windows before the one that begins, thousandths. */
  observed(key16: Key16, region: RegionId): number;
  /** The forecast of an established series, if there is one. */
  series(key16: Key16, region: RegionId): Expectation | undefined;
  /** Share of the horizon that one window takes, thousandths: the next window's part where no series tells. */
  readonly windowShare: number;
  /** Whether this PoP is to speak on the key: see `Committees`. */
  speaks(key16: Key16): boolean;
  /** Keys on which earlier forecasts are about to be scored; they go before all others. */
  readonly sampled: readonly SampledKey[];
}

/** A key whose observed requests are asked for. */
export interface SampledKey {
  readonly key16: Key16;
  readonly site: SiteId;
  readonly sizeClass: number;
  readonly regions: readonly RegionId[];
}

const bounded = (value: number, max: number): number => Math.max(0, Math.min(max, Math.trunc(value)));

/** The entry in which a PoP states what it would plan a resource with. */
export function entryOf(
  { key16, site, size, demand, holders = [] }: PlanResource,
  view: Pick<ProposalView, 'observed' | 'series' | 'windowShare'>,
  also: readonly RegionId[] = [],
): ProposalEntry {
  const asked = new Set(holders);
  const byRegion = new Map(demand.map((one) => [one.region, one]));
  const regions = [...new Set([...byRegion.keys(), ...asked, ...also])].sort(byBytes);
  const cells = regions.map((region): ProposalCell => {
    const one = byRegion.get(region);
    const expected = bounded(one?.expected ?? 0, VALUE_MAX);
    const series = view.series(key16, region);
    return {
      region,
      next: bounded(series?.next ?? scaled(expected, bounded(view.windowShare, 1000), 1000), VALUE_MAX),
      mean: bounded(series?.mean ?? expected, VALUE_MAX),
      upper: bounded(series?.upper ?? expected, VALUE_MAX),
      observed: bounded(view.observed(key16, region), VALUE_MAX),
      chance: bounded(one?.chance ?? 0, 1000),
      credit: bounded(one?.credit ?? 0, 1000),
      held: one?.held === true ? 1 : 0,
      holder: asked.has(region) ? 1 : 0,
    };
  });
  return { key16, site, sizeClass: sizeClassOf(size), cells };
}

/** Credited chance per byte over all regions: by it PoPs cut alike, and what few of them list is lost anyway. */
export function entryWorth({ sizeClass, cells }: ProposalEntry): number {
  let credit = 0;
  for (const cell of cells) credit += cell.credit;
  return quotient(product(credit, 1 << 20), sizeOfClass(sizeClass) + 512);
}

/**
 * The body of a proposal in a roster of `size`, sorted and within its limits: what is scored goes first, then what
 * is worth most; the rest is cut.
 */
export function buildProposal(view: ProposalView, size: number): Uint8Array {
  const ranked: { entry: ProposalEntry; worth: number }[] = [];
  const sampled = new Map(view.sampled.map((one) => [one.key16, one]));
  const seen = new Set<Key16>();
  for (const resource of view.resources) {
    if (seen.has(resource.key16) || !view.speaks(resource.key16)) continue;
    seen.add(resource.key16);
    const asked = sampled.get(resource.key16);
    const entry = entryOf(resource, view, asked?.regions);
    if (entry.cells.length === 0) continue;
    ranked.push({ entry, worth: asked === undefined ? entryWorth(entry) : Number.MAX_SAFE_INTEGER });
  }
  for (const { key16, site, sizeClass, regions } of view.sampled) {
    if (seen.has(key16) || !view.speaks(key16)) continue;
    const entry = entryOf({ key16, site, size: sizeOfClass(sizeClass), demand: [] }, view, regions);
    ranked.push({ entry, worth: Number.MAX_SAFE_INTEGER });
  }
  ranked.sort((a, b) => b.worth - a.worth || byBytes(a.entry.key16, b.entry.key16));
  const limit = proposalBytesMax(size);
  const operations = fitting(view.operations, quotient(limit, 2));
  const { rulesMin, rulesMax, at, window, cap } = view;
  const uses = [...view.uses].sort((a, b) => byBytes(a.site, b.site)).slice(0, USES_MAX);
  let keep = Math.min(ranked.length, PROPOSAL_RESOURCES);
  for (;;) {
    const entries = ranked
      .slice(0, keep)
      .map(({ entry }) => entry)
      .sort((a, b) => byBytes(a.key16, b.key16));
    const body = encodeProposal({ rulesMin, rulesMax, at, window, cap, uses, entries, operations });
    if (body.length <= limit || keep === 0) return body;
    keep = Math.min(keep - 1, scaled(keep, limit, body.length));
  }
}

/** As many operations as there is room for, each once. */
function fitting(operations: readonly Uint8Array[], room: number): Uint8Array[] {
  const kept = new Map<string, Uint8Array>();
  let left = room;
  for (const operation of operations) {
    if (kept.size >= OPERATIONS_MAX) break;
    const cost = operation.length + 5;
    if (operation.length === 0 || operation.length > OPERATION_BYTES || cost > left) continue;
    const name = Buffer.from(operation).toString('latin1');
    if (kept.has(name)) continue;
    kept.set(name, operation);
    left -= cost;
  }
  return [...kept.values()];
}
