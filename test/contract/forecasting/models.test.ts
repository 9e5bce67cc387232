import { describe, expect, it } from 'vitest';
import type { Model } from '../../../forecasting/models/model.ts';
import { recurrent } from '../../../forecasting/models/recurrent.ts';
import { freshNetwork } from '../../../forecasting/recurrent-training.ts';
import {
  BURST_MODELS,
  COUNT_MODELS,
  PLAIN_MODELS,
  SEASONAL_MODELS,
  SHORT_MODELS,
  YOUNG_COUNT_MODELS,
  YOUNG_SEASONAL_MODELS,
} from '../../../forecasting/repertoire.ts';
import { seededRandom } from '../../../protocol/random.ts';

const MODELS: readonly Model[] = [
  ...new Map(
    [
      ...SEASONAL_MODELS,
      ...YOUNG_SEASONAL_MODELS,
      ...PLAIN_MODELS,
      ...SHORT_MODELS,
      ...BURST_MODELS,
      ...COUNT_MODELS,
      ...YOUNG_COUNT_MODELS,
      recurrent('gru', freshNetwork(seededRandom(1))),
    ].map((model) => [model.name, model]),
  ).values(),
];

const SEASONS = [12, 84];
const HORIZON = 18;
const random = seededRandom(9);
/** A double season with noise; counts, so that count models have their kind of series. */
const curve = Float64Array.from({ length: 600 }, (_, t) =>
  Math.round(
    20 + 10 * Math.sin((t / 12) * 2 * Math.PI) + 5 * Math.sin((t / 84) * 2 * Math.PI) + 6 * random.float(),
  ),
);
const originsFor = (model: Model) => {
  const first = Math.max(300, model.needs(SEASONS, HORIZON));
  return [first, first + 20, 600];
};

describe.each(MODELS.map((model) => [model.name, model] as const))('model %s', (_, model) => {
  it('gives a row of the horizon for each origin, the same each time', () => {
    const request = { values: curve, origins: originsFor(model), horizon: HORIZON, seasons: SEASONS };
    const rows = model.forecast(request);
    expect(rows.map((row) => row.length)).toEqual([HORIZON, HORIZON, HORIZON]);
    expect(rows.flatMap((row) => [...row]).every(Number.isFinite)).toBe(true);
    expect(model.forecast(request)).toEqual(rows);
  });

  it('looks at nothing behind the origin that it forecasts from', () => {
    const origins = originsFor(model);
    const [first = 0, second = 0] = origins;
    const request = { values: curve, origins, horizon: HORIZON, seasons: SEASONS };
    const [early, middle] = model.forecast(request);
    // Not above the largest value, for a bound against divergence may come from the whole series.
    const after = curve.map((value, t) => (t < second ? value : 30 - (t % 5)));
    expect(model.forecast({ ...request, values: after }).slice(0, 2)).toEqual([early, middle]);
    const alone = model.forecast({ ...request, values: curve.slice(0, first), origins: [first] });
    expect(alone).toEqual([early]);
  });

  it('stays within reach of a constant, and of the scale of what it was shown', () => {
    const values = new Float64Array(600).fill(7);
    const [row = new Float64Array()] = model.forecast({
      values,
      origins: [600],
      horizon: HORIZON,
      seasons: SEASONS,
    });
    if (model.name !== 'gru') for (const value of row) expect(Math.abs(value - 7)).toBeLessThan(1.5);
    const many = curve.map((value) => value * 1e6);
    const request = { origins: [600], horizon: HORIZON, seasons: SEASONS };
    const [small = row] = model.forecast({ ...request, values: curve });
    const [large = row] = model.forecast({ ...request, values: many });
    // Models with a prior in requests come nearer to their data with more of it.
    large.forEach((value, h) => {
      expect(Math.abs(value / 1e6 - small[h]!)).toBeLessThan(0.2 * small[h]! + 1);
    });
  });
});

describe('accuracy on a curve without surprises', () => {
  const names = [
    'arima',
    'analogue',
    'log-analogue',
    'log-ridge-wide',
    'log-ridge-differenced',
    'log-ridge-week',
    'ets-slow',
    'log-theta',
    'profile',
  ];
  it.each(names)('%s foresees a double season', (name) => {
    const clean = Float64Array.from(
      { length: 600 },
      (_, t) => 50 + 20 * Math.sin((t / 12) * 2 * Math.PI) + 10 * Math.cos((t / 84) * 2 * Math.PI),
    );
    const model = MODELS.find((one) => one.name === name);
    const request = { values: clean, origins: [550], horizon: 50, seasons: SEASONS };
    const [row = new Float64Array()] = model?.forecast(request) ?? [];
    const naive = (h: number) => Math.abs(clean[550 + h]! - clean[550 + h - 12 * Math.ceil((h + 1) / 12)]!);
    let ours = 0;
    let theirs = 0;
    row.forEach((value, h) => {
      ours += Math.abs(value - clean[550 + h]!);
      theirs += naive(h);
    });
    expect(ours).toBeLessThan(0.6 * theirs);
  });
});
