import { randomFillSync } from 'node:crypto';
import type { DecidedState } from '../../protocol/decided-state.ts';
import type { OwnView } from '../../protocol/forecast-application.ts';
import { type Key16, key16FromBytes, type PopId, type RegionId, type SiteId } from '../../protocol/ids.ts';
import type { PlanResource } from '../../protocol/placement.ts';
import { type Proposal, VALUE_MAX } from '../../protocol/proposal.ts';

/** What a liar came to, over the heights at which its proposal was included. */
export interface LieAccount {
  readonly heights: number;
  /** Forecasts of a (resource, region) in its proposals, and how many exceeded every other PoP's tenfold. */
  readonly values: number;
  readonly wild: number;
  /** Decided values that exceed what any other PoP proposed and what was decided before: its word alone. */
  readonly followed: number;
  /** Keys that it made up, and how many of them were decided to exist. */
  readonly invented: number;
  readonly inventedDecided: number;
}

export const NO_LIES: LieAccount = {
  heights: 0,
  values: 0,
  wild: 0,
  followed: 0,
  invented: 0,
  inventedDecided: 0,
};

/** An account from the data of an event; what is no number is 0. */
export function readLieAccount(data: Readonly<Record<string, unknown>>): LieAccount {
  const read = ([name]: [string, number]) => [name, typeof data[name] === 'number' ? data[name] : 0];
  return Object.fromEntries(Object.entries(NO_LIES).map(read)) as unknown as LieAccount;
}

const FACTOR = 1_000;
/** A forecast above every other by this factor is no difference of opinion. */
const WILD_FACTOR = 10;
/** Made-up keys in each proposal. */
const INVENTED = 100;
const INVENTED_BYTES = 1_000;

/**
 * A view turned into nonsense: every forecast and count a thousand times as high, certain everywhere, holders denied,
 * and keys that nobody has ever asked for, which `fill` makes up.
 */
export function lie(
  view: OwnView,
  site: SiteId,
  regions: readonly RegionId[],
  fill: (key: Uint8Array) => unknown = randomFillSync,
): OwnView {
  const resources = [...view.resources].map((known) => distorted(known, regions));
  for (let n = 0; n < INVENTED; n += 1) {
    const key = new Uint8Array(16);
    fill(key);
    const key16 = key16FromBytes(key);
    resources.push(distorted({ key16, site, size: INVENTED_BYTES, demand: [] }, regions));
  }
  return {
    ...view,
    resources,
    observed: (key16, region, from, lengthMs) => raised(view.observed(key16, region, from, lengthMs)),
    series: (key16, region) => {
      const said = view.series(key16, region);
      return said && { next: raised(said.next), mean: raised(said.mean), upper: raised(said.upper) };
    },
  };
}

const raised = (value: number): number => Math.min(VALUE_MAX, FACTOR * Math.max(1_000, value));

function distorted(known: PlanResource, regions: readonly RegionId[]): PlanResource {
  return {
    ...known,
    demand: regions.map((region) => {
      const one = known.demand.find((demand) => demand.region === region);
      return { region, expected: raised(one?.expected ?? 0), chance: 1_000, credit: 1_000, held: !one?.held };
    }),
    holders: [],
  };
}

/**
 * Adds one height to the account: the liar's proposal held against those of all others and what was decided.
 * `before` and `after` are the states that the height began with and led to.
 */
export function lieAccount(
  account: LieAccount,
  liar: PopId,
  proposals: readonly { readonly pop: PopId; readonly proposal: Proposal | undefined }[],
  before: DecidedState,
  after: DecidedState,
): LieAccount {
  const own = proposals.find(({ pop }) => pop === liar)?.proposal;
  if (own === undefined) return account;
  const others = proposals.flatMap(({ pop, proposal }) => (pop === liar || !proposal ? [] : [proposal]));
  const said = new Map<string, { mean: number; credit: number }>();
  const known = new Set<Key16>();
  for (const { entries } of others) {
    for (const { key16, cells } of entries) {
      known.add(key16);
      for (const { region, mean, credit } of cells) raise(said, key16 + region, mean, credit);
    }
  }
  const values = own.entries.flatMap(({ key16, cells }) =>
    cells.map(({ region, mean }) => mean > WILD_FACTOR * (said.get(key16 + region)?.mean ?? 0)),
  );
  for (const { key16, cells } of before.vector) {
    known.add(key16);
    for (const { region, expected, credit } of cells) raise(said, key16 + region, expected, credit);
  }
  const decided = new Set<Key16>();
  let followed = 0;
  for (const { key16, cells } of after.vector) {
    decided.add(key16);
    for (const { region, expected, credit } of cells) {
      const most = said.get(key16 + region);
      if (expected > (most?.mean ?? 0) || credit > (most?.credit ?? 0)) followed += 1;
    }
  }
  const invented = own.entries.filter(({ key16 }) => !known.has(key16));
  return {
    heights: account.heights + 1,
    values: account.values + values.length,
    wild: account.wild + values.filter(Boolean).length,
    followed: account.followed + followed,
    invented: account.invented + invented.length,
    inventedDecided: account.inventedDecided + invented.filter(({ key16 }) => decided.has(key16)).length,
  };
}

function raise(
  said: Map<string, { mean: number; credit: number }>,
  cell: string,
  mean: number,
  credit: number,
): void {
  const most = said.get(cell);
  if (most === undefined) said.set(cell, { mean, credit });
  else {
    most.mean = Math.max(most.mean, mean);
    most.credit = Math.max(most.credit, credit);
  }
}
