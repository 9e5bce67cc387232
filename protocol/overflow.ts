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
}

export interface OverflowPop {
  readonly id: string;
  readonly load: number;
  /** Healthy, reachable and not draining: may help others. */
  readonly available: boolean;
}

/** The candidates of one site in one region, by index into the PoPs, nearest first. */
export interface OverflowRow {
  readonly order: ArrayLike<number>;
  /** Cost in ms by PoP index. */
  readonly cost: ArrayLike<number>;
}

/** The next value of each PoP's `keep`. */
export function nextKeep(
  pops: readonly OverflowPop[],
  epoch: number,
  previous: OverflowState | undefined,
): Map<string, number> {
  const keep = new Map<string, number>();
  for (const { id, load } of pops) {
    const before = previous?.keep.get(id) ?? 1;
    let now = before;
    if (!previous || epoch > previous.epoch) {
      if (load > SHED_ABOVE) now = Math.max(LEAST_KEPT, before * Math.sqrt(TARGET / load));
      else if (load < RETURN_BELOW) now = Math.min(1, before * RETURN_STEP);
    }
    keep.set(id, now);
  }
  return keep;
}

/**
 * Spreads what overloaded PoPs shed over their rows' next candidates, by nearness and by room left, never beyond
 * a helper's target load. The result has one list of `[pop index, share]` for each row that is not answered with its
 * first candidate alone; shares of a row sum to 1.
 */
export function spreadOverflow(
  pops: readonly OverflowPop[],
  rows: readonly OverflowRow[],
  keep: ReadonlyMap<string, number>,
  previous: OverflowState | undefined,
): { shares: Map<number, [pop: number, share: number][]>; received: Map<string, number> } {
  const shares = new Map<number, [number, number][]>();
  const received = new Map<string, number>();
  const kept = pops.map(({ id }) => keep.get(id) ?? 1);
  if (kept.every((k) => k === 1)) return { shares, received };

  const rowsOf = new Float64Array(pops.length);
  for (const row of rows) if (row.order.length > 0) rowsOf[row.order[0]!]! += 1;
  const room = pops.map(({ id, load, available }, index) =>
    available && kept[index] === 1 ? Math.max(0, TARGET - load + (previous?.received.get(id) ?? 0)) : 0,
  );

  interface Spill {
    readonly row: number;
    readonly demand: number;
    left: number;
    readonly helpers: readonly { readonly pop: number; readonly nearness: number }[];
    readonly given: Map<number, number>;
  }
  const spills: Spill[] = [];
  rows.forEach((row, at) => {
    const first = row.order[0];
    if (first === undefined || kept[first] === 1) return;
    const own = kept[first]!;
    // The load that this row would lay on its first candidate if that kept all: what was measured, scaled back.
    const before = previous?.keep.get(pops[first]!.id) ?? 1;
    const demand = Math.max(1, pops[first]!.load) / before / rowsOf[first]!;
    const helpers: { pop: number; nearness: number }[] = [];
    for (let i = 1; i < row.order.length && helpers.length < HELPERS; i += 1) {
      const pop = row.order[i]!;
      if (room[pop]! <= 0) continue;
      const farther = Math.max(0, row.cost[pop]! - row.cost[first]!);
      helpers.push({ pop, nearness: HALF_DISTANCE_MS / (HALF_DISTANCE_MS + farther) });
    }
    spills.push({ row: at, demand, left: demand * (1 - own), helpers, given: new Map() });
  });

  for (let round = 0; round < ROUNDS; round += 1) {
    const wanted = new Float64Array(pops.length);
    const asks = spills.map((spill) => {
      const weights = spill.helpers.map(({ pop, nearness }) => nearness * room[pop]!);
      const sum = weights.reduce((a, b) => a + b, 0);
      const parts = weights.map((w) => (sum > 0 ? (spill.left * w) / sum : 0));
      parts.forEach((part, i) => {
        wanted[spill.helpers[i]!.pop]! += part;
      });
      return parts;
    });
    const granted = wanted.map((want, pop) => (want > room[pop]! ? room[pop]! / want : 1));
    spills.forEach((spill, s) => {
      asks[s]!.forEach((part, i) => {
        const { pop } = spill.helpers[i]!;
        const taken = part * granted[pop]!;
        if (taken <= 0) return;
        spill.given.set(pop, (spill.given.get(pop) ?? 0) + taken);
        spill.left -= taken;
      });
    });
    wanted.forEach((want, pop) => {
      room[pop] = Math.max(0, room[pop]! - want * granted[pop]!);
    });
  }

  for (const { row, demand, given } of spills) {
    if (given.size === 0) continue;
    const list: [number, number][] = [];
    let away = 0;
    for (const [pop, units] of given) {
      list.push([pop, units / demand]);
      away += units / demand;
      received.set(pops[pop]!.id, (received.get(pops[pop]!.id) ?? 0) + units);
    }
    list.unshift([rows[row]!.order[0]!, Math.max(0, 1 - away)]);
    shares.set(row, list);
  }
  return { shares, received };
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
