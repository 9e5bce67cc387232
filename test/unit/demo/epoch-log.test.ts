import { expect, it } from 'vitest';
import { EpochLog } from '../../../node/demo/epoch-log.ts';

it('the log of epochs adds the means of the PoPs, however many epochs each told of', () => {
  const log = new EpochLog();
  const epoch = (forecasts: number, basis: string, tookMs: number) => ({
    type: 'epoch',
    data: { forecasts, basis, tookMs },
  });
  log.add('a', epoch(10, 'agreed', 100));
  log.add('a', epoch(20, 'own', 300));
  log.add('b', epoch(100, 'agreed', 200));
  log.add('b', epoch(100, 'agreed', 500));
  log.add('b', { type: 'decision', data: { forecasts: 1 } });
  expect(log.account()).toEqual({ seriesForecast: 115, agreed: 0.75, planMs: 300 });
  expect(new EpochLog().account()).toEqual({ seriesForecast: 0, agreed: 0, planMs: 0 });
});
