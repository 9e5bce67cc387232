import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { readLogFile } from '../../../node/ingest/log-reader.ts';
import { ringLayout } from '../../../node/simulator/layout.ts';
import { hindsight } from '../../../node/simulator/policies.ts';
import { PresagePolicy, type PresageTiming } from '../../../node/simulator/presage-policy.ts';
import { dealTrace, type Trace, type TraceRecord } from '../../../node/simulator/trace.ts';
import { type PolicyOutcome, World, type WorldOptions } from '../../../node/simulator/world.ts';
import { seededRandom } from '../../../protocol/random.ts';

const NASA = '../shared/data/nasa-http-1995-08-01.tsv';
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** As coarse as in the demo, which runs at some 200 times real time. */
const COARSE: PresageTiming = { windowMs: 200_000, delayMs: 300_000, horizonMs: 2 * HOUR };
const WORLD: WorldOptions = {
  ...ringLayout(5),
  storage: 10 * 2 ** 30,
  bandwidth: 50 << 20,
  fetchRate: 10 << 20,
};

function run(
  trace: Trace,
  timing = COARSE,
  options = WORLD,
): { outcome: PolicyOutcome; policy: PresagePolicy } {
  const policy = new PresagePolicy(timing);
  return { outcome: new World(trace, options, policy).run(), policy };
}

/** Independent requests, each resource as likely as any other at each PoP. */
function nullLoad(resources: number, requests: number, seed: number): Trace {
  const random = seededRandom(seed);
  const sizes = Array.from({ length: resources }, () => Math.round(Math.exp(5 + 6 * random.float())));
  const records: TraceRecord[] = [];
  for (let i = 0; i < requests; i += 1) {
    const n = Math.floor(random.float() * resources);
    records.push({
      at: 1e12 + random.float() * DAY,
      client: `client-${random.uint32() % 2000}`,
      key: `site/d${n % 50}/${n}.gif`,
      status: 200,
      bytes: sizes[n]!,
    });
  }
  return dealTrace(records, 5, 'hash');
}

/** Zipf popularity over a day, and crowds that begin in one region and reach the others one or two hours later. */
function crowdedLoad(seed: number): Trace {
  const random = seededRandom(seed);
  const resources = 1500;
  const sizes = Array.from({ length: resources }, () => Math.round(Math.exp(6 + 5 * random.float())));
  const weights = sizes.map((_, i) => 1 / (i + 1) ** 0.9);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const records: TraceRecord[] = [];
  const ask = (n: number, region: number, at: number) =>
    records.push({
      at: 1e12 + Math.min(at, DAY),
      client: `r${region}-${random.uint32() % 1000}`,
      key: `site/d${n % 40}/${n}.${n % 3 === 0 ? 'html' : 'gif'}`,
      status: 200,
      bytes: sizes[n]!,
    });
  for (let i = 0; i < 15_000; i += 1) {
    let left = random.float() * total;
    let n = 0;
    while (n < resources - 1 && left > weights[n]!) left -= weights[n++]!;
    ask(n, random.uint32() % 5, random.float() * DAY);
  }
  for (let crowd = 0; crowd < 25; crowd += 1) {
    const n = 400 + (random.uint32() % 1100);
    const begins = random.uint32() % 5;
    const start = random.float() * 0.9 * DAY;
    for (let region = 0; region < 5; region += 1) {
      const lag = region === begins ? 0 : (1 + random.float()) * HOUR;
      for (let i = 0; i < 40; i += 1) ask(n, region, start + lag - Math.log(1 - random.float()) * HOUR * 0.7);
    }
  }
  return dealTrace(records, 5, (client) => client.slice(0, 2));
}

test.each([
  [20_000, 25_000, 1],
  [2_000, 20_000, 2],
])(
  'on a null load of %i resources and %i requests next to nothing is mirrored',
  (resources, requests, seed) => {
    const trace = nullLoad(resources, requests, seed);
    const { outcome } = run(trace);
    expect(outcome.prefetchedBytes).toBeLessThan(0.05 * trace.bytes);
  },
);

test('crowds that spread are met: more than any plain rule at the same bytes, most of them used', () => {
  const trace = crowdedLoad(3);
  const { outcome } = run(trace);
  const { plain } = hindsight(trace, outcome.prefetchedBytes);
  expect(outcome.coldMissesAvoided).toBeGreaterThan(1.5 * plain.pairs);
  expect(outcome.wastedBytes).toBeLessThan(0.6 * outcome.prefetchedBytes);
});

test('the same trace gives the same outcome, whatever storage is left', () => {
  const trace = crowdedLoad(4);
  const short = { ...trace, requests: trace.requests.slice(0, 6000) };
  const small = { ...WORLD, storage: 2 << 20 };
  expect(run(short, COARSE, small).outcome).toEqual(run(short, COARSE, small).outcome);
});

test.skipIf(!existsSync(NASA))(
  'NASA, 1 August 1995: the promises of the demo, with windows of 200 s',
  async () => {
    const records: TraceRecord[] = [];
    for await (const batch of readLogFile(NASA, { host: 'site' })) {
      for (const { at, client, method, url, host, status, bytes } of batch) {
        if (method === 'GET') records.push({ at, client, key: host + url, status, bytes });
      }
    }
    for (const by of ['hash', 'tld'] as const) {
      const trace = dealTrace(records, 5, by);
      const { outcome, policy } = run(trace);
      const { plain } = hindsight(trace, outcome.prefetchedBytes);
      expect(outcome.coldMissesAvoided).toBeGreaterThan(2 * plain.pairs);
      expect(outcome.coldMissesAvoided).toBeGreaterThan(1000);
      expect(outcome.wastedBytes).toBeLessThan(0.6 * outcome.prefetchedBytes);
      expect(policy.foresight?.skill.trust).toBe(1000);
    }
  },
);
