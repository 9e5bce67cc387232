import type { AgreedCell, AgreedResource } from './aggregation.ts';
import { byBytes, product, quotient } from './exact.ts';
import type { Key16, RegionId, SiteId } from './ids.ts';
import { sizeOfClass } from './size-class.ts';

/** Resources that the state carries; the least valuable beyond are dropped. */
export const VECTOR_RESOURCES = 20_000;
/** A target within this share of the old value (one in 2ⁿ) moves nothing, so that the plan does not flutter. */
const HYSTERESIS = 4;

/** Smoothed demand of one region for one resource. */
export interface VectorCell {
  readonly region: RegionId;
  /** Expected requests over the horizon, thousandths. */
  readonly expected: number;
  /** Thousandths. */
  readonly chance: number;
  readonly credit: number;
  readonly held: boolean;
  readonly holder: boolean;
}

export interface VectorResource {
  readonly key16: Key16;
  readonly site: SiteId;
  readonly sizeClass: number;
  /** Strictly by region. */
  readonly cells: readonly VectorCell[];
}

/**
 * Follows `target` by halves upwards and by quarters downwards: what is wanted is mirrored soon, and one quiet
 * window does not tear it down. Reaches its target exactly, unless it stops within the hysteresis.
 */
export function smooth(old: number, target: number): number {
  const off = target - old;
  if (Math.abs(off) <= old >> HYSTERESIS) return old;
  return off > 0 ? old + Math.ceil(off / 2) : old - Math.ceil(-off / 4);
}

/** What nobody speaks of any more halves. */
const fade = (old: number): number => old >> 1;

/**
 * Moves the vector by what was agreed. Both lists are strictly by key, and so is the result.
 *
 * @param due whether demand of a (site, region) that is known already is to be weighed anew at this height
 */
export function moveVector(
  old: readonly VectorResource[],
  agreed: readonly AgreedResource[],
  due: (site: SiteId, region: RegionId) => boolean,
): VectorResource[] {
  const moved: VectorResource[] = [];
  const keep = (resource: VectorResource) => {
    if (resource.cells.length > 0) moved.push(resource);
  };
  let a = 0;
  let b = 0;
  while (a < old.length || b < agreed.length) {
    const before = old[a];
    const now = agreed[b];
    const order = before === undefined ? 1 : now === undefined ? -1 : byBytes(before.key16, now.key16);
    if (order <= 0) a += 1;
    if (order >= 0) b += 1;
    if (order < 0) keep(faded(before!, due));
    else keep(followed(order === 0 ? before : undefined, now!, due));
  }
  return moved.length <= VECTOR_RESOURCES ? moved : mostValuable(moved);
}

function faded(resource: VectorResource, due: (site: SiteId, region: RegionId) => boolean): VectorResource {
  const cells = resource.cells.flatMap((cell) =>
    due(resource.site, cell.region) ? worthKeeping(fadedCell(cell)) : [cell],
  );
  return { ...resource, cells };
}

const fadedCell = (cell: VectorCell): VectorCell => {
  const expected = fade(cell.expected);
  const credit = fade(cell.credit);
  // Where the content is outlives the demand, but not for ever.
  return {
    ...cell,
    expected,
    chance: fade(cell.chance),
    credit,
    holder: cell.holder && expected + credit > 0,
  };
};

const worthKeeping = (cell: VectorCell): VectorCell[] =>
  cell.expected > 0 || cell.credit > 0 || cell.holder ? [cell] : [];

function followed(
  before: VectorResource | undefined,
  { key16, site, sizeClass, cells: agreed }: AgreedResource,
  due: (site: SiteId, region: RegionId) => boolean,
): VectorResource {
  const known = new Map(before?.cells.map((cell) => [cell.region, cell]));
  const cells: VectorCell[] = [];
  for (const now of agreed) {
    const old = known.get(now.region);
    known.delete(now.region);
    cells.push(...worthKeeping(old === undefined || due(site, now.region) ? followedCell(old, now) : old));
  }
  for (const old of known.values()) {
    cells.push(...(due(site, old.region) ? worthKeeping(fadedCell(old)) : [old]));
  }
  cells.sort((a, b) => byBytes(a.region, b.region));
  return { key16, site, sizeClass, cells };
}

function followedCell(old: VectorCell | undefined, now: AgreedCell): VectorCell {
  const held = now.held === 1;
  const holder = now.holder === 1;
  // The first word on a region counts in full, and so does the news that it has asked and needs no mirror.
  const jumps = old === undefined || (holder && !old.holder);
  const move = (from: number, to: number) => (jumps ? to : smooth(from, to));
  return {
    region: now.region,
    expected: move(old?.expected ?? 0, now.mean),
    chance: move(old?.chance ?? 0, now.chance),
    credit: move(old?.credit ?? 0, now.credit),
    held,
    holder,
  };
}

/** Credited chance per byte over all regions. */
function worthOf({ sizeClass, cells }: VectorResource): number {
  let credit = 0;
  for (const cell of cells) credit += cell.credit;
  return quotient(product(credit, 1 << 20), sizeOfClass(sizeClass) + 512);
}

function mostValuable(resources: readonly VectorResource[]): VectorResource[] {
  return resources
    .map((resource) => ({ resource, worth: worthOf(resource) }))
    .sort((a, b) => b.worth - a.worth || byBytes(a.resource.key16, b.resource.key16))
    .slice(0, VECTOR_RESOURCES)
    .map(({ resource }) => resource)
    .sort((a, b) => byBytes(a.key16, b.key16));
}
