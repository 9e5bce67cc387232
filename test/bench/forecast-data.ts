import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { gunzipSync } from 'node:zlib';

/** A series with the seasons that are foreseen for it. */
export interface Sample {
  readonly id: string;
  readonly values: Float64Array;
  readonly seasons: readonly number[];
}

/** Where the data lies that the repository does not hold: `PRESAGE_DATA`, or `../shared/data` beside it. */
export function dataPath(name: string): string | undefined {
  const folder = process.env.PRESAGE_DATA ?? resolve(import.meta.dirname, '../../../shared/data');
  const path = resolve(folder, name);
  return existsSync(path) ? path : undefined;
}

/** What is said, and done without, when data is absent. */
export const absent = (name: string): string =>
  `${name} is not here: set PRESAGE_DATA to the folder that holds it`;

const rows = (path: string): string[] => readFileSync(path, 'utf8').trim().split('\n').slice(1);

/** The 414 hourly series of the training part of M4. */
export function m4Hourly(): Sample[] | undefined {
  const path = dataPath('m4-hourly-train.csv');
  if (path === undefined) return undefined;
  return rows(path).map((row) => {
    const [id = '', ...cells] = row.split(',').map((cell) => cell.replaceAll('"', ''));
    return {
      id,
      values: Float64Array.from(
        cells.filter((cell) => cell !== ''),
        Number,
      ),
      seasons: [24, 168],
    };
  });
}

/** Index at which August begins; the days between are cut out of the log. */
const NASA_AUGUST = 2_381_544;

/** Requests a second of the NASA log: July, then August 1995. */
export function nasaSeconds(): Uint16Array[] | undefined {
  const path = dataPath('nasa-http-1995-rates-per-second.txt.gz');
  if (path === undefined) return undefined;
  const all = Uint16Array.from(gunzipSync(readFileSync(path)).toString('latin1').trim().split(/\s+/), Number);
  return [all.subarray(0, NASA_AUGUST), all.subarray(NASA_AUGUST)];
}

/** Sums of `size` neighbours. */
export function summed(values: ArrayLike<number>, size: number): Float64Array {
  const out = new Float64Array(Math.floor(values.length / size));
  for (let i = 0; i < out.length * size; i++) out[Math.floor(i / size)]! += values[i]!;
  return out;
}

/** Hourly requests of NASA, July and August apart. */
export const nasaHourly = (): Sample[] | undefined =>
  nasaSeconds()?.map((seconds, i) => ({
    id: `nasa ${['july', 'august'][i]}`,
    values: summed(seconds, 3600),
    seasons: [24, 168],
  }));

/** The counts of the Numenta benchmark at their own step (five minutes, taxi rides half an hour). */
export function nabCounts(): Sample[] | undefined {
  const folder = dataPath('nab');
  if (folder === undefined) return undefined;
  return readdirSync(folder)
    .filter((name) => name.endsWith('.csv'))
    .map((name) => {
      const taxi = name.includes('taxi');
      return {
        id: name.replace('.csv', ''),
        values: Float64Array.from(rows(resolve(folder, name)), (row) => Number(row.split(',')[1])),
        seasons: taxi ? [48, 336] : [288, 2016],
      };
    });
}

const SHOP_START = Date.UTC(2008, 3, 1);

/** Daily page requests of a shop by product page and country; every pair that was ever asked for. */
export function shopCounts(): Sample[] | undefined {
  const path = dataPath('uci-eshop-2008.csv');
  if (path === undefined) return undefined;
  const hits = rows(path).map((row) => {
    const [year = '', month = '', day = '', , country = '', , , page = ''] = row.split(';');
    const at = Math.round((Date.UTC(Number(year), Number(month) - 1, Number(day)) - SHOP_START) / 86_400_000);
    return { id: `${page} in ${country}`, at };
  });
  const days = hits.reduce((most, { at }) => Math.max(most, at), 0) + 1;
  const series = new Map<string, Float64Array>();
  for (const { id, at } of hits) {
    const values = series.get(id) ?? new Float64Array(days);
    values[at]! += 1;
    series.set(id, values);
  }
  return [...series].map(([id, values]) => ({ id, values, seasons: [7] }));
}

/** Labelled anomaly windows of a Numenta series, as index ranges. */
export function nabWindows(id: string): [from: number, to: number][] {
  const path = dataPath('nab/combined_windows.json');
  const csv = dataPath(`nab/${id}.csv`);
  if (path === undefined || csv === undefined) return [];
  const windows: Record<string, [string, string][]> = JSON.parse(readFileSync(path, 'utf8'));
  const key = Object.keys(windows).find((name) => name.endsWith(`/${id}.csv`));
  const times = rows(csv).map((row) => Date.parse(`${row.split(',')[0]?.replace(' ', 'T')}Z`));
  return (key === undefined ? [] : (windows[key] ?? [])).map(([from, to]) => {
    const at = (text: string) => {
      const index = times.findIndex((time) => time >= Date.parse(`${text.replace(' ', 'T')}Z`));
      return index < 0 ? times.length : index;
    };
    return [at(from), at(to)];
  });
}
