import * as v from 'valibot';
import type { MethodSpec } from './method.ts';
import {
  amount,
  choice,
  count,
  flag,
  instant,
  limit,
  list,
  maybe,
  named,
  resource,
  words,
} from './shapes.ts';

/** Methods about what is to come: demand, forecasts, the plan, and how right they were. */

const trending = {
  summary: 'Resources whose demand rises.',
  params: v.strictObject({ limit: limit(20), region: v.optional(words('only in this region')) }),
  result: v.object({
    resources: list(
      v.object({
        ...named,
        region: words('where it rises'),
        since: instant('when the rise was noticed, demand time'),
        perMinute: amount('requests a minute now'),
        usualPerMinute: amount('requests a minute that its history would have let one expect'),
        expectedPerMinute: amount('requests a minute forecast for the next horizon'),
        noticedBy: choice(
          ['seconds', 'minutes', 'peer'],
          'one-second counts, minute counts, or a RISING report',
        ),
        held: v.pipe(v.boolean(), v.description('whether this PoP holds it')),
      }),
      'steepest first',
    ),
  }),
} satisfies MethodSpec;

const forecast = {
  summary: 'Expected requests for a resource, per region.',
  params: v.strictObject({ resource, region: v.optional(words('only for this region')) }),
  result: v.object({
    ...named,
    regions: list(
      v.object({
        region: words('region'),
        model: words('model that was chosen'),
        class: words('class of the series: rising, established, new'),
        start: instant('beginning of the first step, demand time'),
        stepMs: count('length of a step, demand ms'),
        mean: list(v.number(), 'expected requests per step'),
        lower: list(v.number(), 'lower quantile per step'),
        upper: list(v.number(), 'upper quantile per step'),
        recent: list(v.number(), 'requests in the steps before, oldest first'),
        error: maybe(amount('rolling error of the model on this series, MASE')),
      }),
      'by expected requests, highest first',
    ),
  }),
} satisfies MethodSpec;

const plan = {
  summary: 'What the plan places where.',
  params: v.strictObject({
    limit: limit(50),
    pop: v.optional(words('only placements on this PoP, by name or peer id')),
  }),
  result: v.object({
    epoch: count('epoch that it was made for'),
    state: choice(['agreed', 'own'], 'from the cluster’s decision, or from this PoP’s own forecasts'),
    madeAt: instant('when, demand time'),
    resources: count('resources that it places'),
    bytes: count('bytes that it places'),
    placements: list(
      v.object({
        ...named,
        expected: amount('expected requests in the horizon, all regions'),
        bytes: count('size'),
        tier: choice(['memory', 'disk'], 'tier by expected demand'),
        value: amount('latency saved, ms × requests, per byte'),
        targets: list(
          v.object({
            pop: words('peer id'),
            name: words('name'),
            action: choice(['held', 'pull', 'skipped'], 'what follows for it'),
            code: maybe(words('why it is skipped')),
          }),
          'PoPs that are to hold it, best first',
        ),
      }),
      'by value, highest first',
    ),
  }),
} satisfies MethodSpec;

const accuracy = {
  summary: 'What came, held against what was forecast and mirrored.',
  params: v.strictObject({ region: v.optional(words('only for this region')) }),
  result: v.object({
    proposers: list(
      v.object({
        pop: words('peer id'),
        name: words('name'),
        weight: amount('what its forecasts count, 0 … 1, as decided from their errors'),
        missed: count('heights in a row that were decided without it'),
      }),
      'the decided roster; empty where nothing is agreed on',
    ),
    tunings: list(
      v.object({
        site: words('site'),
        region: words('region'),
        accuracy: amount('recent accuracy of the agreed forecasts, 0 … 1'),
        threshold: amount('least worth of a mirror, milli-request milliseconds saved per MiB at risk'),
        safetyFactor: amount('by which chances are scaled before planning'),
        targets: count('PoPs that the demand may be mirrored to'),
        fillShare: amount('share of fill bandwidth that plans may spend'),
        wasteTarget: amount('share of mirrored bytes that may go unused'),
        replanHeights: amount('heights between two looks at known demand'),
        usedBytes: count('mirrored bytes of late that were asked for'),
        unusedBytes: count('… that were not'),
      }),
      'what was decided to be adjusted, by site and region',
    ),
    forecasts: list(
      v.object({
        proposer: words('PoP that forecast, by name'),
        model: words('model'),
        class: words('class of the series: seasonal, counts, short, burst, quiet, new or unclassed'),
        region: words('region'),
        samples: count('forecasts that have come due'),
        error: amount('mean absolute scaled error; below 1 is better than the naive forecast'),
        wape: amount('sum of absolute errors over the sum of actuals, next window'),
        bias: amount('mean of forecast − actual over mean of actual'),
        coverage: amount('share of actuals within the interval'),
        pinball: amount('weighted quantile loss of the upper quantile, horizon'),
        weight: amount('weight that its proposals have'),
        steps: list(
          v.object({
            step: choice(['next', 'horizon'], 'the window after the forecast, or the planning horizon'),
            samples: count('forecasts that have come due'),
            error: amount('mean absolute scaled error'),
            wape: amount('sum of absolute errors over the sum of actuals'),
            bias: amount('sum of forecast − actual over the sum of actuals'),
            coverage: maybe(amount('share of actuals within the upper quantile; null where there is none')),
            pinball: maybe(amount('twice the pinball loss of the upper quantile over the sum of actuals')),
          }),
          'each distance ahead for itself',
        ),
      }),
      'by samples, highest first',
    ),
    mirrored: v.object({
      pairs: count('(resource, PoP) pairs mirrored here and old enough to judge'),
      usedPairs: count('of those, asked for before they were released'),
      bytes: count('their bytes'),
      usedBytes: count('bytes of the used'),
      immatureBytes: count('mirrored, and too young to judge'),
      speculativePairs: count('pairs pulled on RISING reports'),
      speculativeUsedPairs: count('of those, used'),
    }),
    signals: list(
      v.object({
        source: words('source of signals'),
        judged: count('signals whose outcome is known'),
        open: count('signals whose outcome is awaited'),
        uplift: amount('requests that came over those that were expected without it'),
        gain: amount('evidence that forecasts are better with it, nats; it counts from 4 on, fully from 8'),
        trust: amount('how far it moves forecasts, 0 … 1'),
      }),
      'what signals from outside have been worth, by source',
    ),
    network: v.pipe(
      v.object({
        state: choice(['none', 'in-use', 'training'], 'of the network that is trained across series'),
        trainedAt: maybe(instant('when the one in use was trained, demand time')),
        triedOn: maybe(count('series that it was tried on, hours that it had not seen')),
        errorWithout: maybe(amount('error of the forecasts without it there, over the mean')),
        errorWith: maybe(amount('… with it')),
        adopted: count('trainings since the start that were taken into use'),
        refused: count('… that were not worth it'),
        failed: count('… that came to no end'),
      }),
      v.description('the recurrent network'),
    ),
    safetyFactor: amount('by which forecasts are scaled before planning'),
    threshold: amount('value per byte below which nothing is mirrored'),
  }),
} satisfies MethodSpec;

const announce = {
  summary: 'Tells of demand that is to come: a premiere, a release.',
  params: v.strictObject({
    url: words('URL of the resource'),
    at: instant('when demand begins, demand time'),
    expect: v.optional(count('requests expected in the first hour')),
    region: v.optional(words('only from this region')),
  }),
  result: v.object({ ...named, at: instant('when demand begins'), stored: v.boolean() }),
} satisfies MethodSpec;

const signal = {
  summary: 'Hints that a resource will be asked for; it counts as far as such hints have been right.',
  params: v.strictObject({
    url: words('URL of the resource'),
    strength: v.optional(amount('on a scale of the caller’s own, above zero; 1 by default'), 1),
    at: v.optional(instant('when it was said, demand time; now by default')),
    region: v.optional(words('only for this region')),
  }),
  result: v.object({
    ...named,
    taken: flag('whether it is in force'),
    reason: maybe(words('`repeated`, or the code of why it was refused')),
  }),
} satisfies MethodSpec;

const facts = v.pipe(
  v.record(v.string(), v.nullable(v.union([v.string(), v.number(), v.boolean()]))),
  v.description('figures of this step by name, units in the names'),
);

const explain = {
  summary: 'Why a resource is or is not here.',
  params: v.strictObject({ resource }),
  result: v.object({
    ...named,
    here: v.pipe(v.boolean(), v.description('whether this PoP holds it')),
    answer: words('the reason, in a sentence'),
    steps: list(
      v.object({
        step: choice(
          ['demand', 'proposals', 'decision', 'plan', 'transfer', 'purge', 'serving', 'accuracy'],
          'stage of the epoch',
        ),
        verdict: words('what it did, in a sentence'),
        code: maybe(words('coded reason where one was given')),
        at: maybe(instant('when')),
        facts,
      }),
      'in the order of an epoch',
    ),
  }),
} satisfies MethodSpec;

export const decisionMethods = { trending, forecast, plan, explain, accuracy, announce, signal } as const;
