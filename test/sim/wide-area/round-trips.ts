import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { Random } from '../../../protocol/ports.ts';

/**
 * The table that wide-area figures are stated on, which the repository does not hold: round trips between countries as
 * derived from RIPE Atlas pings by input-output-hk/ouroboros-leios, `data/internet`.
 */
export const ROUND_TRIPS = 'ripe-atlas-country-rtt.csv.gz';
/** A pair of countries with fewer measurements than that counts as not measured. */
const MEASUREMENTS_MIN = 100;
/** Where the table could not tell which country a probe is in. */
const NO_COUNTRY: ReadonlySet<string> = new Set(['None', 'EU', '']);

/** Mean round trips between countries, ms, for every pair of the countries listed, a country with itself included. */
export interface RoundTrips {
  readonly countries: readonly string[];
  between(a: string, b: string): number;
}

/**
 * Reads a table of round trips between countries as derived from RIPE Atlas pings: gzipped rows of
 * `country,country,count,mean,…` in ms, each pair once. Of the countries in it those are kept, best measured first,
 * that have been measured against all kept before, so that no delay has to be made up.
 */
export function readRoundTrips(path: string): RoundTrips {
  const means = new Map<string, number>();
  const pairs = new Map<string, number>();
  for (const row of gunzipSync(readFileSync(path)).toString('latin1').trim().split('\n').slice(1)) {
    const [a = '', b = '', count, mean] = row.split(',');
    if (NO_COUNTRY.has(a) || NO_COUNTRY.has(b) || Number(count) < MEASUREMENTS_MIN) continue;
    means.set(`${a} ${b}`, Number(mean));
    means.set(`${b} ${a}`, Number(mean));
    for (const country of new Set([a, b])) pairs.set(country, (pairs.get(country) ?? 0) + 1);
  }
  const byPairs = [...pairs].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
  const countries: string[] = [];
  for (const [country] of byPairs) {
    if ([country, ...countries].every((other) => means.has(`${country} ${other}`))) countries.push(country);
  }
  return { countries, between: (a, b) => means.get(`${a} ${b}`) ?? Number.NaN };
}

/** PoPs and how long a packet takes from one to another. */
export interface WideArea {
  readonly pops: number;
  readonly countries: readonly string[];
  /** Half of the mean round trip between the countries of two PoPs, ms. */
  oneWayMs(from: number, to: number): number;
  /** Of the slowest pair, ms: no news can be with all sooner over the straight path. */
  readonly slowestMs: number;
}

/** Deals PoPs to the countries in turn, in an order drawn from `random`. */
export function placePops(trips: RoundTrips, pops: number, random: Random): WideArea {
  const order = [...trips.countries];
  for (let at = order.length - 1; at > 0; at -= 1) {
    const other = random.uint32() % (at + 1);
    [order[at], order[other]] = [order[other]!, order[at]!];
  }
  const countries = Array.from({ length: pops }, (_, pop) => order[pop % order.length]!);
  const delays = Float64Array.from({ length: pops * pops }, (_, at) => {
    const [from, to] = [Math.floor(at / pops), at % pops];
    return from === to ? 0 : trips.between(countries[from]!, countries[to]!) / 2;
  });
  return {
    ...{ pops, countries, slowestMs: delays.reduce((most, ms) => Math.max(most, ms), 0) },
    oneWayMs: (from, to) => delays[from * pops + to]!,
  };
}
