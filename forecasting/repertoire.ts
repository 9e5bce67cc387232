import { dayLags, plainLags, seasonalLags, weekLags, wideLags } from './lags.ts';
import { analogue } from './models/analogue.ts';
import { differenced, shortestSeason } from './models/differenced.ts';
import { doubleSeasonalSmoothing } from './models/double-seasonal-smoothing.ts';
import { exponentialSmoothing } from './models/exponential-smoothing.ts';
import { fading, growth } from './models/growth.ts';
import { croston, tsb } from './models/intermittent.ts';
import { lastValue, meanValue } from './models/level.ts';
import { logarithmic } from './models/logarithmic.ts';
import type { Model } from './models/model.ts';
import { profile } from './models/profile.ts';
import { ridgeAutoregression } from './models/ridge-autoregression.ts';
import { seasonalArima } from './models/seasonal-arima.ts';
import { seasonalNaive } from './models/seasonal-naive.ts';
import { theta } from './models/theta.ts';

const DISCOUNT = 0.998;
const wide = ridgeAutoregression({ name: 'ridge-wide', lags: wideLags, ridge: 1e-3, discount: DISCOUNT });
const seasonal = ridgeAutoregression({
  name: 'ridge-seasonal',
  lags: seasonalLags,
  ridge: 1e-3,
  discount: DISCOUNT,
});
const day = ridgeAutoregression({ name: 'ridge-day', lags: dayLags, ridge: 1e-3, discount: DISCOUNT });
const daySharp = ridgeAutoregression({ name: 'ridge-day', lags: dayLags, ridge: 3e-4, discount: DISCOUNT });
const weekSmooth = ridgeAutoregression({
  name: 'ridge-week',
  lags: weekLags,
  ridge: 1e-2,
  discount: DISCOUNT,
});
const slow = doubleSeasonalSmoothing('ets-slow', {
  level: [0.003, 0.02],
  season: [0.1, 0.3],
  correction: [0.6, 0.9],
});

/** For series with at least one season. Settings were chosen on the M4 Hourly training part by rolling origins. */
export const SEASONAL_MODELS: readonly Model[] = [
  seasonalNaive('seasonal-naive', 0),
  seasonalNaive('seasonal-naive-long', 1),
  profile({ name: 'profile', discount: 0.7, recent: 24 }),
  profile({ name: 'profile-recent', discount: 0.5, recent: 6 }),
  logarithmic('log-ridge-wide', wide),
  seasonal,
  logarithmic('log-ridge-seasonal', seasonal),
  logarithmic('log-ridge-day', daySharp),
  slow,
  logarithmic('log-ets-slow', slow),
  logarithmic('log-theta', theta('theta')),
  logarithmic('log-theta-short', shortestSeason('theta', theta('theta'))),
  logarithmic('log-ridge-differenced', differenced('ridge', weekSmooth)),
  seasonalArima('arima'),
  analogue('analogue'),
  logarithmic('log-analogue', analogue('analogue')),
];

/** For series too short for lags of two long seasons: some days up to two weeks of hours. */
export const YOUNG_SEASONAL_MODELS: readonly Model[] = [
  seasonalNaive('seasonal-naive', 0),
  seasonalNaive('seasonal-naive-long', 1),
  profile({ name: 'profile', discount: 0.7, recent: 24 }),
  weekSmooth,
  logarithmic('log-ridge-week', weekSmooth),
  day,
  logarithmic('log-ridge-day', daySharp),
  logarithmic('log-ets-slow', slow),
  logarithmic('log-theta', theta('theta')),
  logarithmic('log-theta-short', shortestSeason('theta', theta('theta'))),
  seasonalArima('arima'),
  analogue('analogue'),
  logarithmic('log-analogue', analogue('analogue')),
  exponentialSmoothing('ses', 0),
];

/** What is left of the two lists above for the daemon's epochs: at a third of the time nearly as good hours ahead. */
export const LEAN_MODELS: readonly Model[] = leanOf(SEASONAL_MODELS, [
  'arima',
  'profile-recent',
  'log-ridge-wide',
  'log-ridge-day',
  'log-analogue',
  'log-theta-short',
]);
export const YOUNG_LEAN_MODELS: readonly Model[] = leanOf(YOUNG_SEASONAL_MODELS, [
  'seasonal-naive',
  'arima',
  'profile',
  'log-ridge-day',
  'log-analogue',
  'log-theta-short',
]);

function leanOf(models: readonly Model[], names: readonly string[]): readonly Model[] {
  return models.filter((model) => names.includes(model.name));
}

/** For series without a season, or with less than two of them. */
export const PLAIN_MODELS: readonly Model[] = [
  lastValue,
  exponentialSmoothing('ses', 0),
  exponentialSmoothing('damped', 0.9),
  theta('theta'),
  ridgeAutoregression({ name: 'ridge-plain', lags: plainLags, ridge: 1e-2, discount: DISCOUNT }),
];

/** For the next minutes or hours of young or bursting series. */
export const SHORT_MODELS: readonly Model[] = [
  fading('fading-2', 2),
  fading('fading-8', 8),
  fading('fading-30', 30),
  meanValue,
  growth({ name: 'growth-fast', fast: 3, slow: 12, damping: 8 }),
  growth({ name: 'growth-slow', fast: 10, slow: 40, damping: 25 }),
  exponentialSmoothing('damped', 0.9),
];

/** For a burst under way: its hold-outs lie before it, so that these are trusted for what they are and not weighted. */
export const BURST_MODELS: readonly Model[] = [
  fading('fading-2', 2),
  growth({ name: 'growth-fast', fast: 3, slow: 12, damping: 8 }),
];

/** For small counts: rates, with or without a season's shape. */
export const COUNT_MODELS: readonly Model[] = [
  meanValue,
  fading('fading-8', 8),
  fading('fading-30', 30),
  fading('fading-120', 120),
  croston,
  tsb,
  exponentialSmoothing('ses', 0),
  profile({ name: 'profile', discount: 0.9, recent: 28 }),
  shortestSeason('theta-short', theta('theta')),
  ridgeAutoregression({ name: 'ridge-plain', lags: plainLags, ridge: 1e-2, discount: DISCOUNT }),
];

/** Of these, the ones that need no history to speak of. */
export const YOUNG_COUNT_MODELS: readonly Model[] = [
  meanValue,
  fading('fading-4', 4),
  fading('fading-8', 8),
  fading('fading-20', 20),
  fading('fading-60', 60),
  tsb,
];
