/**
 * How much of the demand that is nearest to each PoP is answered with another one, so that an overloaded PoP is
 * relieved and none of those that help it drowns in turn. Loads are sixteenths of a PoP's capacity, 0 … 15.
 *
 * A PoP's `keep` is the part of its own demand that it keeps. It moves only once an epoch, because load reports
 * come once an epoch, and by the square root of the error, because an answer lives on in resolvers for its TTL:
 * both damp the swing that a controller with this much delay would otherwise show.
 */

/** Above this a PoP sheds; loads are reported late, so there must be room between here and full. */
const SHED_ABOVE = 12;
/** What shedding aims at, and up to where helpers are filled. */
const TARGET = 11;
/** Below this a PoP takes its own demand back, a fifth more each epoch. */
const RETURN_BELOW = 9;
const RETURN_STEP = 1.2;
/** Even a full PoP keeps some, or it would look idle and take everything back at once. */
const LEAST_KEPT = 0.05;
/** Helpers of one row: enough to spread, few enough to keep answers near and caches warm. */
const HELPERS = 8;
/** A helper this much farther away counts half. */
const HALF_DISTANCE_MS = 40;
/** Rounds of filling; what then finds no room stays where it was. */
const ROUNDS = 4;

/** What is carried from one epoch's table to the next. */
export interface OverflowState {
  readonly epoch: number;
  /** By PoP id: part of its own demand that it keeps, 0.05 … 1. */
  readonly keep: ReadonlyMap<string, number>;
  /** By PoP id: overflow that it takes from others, in units of load. */
  readonly received: ReadonlyMap<string, number>;
  /** `keep` and `received` as they were while the loads were measured that are known now. */
  readonly measured: {
    readonly keep: ReadonlyMap<string, number>;
    readonly received: ReadonlyMap<string, number>;
  };
  /** By id of a PoP that may not be chosen now: its load when it was lost, which others carry since. */
  readonly lost: ReadonlyMap<string, number>;
}

/** The part of the state that the measurements alone decide; `spreadOverflow` gives the rest. */
export type OverflowControl = Omit<OverflowState, 'received'>;

export interface OverflowPop {
  readonly id: string;
  readonly load: number;
  /** Healthy, reachable and not draining: may help others. */
  readonly available: boolean;
}

/** The candidates of one site in one region, by index into the PoPs, nearest first. */
export interface OverflowRow {
  /** The PoP that would be first, could it be chosen: its demand is spread over `order`. */
  readonly lost?: number | undefined;
  readonly order: ArrayLike<number>;
  /** Cost in ms by PoP index. */
  readonly cost: ArrayLike<number>;
}

/** Goes on from the state before; within an epoch nothing moves but what is lost and found again. */
export function nextControl(
  pops: readonly OverflowPop[],
  epoch: number,
  previous: OverflowState | undefined,
): OverflowControl {
  const risen = !previous || epoch > previous.epoch;
  const keep = new Map<string, number>();
  const lost = new Map<string, number>();
  for (const { id, load, available } of pops) {
    const before = previous?.keep.get(id) ?? 1;
    let now = before;
    if (risen) {
      if (load > SHED_ABOVE) now = Math.max(LEAST_KEPT, before * Math.sqrt(TARGET / load));
      else if (load < RETURN_BELOW) now = Math.min(1, before * RETURN_STEP);
    }
    keep.set(id, now);
    // What it reports once its clients have gone elsewhere says nothing of how many they are.
    if (!available) lost.set(id, previous?.lost.get(id) ?? load);
  }
  const measured = (risen ? previous : previous?.measured) ?? { keep: new Map(), received: new Map() };
  return {
    ...{ epoch: previous ? Math.max(epoch, previous.epoch) : epoch, keep, lost },
    measured: { keep: measured.keep, received: measured.received },
  };
}

type Share = [pop: number, share: number];

/** Demand of one row that is looking for helpers. */
interface Spill {
  readonly row: number;
  /** The first candidate of the row keeps the rest of this. */
  readonly demand: number;
  left: number;
  readonly helpers: readonly { readonly pop: number; readonly nearness: number }[];
  readonly given: Map<number, number>;
}

/**
 * Spreads what overloaded PoPs shed over their rows' next candidates, by nearness and by room left, never beyond
 * a helper's target load. What was a lost PoP's goes first: to the nearest as far as it has room, then to the next.
 * The result has one list of `[pop index, share]` for each row that is not answered with its first candidate alone;
 * shares of a row sum to 1.
 */
export function spreadOverflow(
  pops: readonly OverflowPop[],
  rows: readonly OverflowRow[],
  { keep, measured, lost }: OverflowControl,
): { shares: Map<number, Share[]>; received: Map<string, number> } {
  const shares = new Map<number, Share[]>();
  const received = new Map<string, number>();
  const kept = pops.map(({ id }) => keep.get(id) ?? 1);
  const orphaned = rows.some((row) => row.lost !== undefined);
  if (!orphaned && kept.every((k) => k === 1)) return { shares, received };

  const rowsOf = new Float64Array(pops.length);
  for (const row of rows) {
    const first = row.lost ?? row.order[0];
    if (first !== undefined) rowsOf[first]! += 1;
  }
  const room = Float64Array.from(pops, ({ id, load, available }, index) =>
    available && kept[index] === 1 ? Math.max(0, TARGET - load + (measured.received.get(id) ?? 0)) : 0,
  );
  const helpersOf = (row: OverflowRow, from: number) => {
    const helpers: { pop: number; nearness: number }[] = [];
    for (let i = from; i < row.order.length && helpers.length < HELPERS; i += 1) {
      const pop = row.order[i]!;
      if (room[pop]! <= 0) continue;
      const farther = Math.max(0, row.cost[pop]! - row.cost[row.order[0]!]!);
      helpers.push({ pop, nearness: HALF_DISTANCE_MS / (HALF_DISTANCE_MS + farther) });
    }
    return helpers;
  };

  const orphans: Spill[] = [];
  const spills: Spill[] = [];
  rows.forEach((row, at) => {
    const first = row.lost ?? row.order[0];
    if (first === undefined || row.order.length === 0) return;
    const share = 1 / rowsOf[first]!;
    if (row.lost !== undefined) {
      const demand = Math.max(1, lost.get(pops[first]!.id) ?? 0) * share;
      orphans.push({ row: at, demand, left: demand, helpers: helpersOf(row, 0), given: new Map() });
    } else if (kept[first]! < 1) {
      // The load that this row would lay on its first candidate if that kept all: what was measured, scaled back.
      const before = measured.keep.get(pops[first]!.id) ?? 1;
      const demand = (Math.max(1, pops[first]!.load) / before) * share;
      const left = demand * (1 - kept[first]!);
      spills.push({ row: at, demand, left, helpers: helpersOf(row, 1), given: new Map() });
    }
  });
  for (let rank = 0; rank < HELPERS; rank += 1) {
    fill(orphans, room, ({ helpers, left }) =>
      helpers.slice(rank, rank + 1).map(({ pop }) => [pop, left] as const),
    );
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    fill(spills, room, ({ helpers, left }) => {
      const weights = helpers.map(({ pop, nearness }) => nearness * room[pop]!);
      const sum = weights.reduce((a, b) => a + b, 0);
      return sum > 0 ? helpers.map(({ pop }, i) => [pop, (left * weights[i]!) / sum]) : [];
    });
  }

  for (const { row, demand, given } of [...orphans, ...spills]) {
    const { order } = rows[row]!;
    const list: Share[] = [];
    let away = 0;
    for (const [pop, units] of given) {
      list.push([pop, units / demand]);
      away += units / demand;
      received.set(pops[pop]!.id, (received.get(pops[pop]!.id) ?? 0) + units);
    }
    const rest = Math.max(0, 1 - away);
    if (rows[row]!.lost !== undefined) shares.set(row, withRest(list, rest, order));
    else if (list.length > 0) shares.set(row, [[order[0]!, rest], ...list]);
  }
  return { shares, received };
}

/** One round: each spill asks helpers for parts of what it has left; a helper asked for too much gives to all alike. */
function fill(
  spills: readonly Spill[],
  room: Float64Array,
  ask: (spill: Spill) => readonly (readonly [pop: number, units: number])[],
): void {
  const wanted = new Float64Array(room.length);
  const asks = spills.map(ask);
  for (const parts of asks) for (const [pop, units] of parts) wanted[pop]! += units;
  const granted = wanted.map((want, pop) => (want > room[pop]! ? room[pop]! / want : 1));
  spills.forEach((spill, s) => {
    for (const [pop, units] of asks[s]!) {
      const taken = units * granted[pop]!;
      if (taken <= 0) continue;
      spill.given.set(pop, (spill.given.get(pop) ?? 0) + taken);
      spill.left -= taken;
    }
  });
  wanted.forEach((want, pop) => {
    room[pop] = Math.max(0, room[pop]! - want * granted[pop]!);
  });
}

/** What finds no room must go somewhere: to the nearest alike, so that none of them bears it alone. */
function withRest(list: readonly Share[], rest: number, order: ArrayLike<number>): Share[] {
  const parts = new Map(list);
  if (rest > 1e-9) {
    const count = Math.min(HELPERS, order.length);
    for (let i = 0; i < count; i += 1) parts.set(order[i]!, (parts.get(order[i]!) ?? 0) + rest / count);
  }
  return [...parts];
}

/**
 * `turns` slots filled in the proportion of the shares and as evenly interleaved as they can be (smooth weighted
 * round robin): any run of answers is close to the shares, not just all of them together.
 */
export function smoothSchedule(
  shares: readonly (readonly [pop: number, share: number])[],
  turns: number,
): Uint16Array {
  const credit = shares.map(() => 0);
  const total = shares.reduce((sum, [, share]) => sum + share, 0);
  const schedule = new Uint16Array(turns);
  for (let turn = 0; turn < turns; turn += 1) {
    let best = 0;
    for (let i = 0; i < shares.length; i += 1) {
      credit[i]! += shares[i]![1];
      if (credit[i]! > credit[best]!) best = i;
    }
    credit[best]! -= total;
    schedule[turn] = shares[best]![0];
  }
  return schedule;
}
