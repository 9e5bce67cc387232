import type { AgreedCell, AgreedResource } from './aggregation.ts';
import { byBytes, product, quotient } from './exact.ts';
import type { Key16, RegionId, SiteId } from './ids.ts';
import { sizeOfClass } from './size-class.ts';
import type { Turn } from './turns.ts';

/** Resources that the state carries; the least valuable beyond are dropped. */
export const VECTOR_RESOURCES = 20_000;
/** A target within this share of the old value (one in 2ⁿ) moves nothing, so that the plan does not flutter. */
const HYSTERESIS = 4;
/** Of what fades: a twentieth of a request over the horizon, and half a percent of belief, thousandths. */
const EXPECTED_MIN = 50;
const CREDIT_MIN = 5;

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

/** Whether known demand of a site in a region is to be weighed anew at this height. */
export type Due = (site: SiteId, region: RegionId, inTurn: boolean) => boolean;

/**
 * Moves the vector by what was agreed. Both lists are strictly by key, and so is the result. What has its turn and is
 * not spoken of fades; what has not, and is not spoken of, stays as it was.
 */
export function moveVector(
  old: readonly VectorResource[],
  agreed: readonly AgreedResource[],
  turn: Turn,
  due: Due,
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
    const inTurn = order <= 0 && a >= turn.first && a < turn.end;
    if (order <= 0) a += 1;
    if (order >= 0) b += 1;
    const isDue = (site: SiteId, region: RegionId) => due(site, region, inTurn);
    if (order >= 0) keep(followed(order === 0 ? before : undefined, now!, inTurn ? turn : NO_TURN, isDue));
    else keep(inTurn ? faded(before!, turn, isDue) : before!);
  }
  return moved.length <= VECTOR_RESOURCES ? moved : mostValuable(moved);
}

type IsDue = (site: SiteId, region: RegionId) => boolean;
type Pace = Pick<Turn, 'steps' | 'fade'>;
/** Of what is spoken of before its turn. */
const NO_TURN: Pace = { steps: 1, fade: 1 };

function faded(resource: VectorResource, { fade }: Pace, due: IsDue): VectorResource {
  const cells = resource.cells.flatMap((cell) =>
    due(resource.site, cell.region) ? fadedCell(cell, fade) : [cell],
  );
  return { ...resource, cells };
}

/** What nobody speaks of any more halves with each step; the rest of it is not worth a place. */
const fadedCell = (cell: VectorCell, steps: number): VectorCell[] => {
  const expected = cell.expected >> steps;
  const credit = cell.credit >> steps;
  if (expected < EXPECTED_MIN && credit < CREDIT_MIN) return [];
  return [{ ...cell, expected, chance: cell.chance >> steps, credit }];
};

const worthKeeping = (cell: VectorCell): VectorCell[] =>
  cell.expected > 0 || cell.credit > 0 || cell.holder ? [cell] : [];

function followed(
  before: VectorResource | undefined,
  { key16, site, sizeClass, cells: agreed }: AgreedResource,
  { steps, fade }: Pace,
  due: IsDue,
): VectorResource {
  const known = new Map(before?.cells.map((cell) => [cell.region, cell]));
  const cells: VectorCell[] = [];
  for (const now of agreed) {
    const old = known.get(now.region);
    known.delete(now.region);
    const weighed = old === undefined || due(site, now.region);
    cells.push(...worthKeeping(weighed ? followedCell(old, now, steps) : old));
  }
  for (const old of known.values()) {
    cells.push(...(due(site, old.region) ? fadedCell(old, fade) : [old]));
  }
  cells.sort((a, b) => byBytes(a.region, b.region));
  return { key16, site, sizeClass, cells };
}

function followedCell(old: VectorCell | undefined, now: AgreedCell, steps: number): VectorCell {
  const held = now.held === 1;
  const holder = now.holder === 1;
  // The first word on a region counts in full, and so does the news that it has asked and needs no mirror.
  const jumps = old === undefined || (holder && !old.holder);
  const move = (from: number, to: number) => {
    if (jumps) return to;
    let value = from;
    for (let step = 0; step < steps; step += 1) value = smooth(value, to);
    return value;
  };
  return {
    region: now.region,
    expected: move(old?.expected ?? 0, now.mean),
    chance: move(old?.chance ?? 0, now.chance),
    credit: move(old?.credit ?? 0, now.credit),
    held,
    holder,
  };
}

/** Credited chance per byte: what a resource's place in a list is worth. */
export const worthPerByte = (credit: number, sizeClass: number): number =>
  quotient(product(credit, 1 << 20), sizeOfClass(sizeClass) + 512);

/** Over all regions. */
export function worthOf({ sizeClass, cells }: VectorResource): number {
  let credit = 0;
  for (const cell of cells) credit += cell.credit;
  return worthPerByte(credit, sizeClass);
}

function mostValuable(resources: readonly VectorResource[]): VectorResource[] {
  return resources
    .map((resource) => ({ resource, worth: worthOf(resource) }))
    .sort((a, b) => b.worth - a.worth || byBytes(a.resource.key16, b.resource.key16))
    .slice(0, VECTOR_RESOURCES)
    .map(({ resource }) => resource)
    .sort((a, b) => byBytes(a.key16, b.key16));
}
