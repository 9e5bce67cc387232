import { byBytes } from './exact.ts';
import type { Key16, RegionId, SiteId } from './ids.ts';
import type { Proposal, ProposalCell, ProposalEntry } from './proposal.ts';

/** One included proposal, with what its proposer's word counts. */
export interface Voice {
  readonly slot: number;
  /** 1 … 1000. */
  readonly weight: number;
  readonly proposal: Proposal;
}

/** Whose word counts on a key, and how many of them may lie. */
export interface Panel {
  readonly liars: number;
  /** Slots that speak on a key; undefined for all. */
  speakers(key16: Key16): readonly number[] | undefined;
}

/** What was agreed on one region's demand for one resource. */
export type AgreedCell = ProposalCell;
export interface AgreedResource {
  readonly key16: Key16;
  readonly site: SiteId;
  readonly sizeClass: number;
  readonly cells: readonly AgreedCell[];
}

/**
 * A trimmed, weighted, lower median. With at most `liars` lying values the result lies within the range of the
 * honest ones, whatever the weights: as many are dropped at either end, so that what is left is bounded by honest
 * values on both sides.
 */
export class TrimmedMedian {
  readonly #values: number[] = [];
  readonly #weights: number[] = [];
  readonly #slots: number[] = [];

  /** Takes in a value, in the order of (value, slot). */
  add(value: number, weight: number, slot: number): void {
    let at = this.#values.length;
    while (at > 0) {
      const other = this.#values[at - 1]!;
      if (other < value || (other === value && this.#slots[at - 1]! < slot)) break;
      this.#values[at] = other;
      this.#weights[at] = this.#weights[at - 1]!;
      this.#slots[at] = this.#slots[at - 1]!;
      at -= 1;
    }
    this.#values[at] = value;
    this.#weights[at] = weight;
    this.#slots[at] = slot;
  }

  get count(): number {
    return this.#values.length;
  }

  clear(): void {
    this.#values.length = 0;
    this.#weights.length = 0;
    this.#slots.length = 0;
  }

  /** The median, after zeros of weight 1 up to 2·liars + 1 values; they stand behind other zeros. */
  take(liars: number): number {
    const real = this.#values.length;
    const padding = Math.max(0, 2 * liars + 1 - real);
    let zeros = 0;
    while (zeros < real && this.#values[zeros] === 0) zeros += 1;
    const last = real + padding - liars;
    const isPadding = (i: number) => i >= zeros && i < zeros + padding;
    const source = (i: number) => (i < zeros ? i : i - padding);
    let total = 0;
    for (let i = liars; i < last; i += 1) total += isPadding(i) ? 1 : this.#weights[source(i)]!;
    let sum = 0;
    for (let i = liars; i < last; i += 1) {
      sum += isPadding(i) ? 1 : this.#weights[source(i)]!;
      if (2 * sum >= total) return isPadding(i) ? 0 : this.#values[source(i)]!;
    }
    return 0;
  }
}

/** A reading that every proposer gives, such as its clock; undefined where too few were included to trim liars. */
export function agreedReading(
  voices: readonly Voice[],
  liars: number,
  reading: (proposal: Proposal) => number,
): number | undefined {
  if (voices.length < 2 * liars + 1) return undefined;
  const median = new TrimmedMedian();
  for (const { slot, proposal } of voices) median.add(reading(proposal), 1, slot);
  return median.take(liars);
}

interface Spoken {
  readonly voice: Voice;
  readonly entry: ProposalEntry;
}

const COORDINATES = ['next', 'mean', 'upper', 'observed', 'chance', 'credit', 'held', 'holder'] as const;

/**
 * Combines the included proposals into one view, by key. Every coordinate of every (resource, region) is the
 * trimmed weighted median of those who list it. What no more than `liars` PoPs list vanishes; a cell of nothing but
 * zeros is dropped, and a resource without cells is one on which it was agreed that nothing is to be expected. Order
 * of arrival and of lists does not matter.
 */
export function aggregate(voices: readonly Voice[], panel: Panel): AgreedResource[] {
  const spoken = new Map<Key16, Spoken[]>();
  for (const voice of [...voices].sort((a, b) => a.slot - b.slot)) {
    for (const entry of voice.proposal.entries) {
      const said = spoken.get(entry.key16);
      if (said === undefined) spoken.set(entry.key16, [{ voice, entry }]);
      else said.push({ voice, entry });
    }
  }
  const median = new TrimmedMedian();
  const agreed: AgreedResource[] = [];
  for (const key16 of [...spoken.keys()].sort(byBytes)) {
    let said = spoken.get(key16)!;
    // What so few list comes to nothing, whoever they are.
    if (said.length <= panel.liars) continue;
    const speakers = panel.speakers(key16);
    if (speakers !== undefined) said = said.filter(({ voice }) => speakers.includes(voice.slot));
    const site = siteOf(said, panel.liars);
    if (site === undefined) continue;
    said = said.filter(({ entry }) => entry.site === site);
    const cells = cellsOf(said, panel.liars, median);
    median.clear();
    for (const { voice, entry } of said) median.add(entry.sizeClass, voice.weight, voice.slot);
    agreed.push({ key16, site, sizeClass: median.take(panel.liars), cells });
  }
  return agreed;
}

/**
 * The site that a key belongs to. It cannot be averaged; more PoPs than may lie must name it, and as the key is made
 * with the site's secret, honest ones never differ.
 */
function siteOf(said: readonly Spoken[], liars: number): SiteId | undefined {
  const counts = new Map<SiteId, number>();
  for (const { entry } of said) counts.set(entry.site, (counts.get(entry.site) ?? 0) + 1);
  let best: SiteId | undefined;
  let most = liars;
  for (const [site, count] of counts) {
    if (count > most || (count === most && best !== undefined && site < best)) {
      best = site;
      most = count;
    }
  }
  return best;
}

function cellsOf(said: readonly Spoken[], liars: number, median: TrimmedMedian): AgreedCell[] {
  const byRegion = new Map<RegionId, { voice: Voice; cell: ProposalCell }[]>();
  for (const { voice, entry } of said) {
    for (const cell of entry.cells) {
      const listed = byRegion.get(cell.region);
      if (listed === undefined) byRegion.set(cell.region, [{ voice, cell }]);
      else listed.push({ voice, cell });
    }
  }
  const cells: AgreedCell[] = [];
  for (const region of [...byRegion.keys()].sort(byBytes)) {
    const listed = byRegion.get(region)!;
    if (listed.length <= liars) continue;
    const agreed = {
      region,
      next: 0,
      mean: 0,
      upper: 0,
      observed: 0,
      chance: 0,
      credit: 0,
      held: 0,
      holder: 0,
    };
    let something = false;
    for (const coordinate of COORDINATES) {
      const first = listed[0]!.cell[coordinate];
      let value = first;
      // Where all say the same, and padding says it too or is not needed, there is nothing to sort.
      const alike =
        (first === 0 || listed.length > 2 * liars) && listed.every((one) => one.cell[coordinate] === first);
      if (!alike) {
        median.clear();
        for (const { voice, cell } of listed) median.add(cell[coordinate], voice.weight, voice.slot);
        value = median.take(liars);
      }
      agreed[coordinate] = value;
      something ||= value > 0;
    }
    if (something) cells.push(agreed);
  }
  return cells;
}
