/**
 * Lag sets of the autoregressions, ascending, for seasons such as [24, 168] or [24] or none. An empty set says that
 * the model does not apply.
 */
type Lags = (seasons: readonly number[]) => readonly number[];

const ascending = (lags: Iterable<number>): readonly number[] =>
  [...new Set(lags)].filter((lag) => lag >= 1).sort((a, b) => a - b);

/** Multiples of `season` below `limit`. */
function multiples(season: number, limit: number, most = 6): number[] {
  const out: number[] = [];
  for (let k = 1; k <= most && k * season < limit; k++) out.push(k * season);
  return out;
}

/** Short lags, each day of the last week, and two long seasons with their neighbours. */
export const wideLags: Lags = ([short, long]) =>
  short === undefined || long === undefined
    ? []
    : ascending([
        1,
        2,
        3,
        short - 1,
        short,
        short + 1,
        ...multiples(short, long),
        long - 1,
        long,
        long + 1,
        2 * long,
      ]);

/** Seasonal lags alone: no iteration over short lags, so no error that builds up within a season. */
export const seasonalLags: Lags = ([short, long]) =>
  short === undefined || long === undefined
    ? []
    : ascending([...multiples(short, long), long, long + short, 2 * long]);

/** Short lags and each day up to one long season, for histories of little more than that. */
export const weekLags: Lags = ([short, long]) =>
  short === undefined || long === undefined ? [] : ascending([1, 2, ...multiples(short, long), long]);

/** The short season alone, up to three of them. */
export const dayLags: Lags = ([short]) =>
  short === undefined
    ? []
    : ascending([1, 2, 3, short - 1, short, short + 1, 2 * short - 1, 2 * short, 2 * short + 1, 3 * short]);

/** No season: a plain autoregression. */
export const plainLags: Lags = () => [1, 2, 3, 4, 6];
