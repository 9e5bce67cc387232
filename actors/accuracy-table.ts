import * as v from 'valibot';
import { type AccuracySums, type AccuracyTally, TALLY_ID_MAX } from '../forecasting/accuracy.ts';
import type { TableSpec } from '../protocol/ports.ts';
import { decode, encode } from '../protocol/wire/codec.ts';
import { regionId, text } from '../protocol/wire/schemas.ts';

/** Three names and sixteen numbers. */
const MAX_BYTES = 4 * TALLY_ID_MAX;

const sum = v.pipe(v.number(), v.finite(), v.minValue(0));
const SUMS = v.strictTuple([sum, sum, sum, sum, v.pipe(v.number(), v.finite()), sum, sum, sum]);
const TALLY = v.strictTuple([v.literal(1), text(TALLY_ID_MAX), text(TALLY_ID_MAX), regionId, SUMS, SUMS]);

type Row = v.InferOutput<typeof SUMS>;

const pack = (s: Readonly<AccuracySums>): Row => [
  s.samples,
  s.absolute,
  s.scaled,
  s.naive,
  s.signed,
  s.actual,
  s.covered,
  s.pinball,
];
const unpack = ([samples, absolute, scaled, naive, signed, actual, covered, pinball]: Row): AccuracySums => ({
  ...{ samples, absolute, scaled, naive, signed, actual, covered, pinball },
});

/** How right forecasts have been, a row a model, class of series and region. */
export const ACCURACY: TableSpec<AccuracyTally> = {
  name: 'accuracy',
  prefix: 25,
  encode: ({ model, class: kind, region, next, horizon }) =>
    encode([1, model, kind, region, pack(next), pack(horizon)]),
  decode(data) {
    const [, model, kind, region, next, horizon] = decode(data, {
      ...{ name: 'accuracy row', schema: TALLY, maxBytes: MAX_BYTES, depth: 2, elements: 32 },
    });
    return { model, class: kind, region, next: unpack(next), horizon: unpack(horizon) };
  },
};
