import type { Handlers } from '../../../node/rpc/method.ts';
import type { Result } from '../../../node/rpc/methods.ts';

const T = Date.UTC(2026, 10, 23, 5, 30);
const KEY16 = '00112233445566778899aabbccddeeff';
const HASH = 'ab'.repeat(32);
/** A client asked for it; it must not reach the terminal as it is. */
export const HOSTILE = 'h/\u001b[2Jevil';

const status: Result<'status'> = {
  name: 'fra1',
  pop: '12D3KooWx',
  region: 'eu',
  cluster: null,
  version: '0.1.0',
  mode: 'degraded',
  ready: false,
  lacks: ['no origin: set `origin`'],
  startedAt: T - 90_061_000,
  now: T,
  demandNow: T + 5000,
  addresses: {
    http: 'http://127.0.0.1:8080',
    dns: '127.0.0.1:5353',
    p2p: ['/ip4/127.0.0.1/tcp/1'],
    rpc: ['/d/rpc.sock', 'http://127.0.0.1:9090'],
  },
  epoch: { number: 12, startedAt: T, lengthMs: 30_000 },
  peers: { connected: 2, known: 4 },
  requests: {
    total: 200,
    hits: 150,
    peerFills: 20,
    originFills: 30,
    mirroredHits: 40,
    perSecond: 12.345,
    bytes: 5 << 20,
  },
  storage: {
    replicas: 10,
    contents: 9,
    diskBytes: 3 << 20,
    diskBudget: 10 * 2 ** 30,
    memoryBytes: 1024,
    memoryBudget: 64 << 20,
  },
  mirror: { pulledBytes: 4096, unusedBytes: 0, speculativeBytes: 100, inFlight: 1, budget: 50 << 20 },
  demand: { series: 33, historyBytes: 70_000, historyBudget: 128 << 20 },
  purges: { applied: 3, unacknowledged: 1 },
  residentBytes: 120 << 20,
  errors: [{ code: 'ORIGIN_TIMEOUT', count: 4 }],
};

const pop = { pop: '12D3KooWx', name: 'fra1' };
const named = { key: HOSTILE, key16: KEY16 };

/** A result for every method, as a daemon in the middle of its work would give. */
export const SAMPLES: { readonly [M in keyof Handlers]-?: Result<M> } = {
  status,
  peers: {
    peers: [
      {
        ...pop,
        region: 'eu',
        state: 'self',
        addresses: [],
        roundTripMs: null,
        since: null,
        certificateExpires: T,
        load: 0.25,
        storageFreeBytes: 2 ** 30,
        bandwidthFree: 1e6,
        lastSummaryAt: T,
        purgesInStep: null,
      },
      {
        pop: '12D3KooWy',
        name: 'nyc1',
        region: 'us',
        state: 'connected',
        addresses: ['/ip4/192.0.2.1/tcp/1'],
        roundTripMs: 81.25,
        since: T,
        certificateExpires: null,
        load: null,
        storageFreeBytes: null,
        bandwidthFree: null,
        lastSummaryAt: null,
        purgesInStep: true,
      },
    ],
  },
  epochs: {
    epochs: [
      {
        number: 11,
        startedAt: T,
        endedAt: T + 30_000,
        state: 'own',
        summaries: 3,
        requests: 1000,
        resources: 50,
        forecasts: 70,
        placements: 9,
        pulls: 4,
        pulledBytes: 123_456,
        speculativeBytes: 0,
        decision: null,
        tookMs: 210.5,
      },
    ],
  },
  trending: {
    resources: [
      {
        ...named,
        region: 'eu',
        since: T,
        perMinute: 120,
        usualPerMinute: 2.5,
        expectedPerMinute: 300,
        noticedBy: 'seconds',
        held: true,
      },
    ],
  },
  forecast: {
    ...named,
    regions: [
      {
        region: 'eu',
        model: 'ridge',
        class: 'established',
        start: T,
        stepMs: 600_000,
        mean: [1.5, 2],
        lower: [0, 1],
        upper: [3, 4.25],
        recent: [1, 2, 3],
        error: 0.8,
      },
    ],
  },
  plan: {
    epoch: 12,
    state: 'own',
    madeAt: T,
    resources: 1,
    bytes: 1000,
    placements: [
      {
        ...named,
        expected: 44.5,
        bytes: 1000,
        tier: 'memory',
        value: 0.125,
        targets: [
          { ...pop, action: 'pull', code: null },
          { pop: '12D3KooWy', name: 'nyc1', action: 'skipped', code: 'STORE_FULL' },
        ],
      },
    ],
  },
  explain: {
    ...named,
    here: true,
    answer: 'the plan of epoch 12 listed it',
    steps: [
      {
        step: 'demand',
        verdict: '120 requests a minute in eu',
        code: null,
        at: T,
        facts: { perMinute: 120, region: 'eu', rising: true, peak: null },
      },
      { step: 'transfer', verdict: 'refused by a peer', code: 'PEER_BUSY', at: null, facts: {} },
    ],
  },
  accuracy: {
    forecasts: [
      {
        proposer: 'fra1',
        model: 'ridge',
        class: 'new',
        region: 'eu',
        samples: 20,
        error: 0.7,
        wape: 0.4,
        bias: -0.05,
        coverage: 0.93,
        pinball: 0.2,
        weight: 1,
        steps: [
          { step: 'next', samples: 20, error: 0.7, wape: 0.4, bias: -0.05, coverage: null, pinball: null },
          { step: 'horizon', samples: 9, error: 0.8, wape: 0.3, bias: 0.1, coverage: 0.93, pinball: 0.2 },
        ],
      },
    ],
    mirrored: {
      pairs: 10,
      usedPairs: 7,
      bytes: 1000,
      usedBytes: 600,
      immatureBytes: 50,
      speculativePairs: 2,
      speculativeUsedPairs: 1,
    },
    safetyFactor: 1.2,
    threshold: 0.01,
  },
  announce: { ...named, at: T, stored: true },
  replicas: {
    replicas: [
      {
        ...named,
        variant: 'gzip',
        status: 200,
        content: HASH,
        size: 1234,
        tier: 'disk',
        source: 'plan',
        standing: 'valid',
        version: '1.0@x',
        receivedAt: T,
        freshUntil: null,
        tags: ['news'],
        hits: 3,
      },
    ],
    next: KEY16,
    total: 77,
  },
  tag: {
    ...named,
    site: 'www',
    replication: 'held',
    priority: 0.5,
    tier: 'disk',
    version: '1.0@x',
    content: HASH,
    size: 1234,
    updatedAt: T,
    holders: [{ ...pop, version: '1.0@x' }],
    labels: ['news'],
  },
  purge: {
    issuer: '12D3KooWx',
    seq: 3,
    target: 'tag news',
    soft: false,
    removed: 4,
    acknowledged: [{ ...pop, afterMs: 1.5 }],
    missing: [{ pop: '12D3KooWy', name: 'nyc1', code: 'PEER_TIMEOUT' }],
    complete: false,
    tookMs: 1000,
  },
  'dns.set': { name: '_acme-challenge.example.net', expiresAt: T },
  ingest: { accepted: 1, refused: 0, reasons: [] },
  link: { url: 'http://h/a', key: 'h/a', key16: KEY16, label: 'aaa', name: null, link: null },
  config: {
    file: null,
    values: [{ key: 'name', value: 'fra1', source: 'flag', from: '--name', doc: 'Name.' }],
  },
};
