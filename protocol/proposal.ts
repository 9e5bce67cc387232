import * as v from 'valibot';
import { PresageError } from './errors.ts';
import { byBytes } from './exact.ts';
import { idBytes, type Key16, key16FromBytes, type RegionId, type SiteId } from './ids.ts';
import { SIZE_CLASS_MAX } from './size-class.ts';
import type { PopState } from './summary.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, regionId, rows, text, uint } from './wire/schemas.ts';

/** A body at most, whatever the roster; the roster's size lowers it further. */
export const PROPOSAL_BYTES = 256 * 1024;
/** All bodies of a height together. */
const HEIGHT_BYTES = 4 << 20;
export const PROPOSAL_RESOURCES = 8_192;
/** Sites of which a proposer reports what mirroring was worth. */
export const USES_MAX = 64;
/** Sites and regions that one body names; as many as a charter has. */
const SITES_MAX = 1_024;
const REGIONS_MAX = 256;
/** Each may cost a verified signature. */
export const OPERATIONS_MAX = 32;
/** A list of a hundred revocations, or a small charter. */
export const OPERATION_BYTES = 64 * 1024;
/** Forecasts and counts, thousandths of a request; also KiB. */
export const VALUE_MAX = 0x7fff_ffff;
/** Integers of one region's row: see `ProposalCell`. */
const CELL = 8;
const HELD = 1;
const HOLDER = 2;
const STATES: readonly PopState[] = ['up', 'drain', 'sick'];

/** What a proposer can take, as it says of itself. */
export interface Cap {
  readonly storageBudgetMiB: number;
  readonly fillKiBps: number;
  /** 0 idle … 15 saturated. */
  readonly load: number;
  readonly state: PopState;
}

/** What mirroring for a site came to at the proposer since it last proposed, KiB. */
export interface Use {
  readonly site: SiteId;
  readonly mirroredKiB: number;
  readonly usedKiB: number;
  readonly unusedKiB: number;
  /** Of what was judged, the size times the chance of use that the plan gave it. */
  readonly promisedKiB: number;
}

/** What is expected of one region for one resource; requests in thousandths. */
export interface ProposalCell {
  readonly region: RegionId;
  /** In the window that begins. */
  readonly next: number;
  /** Over the horizon. */
  readonly mean: number;
  readonly upper: number;
  /** What all PoPs together saw in the window of the forecasts that are scored at this height; 0 for other keys. */
  readonly observed: number;
  /** Chance of any request over the horizon, and what of it has earned belief, thousandths at most 1000. */
  readonly chance: number;
  readonly credit: number;
  /** 1 if the demand is of an established series, so that the region's PoP keeps the content. */
  readonly held: number;
  /** 1 if the region has asked before, so that a PoP there should hold the content. */
  readonly holder: number;
}

export interface ProposalEntry {
  readonly key16: Key16;
  readonly site: SiteId;
  readonly sizeClass: number;
  /** Strictly by region. */
  readonly cells: readonly ProposalCell[];
}

/** What one PoP proposes at one height. */
export interface Proposal {
  /** Rules of the state transition that the proposer knows, first and last. */
  readonly rulesMin: number;
  readonly rulesMax: number;
  /** Unix ms of real time. */
  readonly at: number;
  /** Demand time, Unix ms, at which the window that `next` is for begins, and how long it is. */
  readonly window: number;
  readonly windowMs: number;
  readonly cap: Cap;
  /** Strictly by site. */
  readonly uses: readonly Use[];
  /** Strictly by key. */
  readonly entries: readonly ProposalEntry[];
  /** Operations on roster and charter. */
  readonly operations: readonly Uint8Array[];
}

/** How long a body may be in a roster of that size. */
export const proposalBytesMax = (size: number): number =>
  Math.min(PROPOSAL_BYTES, Math.floor(HEIGHT_BYTES / Math.max(1, size)));

/** How long an operation may be that a proposal in such a roster has room for: operations take half of it at most. */
export const operationBytesMax = (size: number): number =>
  Math.min(OPERATION_BYTES, Math.floor(proposalBytesMax(size) / 2) - 8);

const siteId = v.pipe(
  text(64, 1),
  v.regex(/^[a-z0-9][a-z0-9._-]*$/, 'id of a site'),
  v.transform((id) => id as SiteId),
);
const kib = uint(VALUE_MAX);
const schema = v.strictTuple([
  v.literal(1),
  v.pipe(uint(0xffff), v.minValue(1)),
  v.pipe(uint(0xffff), v.minValue(1)),
  uint(),
  uint(),
  v.pipe(uint(VALUE_MAX), v.minValue(1)),
  v.strictTuple([uint(VALUE_MAX), uint(VALUE_MAX), uint(15), uint(2)]),
  rows(v.strictTuple([uint(SITES_MAX - 1), kib, kib, kib, kib]), USES_MAX),
  // Checked by hand: a schema takes ten times as long over a quarter of a million integers.
  v.pipe(v.array(v.unknown()), v.maxLength(PROPOSAL_RESOURCES)),
  rows(bytes(OPERATION_BYTES, 1), OPERATIONS_MAX),
  rows(siteId, SITES_MAX),
  rows(regionId, REGIONS_MAX),
]);

/**
 * `[1, rulesMin, rulesMax, at, window, windowMs, cap, uses, entries, operations, sites, regions]`: names stand once,
 * at the end, and are referred to by index; an entry is `[key16, site, sizeClass, cells]`, the cells in one flat row.
 */
export function encodeProposal(proposal: Proposal): Uint8Array {
  const { cap } = proposal;
  const siteNames = new Set(proposal.uses.map(({ site }) => site));
  const regionNames = new Set<RegionId>();
  for (const { site, cells } of proposal.entries) {
    siteNames.add(site);
    for (const { region } of cells) regionNames.add(region);
  }
  const sites = namesOf(siteNames);
  const regions = namesOf(regionNames);
  return encode([
    1,
    proposal.rulesMin,
    proposal.rulesMax,
    proposal.at,
    proposal.window,
    proposal.windowMs,
    [cap.storageBudgetMiB, cap.fillKiBps, cap.load, STATES.indexOf(cap.state)],
    proposal.uses.map((use) => [
      sites.get(use.site)!,
      use.mirroredKiB,
      use.usedKiB,
      use.unusedKiB,
      use.promisedKiB,
    ]),
    proposal.entries.map(({ key16, site, sizeClass, cells }) => [
      idBytes(key16),
      sites.get(site)!,
      sizeClass,
      cellRow(cells, regions),
    ]),
    proposal.operations,
    [...sites.keys()],
    [...regions.keys()],
  ]);
}

/** How many bytes an entry takes at most, whatever the places of the names that it mentions. */
export function entryBytes({ sizeClass, cells }: ProposalEntry): number {
  // The head, the key, the site and the head of the row.
  let bytes = 1 + 18 + 3 + uintBytes(sizeClass) + 3;
  for (const { next, mean, upper, observed, chance, credit } of cells) {
    bytes += 2 + uintBytes(next) + uintBytes(mean) + uintBytes(upper) + uintBytes(observed);
    bytes += uintBytes(chance) + uintBytes(credit) + 1;
  }
  return bytes;
}

/** Of MessagePack. */
const uintBytes = (value: number): number => (value < 0x80 ? 1 : value < 0x100 ? 2 : value < 0x10000 ? 3 : 5);

/** All cells of an entry in one flat row. */
function cellRow(cells: readonly ProposalCell[], regions: ReadonlyMap<RegionId, number>): number[] {
  const row: number[] = [];
  for (const c of cells) {
    row.push(regions.get(c.region)!, c.next, c.mean, c.upper, c.observed, c.chance, c.credit);
    row.push(c.held * HELD + c.holder * HOLDER);
  }
  return row;
}

function namesOf<T extends string>(names: ReadonlySet<T>): Map<T, number> {
  return new Map([...names].sort(byBytes).map((name, index) => [name, index]));
}

const malformed = (what: string) => new PresageError('WIRE_SCHEMA', `proposal: ${what}`);

function strictly<T>(list: readonly T[], nameOf: (item: T) => string, what: string): void {
  for (let i = 1; i < list.length; i += 1) {
    if (nameOf(list[i - 1]!) >= nameOf(list[i]!)) throw malformed(`${what} are not strictly sorted`);
  }
}

/** Decodes a body and checks all that can be told from it alone. Fails with `WIRE_*`. */
export function decodeProposal(body: Uint8Array, maxBytes = PROPOSAL_BYTES): Proposal {
  const spec = { name: 'proposal', maxBytes, depth: 4, elements: 300_000, schema };
  const fields = decode(body, spec);
  const [, rulesMin, rulesMax, at, window, windowMs, cap, uses, list, operations, sites, regions] = fields;
  if (rulesMin > rulesMax) throw malformed('rules');
  strictly(sites, String, 'sites');
  strictly(regions, String, 'regions');
  const siteAt = (index: number): SiteId => {
    const site = sites[index];
    if (site === undefined) throw malformed('a site out of range');
    return site;
  };
  const entries = list.map((row) => entryOf(row, siteAt, regions));
  strictly(entries, ({ key16 }) => key16, 'entries');
  const reported = uses.map(
    ([site, mirroredKiB, usedKiB, unusedKiB, promisedKiB]): Use => ({
      site: siteAt(site),
      mirroredKiB,
      usedKiB,
      unusedKiB,
      promisedKiB,
    }),
  );
  strictly(reported, ({ site }) => site, 'uses');
  const [storageBudgetMiB, fillKiBps, load, state] = cap;
  return {
    rulesMin,
    rulesMax,
    at,
    window,
    windowMs,
    cap: { storageBudgetMiB, fillKiBps, load, state: STATES[state] ?? 'sick' },
    uses: reported,
    entries,
    operations,
  };
}

function entryOf(
  row: unknown,
  siteAt: (index: number) => SiteId,
  regions: readonly RegionId[],
): ProposalEntry {
  if (!Array.isArray(row) || row.length !== 4) throw malformed('an entry');
  const [key, site, sizeClass, flat] = row as unknown[];
  if (!(key instanceof Uint8Array) || key.length !== 16) throw malformed('a key');
  if (!isUint(site, SITES_MAX) || !isUint(sizeClass, SIZE_CLASS_MAX)) throw malformed('an entry');
  if (!Array.isArray(flat) || flat.length % CELL !== 0) throw malformed('the cells of an entry');
  const cells: ProposalCell[] = [];
  let previous = -1;
  for (let i = 0; i < flat.length; i += CELL) {
    const [index, next, mean, upper] = [flat[i], flat[i + 1], flat[i + 2], flat[i + 3]] as unknown[];
    const [observed, chance, credit, flags] = [
      flat[i + 4],
      flat[i + 5],
      flat[i + 6],
      flat[i + 7],
    ] as unknown[];
    if (!isUint(index, regions.length - 1) || index <= previous) throw malformed('a region of an entry');
    if (
      !isUint(next, VALUE_MAX) ||
      !isUint(mean, VALUE_MAX) ||
      !isUint(upper, VALUE_MAX) ||
      !isUint(observed, VALUE_MAX) ||
      !isUint(chance, 1000) ||
      !isUint(credit, 1000) ||
      !isUint(flags, HELD | HOLDER)
    ) {
      throw malformed('a cell');
    }
    previous = index;
    const held = flags & HELD;
    const holder = (flags & HOLDER) >> 1;
    cells.push({ region: regions[index]!, next, mean, upper, observed, chance, credit, held, holder });
  }
  return { key16: key16FromBytes(key), site: siteAt(site), sizeClass, cells };
}

/** Whether hostile input is an integer 0 … max; negative zero would encode otherwise than it compares. */
const isUint = (value: unknown, max: number): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= max && !Object.is(value, -0);
