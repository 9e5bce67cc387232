import type { Committees } from './committee.ts';
import { type DecidedState, turnAfter } from './decided-state.ts';
import {
  VECTOR_RESOURCES,
  type VectorCell,
  type VectorResource,
  worthOf,
  worthPerByte,
} from './demand-vector.ts';
import { byBytes, quotient, scaled } from './exact.ts';
import type { Key16, RegionId } from './ids.ts';
import type { PlanResource } from './placement.ts';
import {
  encodeProposal,
  entryBytes,
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
import { hash32, rendezvousWeight } from './rendezvous.ts';
import { sizeClassOf, sizeOfClass } from './size-class.ts';
import { isDue, tuningKey } from './tuning.ts';

/** What a region's becoming a holder, or ceasing to be one, counts beside a change of credit, thousandths. */
const FLAG_MOVE = 125;
/** What the count of an established series counts beside credit: a doubling moves tiers, not bytes. */
const EXPECTED_MOVE = 250;
/** A change of less than one in so many waits for its turn: so far apart may what PoPs say of one thing lie. */
const CHANGE_MIN = 4;
/** Heads of the four lists of a body, and of the body. */
const LIST_BYTES = 24;

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
  /** Requests that all PoPs together saw from demand time `from` for `lengthMs`, thousandths. */
  observed(key16: Key16, region: RegionId, from: number, lengthMs: number): number;
  /** The forecast of an established series, if there is one. */
  series(key16: Key16, region: RegionId): Expectation | undefined;
  /** Share of the horizon that one window takes, thousandths: the next window's part where no series tells. */
  readonly windowShare: number;
  /** Whether this PoP is to speak on the key: see `Committees`. */
  speaks(key16: Key16): boolean;
  /** Set where the PoP has no forecast and no count: it then speaks on no key, not even on those that are scored. */
  readonly silent?: boolean;
}

const bounded = (value: number, max: number): number => Math.max(0, Math.min(max, Math.trunc(value)));

/** A key whose forecasts are about to be scored, and where what was seen is asked for. */
export interface Asked {
  readonly regions: readonly RegionId[];
  observed(region: RegionId): number;
}

/** The entry in which a PoP states what it would plan a resource with. */
export function entryOf(
  { key16, site, size, demand, holders = [] }: PlanResource,
  view: Pick<ProposalView, 'series' | 'windowShare'>,
  asked?: Asked,
): ProposalEntry {
  const regions = [
    ...new Set([...demand.map(({ region }) => region), ...holders, ...(asked?.regions ?? [])]),
  ].sort(byBytes);
  const cells = regions.map((region): ProposalCell => {
    const one = demand.findLast((known) => known.region === region);
    const expected = bounded(one?.expected ?? 0, VALUE_MAX);
    const series = view.series(key16, region);
    return {
      region,
      next: bounded(series?.next ?? scaled(expected, bounded(view.windowShare, 1000), 1000), VALUE_MAX),
      mean: bounded(series?.mean ?? expected, VALUE_MAX),
      upper: bounded(series?.upper ?? expected, VALUE_MAX),
      observed: asked === undefined ? 0 : bounded(asked.observed(region), VALUE_MAX),
      chance: bounded(one?.chance ?? 0, 1000),
      credit: bounded(one?.credit ?? 0, 1000),
      held: one?.held === true ? 1 : 0,
      holder: holders.includes(region) ? 1 : 0,
    };
  });
  return { key16, site, sizeClass: sizeClassOf(size), cells };
}

/**
 * How far what a PoP says of a resource is from what is decided, in credited chance per byte: nothing where it is so
 * little that it can wait for the resource's turn.
 */
export function moveOf(
  { cells, sizeClass }: ProposalEntry,
  known: VectorResource | undefined,
  due: (region: RegionId) => boolean,
): number {
  let sum = 0;
  for (const cell of cells) {
    const old = known?.cells.find(({ region }) => region === cell.region);
    if (old === undefined) sum += cell.credit + (known !== undefined && cell.holder === 1 ? FLAG_MOVE : 0);
    else if (due(cell.region)) sum += cellMove(cell, old);
  }
  for (const old of known?.cells ?? []) {
    if (due(old.region) && !cells.some(({ region }) => region === old.region)) sum += old.credit;
  }
  return worthPerByte(sum, sizeClass);
}

function cellMove(cell: ProposalCell, old: VectorCell): number {
  let sum = isFar(old.credit, cell.credit) ? Math.abs(cell.credit - old.credit) : 0;
  if ((cell.holder === 1) !== old.holder || (cell.held === 1) !== old.held) sum += FLAG_MOVE;
  if (cell.held === 1 && isFar(old.expected, cell.mean)) {
    const most = Math.max(1, cell.mean, old.expected);
    sum += scaled(Math.abs(cell.mean - old.expected), EXPECTED_MOVE, most);
  }
  return sum;
}

const isFar = (old: number, now: number): boolean => CHANGE_MIN * Math.abs(now - old) > Math.max(old, now);

/**
 * The body of a proposal for the height after `state`, sorted and within its limits. First what is scored; then what
 * has its turn, so that it stays known; half of the rest is for what is new, then comes what has changed. All PoPs cut
 * alike: moves are compared by their order of magnitude, and between equals a hash decides that changes with the
 * height.
 */
export function buildProposal(view: ProposalView, state: DecidedState, committees: Committees): Uint8Array {
  const limit = proposalBytesMax(state.members.length);
  const { rulesMin, rulesMax, at, window, windowMs, cap } = view;
  const head = {
    ...{ rulesMin, rulesMax, at, window, windowMs, cap },
    uses: [...view.uses].sort((a, b) => byBytes(a.site, b.site)).slice(0, USES_MAX),
    operations: fitting(view.operations, quotient(limit, 2)),
  };
  const bare = encodeProposal({ ...head, entries: [] });
  const room = new Room(limit - bare.length - LIST_BYTES, new Set(head.uses.map(({ site }) => site)));
  if (view.silent !== true) {
    const { asked, repeated, fresh, changed } = spokenOn(view, state, committees);
    for (const entry of asked) room.take(entry);
    for (const entry of repeated) room.take(entry);
    const half = quotient(room.left, 2);
    let taken = 0;
    while (taken < fresh.length && room.left > half && room.take(fresh[taken]!.entry)) taken += 1;
    for (const { entry } of changed) if (!room.take(entry)) break;
    for (const { entry } of fresh.slice(taken)) if (!room.take(entry)) break;
  }
  const entries = room.entries.sort((a, b) => byBytes(a.key16, b.key16));
  return encodeProposal({ ...head, entries });
}

interface Move {
  readonly entry: ProposalEntry;
  readonly magnitude: number;
  readonly lot: number;
}

/** What this PoP might speak on, in the order in which it does. */
function spokenOn(view: ProposalView, state: DecidedState, committees: Committees) {
  const { vector } = state;
  const height = state.height + 1;
  const [sample] = state.samples;
  const scored = new Map(
    sample.keys.map(({ key16, agreed }) => [
      key16,
      {
        regions: agreed.map(([region]) => region),
        observed: (region: RegionId) => view.observed(key16, region, sample.window, sample.windowMs),
      },
    ]),
  );
  const places = new Map(vector.map(({ key16 }, place) => [key16, place]));
  const turn = turnAfter(state, committees);
  const tunings = new Map(state.tunings.map((one) => [tuningKey(one.site, one.region), one]));
  // What is worth less than all that is known would be dropped again.
  const least = vector.length < VECTOR_RESOURCES ? 0 : Math.min(...vector.map(worthOf));
  const asked: ProposalEntry[] = [];
  const repeated: ProposalEntry[] = [];
  const fresh: Move[] = [];
  const changed: Move[] = [];
  const seen = new Set<Key16>();
  for (const resource of view.resources) {
    const { key16, site } = resource;
    if (seen.has(key16) || !view.speaks(key16)) continue;
    seen.add(key16);
    const question = scored.get(key16);
    const entry = entryOf(resource, view, question);
    const place = places.get(key16);
    if (question !== undefined) asked.push(entry);
    else if (entry.cells.length === 0) continue;
    else if (place !== undefined && place >= turn.first && place < turn.end) repeated.push(entry);
    else {
      const due = (region: RegionId) => isDue(tunings.get(tuningKey(site, region)), height);
      const move = moveOf(entry, place === undefined ? undefined : vector[place], due);
      if (move <= 0 || (place === undefined && move < least)) continue;
      const lot = rendezvousWeight(hash32(key16), height);
      (place === undefined ? fresh : changed).push({ entry, magnitude: 32 - Math.clz32(move), lot });
    }
  }
  for (const { key16, site, sizeClass } of sample.keys) {
    if (seen.has(key16) || !view.speaks(key16)) continue;
    const resource = { key16, site, size: sizeOfClass(sizeClass), demand: [] };
    asked.push(entryOf(resource, view, scored.get(key16)));
  }
  return { asked, repeated, fresh: fresh.sort(byMagnitude), changed: changed.sort(byMagnitude) };
}

const byMagnitude = (a: Move, b: Move): number =>
  b.magnitude - a.magnitude || b.lot - a.lot || byBytes(a.entry.key16, b.entry.key16);

/** Entries that fit into so many bytes, with the names that they are the first to mention. */
class Room {
  readonly entries: ProposalEntry[] = [];
  readonly #names: Set<string>;
  left: number;

  constructor(bytes: number, names: ReadonlySet<string>) {
    this.left = bytes;
    this.#names = new Set(names);
  }

  /** False if there is no room for it. */
  take(entry: ProposalEntry): boolean {
    let cost = entryBytes(entry);
    const names = [entry.site, ...entry.cells.map(({ region }) => region)];
    for (const name of names) if (!this.#names.has(name)) cost += name.length + 2;
    if (cost > this.left || this.entries.length >= PROPOSAL_RESOURCES) return false;
    this.left -= cost;
    for (const name of names) this.#names.add(name);
    this.entries.push(entry);
    return true;
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
