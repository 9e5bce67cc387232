import { describe, expect, it } from 'vitest';
import type { Observation } from '../../../node/demo/clients.ts';
import type { Load } from '../../../node/demo/load.ts';
import { MirrorLog } from '../../../node/demo/mirror-log.ts';
import { promises } from '../../../node/demo/promises.ts';
import { type Findings, report } from '../../../node/demo/report.ts';
import { frame, line, text } from '../../../node/demo/view.ts';

const A = '127.0.0.10';
const B = '127.0.0.11';

const request = (
  sentMs: number,
  pop: string,
  path: string,
  how: 'hit' | 'miss' | 'mirrored',
): Observation => ({
  at: sentMs * 100,
  sentMs,
  doneMs: sentMs + 5,
  region: 0,
  path,
  pop,
  status: 200,
  cacheStatus: {
    hit: how !== 'miss',
    fwd: how === 'miss' ? 'uri-miss' : undefined,
    collapsed: false,
    detail: how === 'mirrored' ? 'mirrored' : how === 'hit' ? 'client' : undefined,
  },
  bytes: 100,
  hash: 'h',
  version: 1,
  firstByteMs: how === 'miss' ? 120 : 2,
});

const load = (name: Load['name']): Load => ({
  name,
  description: 'a load',
  start: 0,
  end: 3_600_000,
  requests: [],
  files: new Map(
    ['/x', '/y', '/z'].map((path) => [path, { path, size: 100, type: 'text/html', tags: [], maxAgeS: 60 }]),
  ),
  skipped: {},
});

const findings = (over: Partial<Findings> = {}): Findings => {
  const mirrors = new MirrorLog();
  mirrors.add({ pop: B, path: '/x', size: 100, source: 'plan', region: 'west', atMs: 15 });
  mirrors.add({ pop: B, path: '/y', size: 100, source: 'speculative', atMs: 16 });
  // Too late: the client came first.
  mirrors.add({ pop: B, path: '/z', size: 100, source: 'plan', atMs: 500 });
  return {
    load: load('zipf'),
    seed: 3,
    speed: 100,
    epochMs: 1000,
    pops: [A, B],
    observations: [
      request(10, A, '/x', 'miss'),
      request(20, B, '/x', 'mirrored'),
      request(30, A, '/x', 'hit'),
      request(40, B, '/z', 'miss'),
    ],
    loadEndMs: 1000,
    lateness: { meanMs: 1, mostMs: 2 },
    mirrors,
    wrongAnswers: [],
    originBytes: 200,
    originRequests: 2,
    originRepeats: { requests: 1, bytes: 100 },
    planning: 'agreed',
    epochAccount: { seriesForecast: 210, agreed: 1, planMs: 300 },
    decisions: { heights: 45, sharedHeights: 44, sharedPlans: 40, differing: [] },
    absence: { pop: 'b', awayHeights: 22, caughtUpMs: 800, rejoined: true },
    lies: { pop: 'b', heights: 40, values: 900, wild: 880, followed: 0, invented: 70, inventedDecided: 0 },
    weights: { a: 0.6, b: 0.001, c: 0.5 },
    rising: { reports: 2, verdicts: { pull: 1, held: 7 } },
    peerBytes: 200,
    epochs: 40,
    purges: [
      { kind: 'url', target: '/x', ms: 80, acknowledged: true, missing: [], asked: 2, fresh: 2 },
      { kind: 'tag', target: 't', ms: 120.04, acknowledged: true, missing: [], asked: 4, fresh: 4 },
    ],
    restart: {
      pop: 'b',
      readyMs: 900,
      caughtUpMs: 200,
      caughtUp: true,
      askedMeanwhile: 50,
      servedMeanwhile: 50,
      askedAfter: 3,
      staleAnswers: 0,
      seriesBefore: 100,
      seriesAfter: 100,
      replicasBefore: 40,
      replicasAfter: 39,
      restored: true,
    },
    crashes: [],
    exits: { a: 0, b: 0 },
    realSeconds: 42,
    ...over,
  };
};

describe('the report', () => {
  it('counts pairs that both the PoP and the client saw mirrored, speculative ones apart', () => {
    const { mirrored, ...facts } = report(findings(), promises);
    expect(facts).toMatchObject({
      requests: 4,
      pairsRequested: 3,
      mirroredBeforeFirstRequest: 1,
      homeBeforeFirstRequest: 0,
      hitRatio: 0.5,
      reactiveHitRatio: 0.25,
      mirroredBytes: 300,
      unusedMirroredBytes: 200,
      purgeMs: 120,
      epochs: 40,
      pairsPerMirroredMB: 3333.33,
      originRepeats: { requests: 1, bytes: 100 },
      seriesForecastPerEpoch: 210,
      decisionsIdentical: true,
      held: true,
    });
    expect(mirrored.speculative).toMatchObject({
      pairs: 1,
      bytes: 100,
      beforeFirstRequest: 0,
      unusedBytes: 100,
    });
    expect(mirrored.plan).toMatchObject({ pairs: 2, bytes: 200, beforeFirstRequest: 1, unusedBytes: 100 });
  });

  it('does not count a pull that the PoP recorded after the first request, nor a hit without a record', () => {
    const mirrors = new MirrorLog();
    mirrors.add({ pop: B, path: '/x', size: 100, source: 'plan', atMs: 27 });
    expect(report(findings({ mirrors }), promises).mirroredBeforeFirstRequest).toBe(0);
    const unrecorded = report(findings({ mirrors: new MirrorLog() }), promises);
    expect([unrecorded.mirroredBeforeFirstRequest, unrecorded.homeBeforeFirstRequest]).toEqual([0, 1]);
  });

  it('leaves out what was mirrored after the load had ended', () => {
    expect(report(findings({ loadEndMs: 400 }), promises).mirroredBytes).toBe(200);
  });

  it('counts what a second PoP pulled for the same demand, and apart what neither could know of', () => {
    const mirrors = new MirrorLog();
    const pull = { path: '/x', size: 100, source: 'plan', region: 'west' } as const;
    mirrors.add({ ...pull, pop: A, atMs: 0 });
    mirrors.add({ ...pull, pop: A, atMs: 10 });
    mirrors.add({ ...pull, pop: B, atMs: 900 });
    mirrors.add({ ...pull, pop: 'c', region: 'east', atMs: 901 });
    mirrors.add({ ...pull, pop: 'c', source: 'speculative', atMs: 902 });
    mirrors.add({ ...pull, pop: A, atMs: 5_000 });
    mirrors.add({ ...pull, pop: 'c', atMs: 9_000 });
    expect(mirrors.duplicates(8_000, 1_000)).toEqual({ pulls: 2, bytes: 200, sameEpoch: 1 });
  });

  it('is one JSON object with the promised keys', () => {
    const parsed = JSON.parse(JSON.stringify(report(findings(), promises)));
    const keys =
      'requests pairsRequested mirroredBeforeFirstRequest hitRatio reactiveHitRatio originBytes peerBytes mirroredBytes unusedMirroredBytes purgeMs epochs decisionsIdentical';
    for (const key of keys.split(' ')) expect(parsed).toHaveProperty(key);
  });
});

describe('the promises', () => {
  const broken = (over: Partial<Findings>) =>
    report(findings(over), promises)
      .promises.filter(({ held }) => !held)
      .map(({ name }) => name);
  const purge = findings().purges[0]!;
  const restart = findings().restart!;
  const { decisions } = findings();
  const absence = findings().absence!;
  const lies = findings().lies!;
  const difference = { height: 7, part: 'state', told: { a: ['0'], b: ['1'] } } as const;

  it.each<[string, Partial<Findings>, RegExp]>([
    ['a failed request', { observations: [{ ...request(1, A, '/x', 'miss'), status: 0 }] }, /answered/],
    ['wrong bytes', { wrongAnswers: ['/x: other bytes'] }, /bytes of the origin/],
    ['an unacknowledged purge', { purges: [{ ...purge, acknowledged: false, missing: ['b'] }] }, /purge/],
    ['an old answer after a purge', { purges: [{ ...purge, fresh: 1 }] }, /purge/],
    ['no purge at all', { purges: [] }, /purge/],
    ['a stale answer after a restart', { restart: { ...restart, staleAnswers: 1 } }, /caught up/],
    ['a lost history', { restart: { ...restart, restored: false } }, /caught up/],
    ['no restart', { restart: undefined }, /caught up/],
    ['a crash', { crashes: ['b ended'] }, /on its own/],
    ['a bad exit', { exits: { a: 0, b: null } }, /SIGTERM/],
    ['a missing exit', { exits: { a: 0 } }, /SIGTERM/],
    ['too few shared heights', { decisions: { ...decisions, sharedHeights: 29 } }, /decisions/],
    ['too few shared plans', { decisions: { ...decisions, sharedPlans: 29 } }, /decisions/],
    ['a difference', { decisions: { ...decisions, differing: [difference] } }, /decisions/],
    ['too short an absence', { absence: { ...absence, awayHeights: 19 } }, /stood still/],
    ['one that never came back', { absence: { ...absence, caughtUpMs: null } }, /stood still/],
    ['one that decided no more', { absence: { ...absence, rejoined: false } }, /stood still/],
    ['a decided lie', { lies: { ...lies, followed: 1 } }, /nonsense/],
    ['a decided invention', { lies: { ...lies, inventedDecided: 1 } }, /nonsense/],
    ['a liar that told the truth', { lies: { ...lies, wild: 0 } }, /nonsense/],
    ['a liar that nobody heard', { lies: { ...lies, heights: 0 } }, /nonsense/],
    ['nothing mirrored', { mirrors: new MirrorLog() }, /before it was asked for/],
    ['much mirrored on a null load', { load: load('null') }, /next to nothing/],
  ])('%s breaks one', (_what, over, name) => {
    expect(broken(over).join()).toMatch(name);
  });

  it('knows a difference from too few heights to tell, and promises nothing of decisions where none are made', () => {
    const identical = (over: Partial<Findings>) => report(findings(over), promises).decisionsIdentical;
    expect(identical({})).toBe(true);
    expect(identical({ decisions: { ...decisions, sharedHeights: 29 } })).toBeNull();
    expect(identical({ decisions: { ...decisions, sharedHeights: 2, differing: [difference] } })).toBe(false);
    const own = report(findings({ planning: 'own', absence: undefined, lies: undefined }), promises);
    expect([own.decisionsIdentical, own.decisions, own.held]).toEqual([null, null, true]);
  });

  it('reports the absence and the liar beside the heights', () => {
    expect(report(findings(), promises).decisions).toMatchObject({
      sharedHeights: 44,
      awayHeights: 22,
      caughtUpMs: 800,
      wild: { pop: 'b', weight: 0.001, leastOtherWeight: 0.5, followed: 0 },
    });
  });

  it('a purge that was not acknowledged has no time', () => {
    expect(report(findings({ purges: [{ ...purge, acknowledged: false }] }), promises).purgeMs).toBeNull();
  });

  it('on a log, waste and the plain rule count too', () => {
    const mirrors = new MirrorLog();
    mirrors.add({ pop: B, path: '/x', size: 100, source: 'plan', atMs: 15 });
    expect(broken({ load: load('log'), mirrors })).toEqual([
      'more pairs than the best plain rule "mirror everywhere after k requests" at equal bytes',
    ]);
    expect(broken({ load: load('log') }).join()).toContain('most of what was mirrored');
  });
});

describe('the view', () => {
  it('writes the whole report as text', () => {
    const shown = text(report(findings({ crashes: ['b ended (SIGSEGV)'] }), promises));
    expect(shown).toContain('BROKEN no daemon ended on its own');
    expect(shown).toContain('held   every daemon ended with 0');
    expect(shown).toContain('seed 3');
    expect(shown).toContain('2 reports of rising resources: 1 pull, 7 held');
  });

  it('draws a bar and a row for each PoP, and a line elsewhere', () => {
    const progress = {
      phase: 'Load',
      done: 0.5,
      demandAt: 0,
      pops: [
        { name: 'us-east', up: true, requests: 10, hits: 5, mirrored: 2, mirroredBytes: 2e6, speculative: 1 },
        { name: 'asia', up: false, requests: 0, hits: 0, mirrored: 0, mirroredBytes: 0, speculative: 0 },
      ],
      originBytes: 3e6,
    };
    const lines = frame(progress);
    expect(lines[0]).toContain('[===============               ]');
    expect(lines).toHaveLength(5);
    expect(lines[3]).toContain('asia down');
    expect(line(progress)).toBe('Load: 50 %, 10 requests, 50.0 % hits, 2 mirrored, origin 3.0 MB');
  });
});
