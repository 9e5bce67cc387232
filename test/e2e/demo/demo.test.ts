import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Report } from '../../../node/demo/report.ts';
import { seededRandom } from '../../../protocol/random.ts';

const PRESAGE = join(import.meta.dirname, '../../../node/presage.ts');
const HOUR_MS = 3_600_000;
const START = Date.UTC(2015, 4, 17, 10);

/** A combined log of an hour in which a few pages with pictures are asked for from three parts of the world. */
function combinedLog(lines: number): string {
  const random = seededRandom(5);
  const hosts = ['a.ac.uk', 'b.co.jp', 'c.com.au', 'd.ca', 'e.com', 'f.net', 'g.org', 'h.de'];
  return Array.from({ length: lines }, (_, i) => {
    const at = new Date(START + (i * HOUR_MS) / lines).toUTCString().split(/[ ,]+/);
    const page = Math.floor(30 * random.float() ** 2);
    const file = random.float() < 0.3 ? `page-${page}.html` : `page-${page}/image-${random.uint32() % 4}.png`;
    const time = `${at[1]}/${at[2]}/${at[3]}:${at[4]} +0000`;
    const host = `client-${random.uint32() % 40}.${hosts[random.uint32() % hosts.length]}`;
    return `${host} - - [${time}] "GET /${file} HTTP/1.1" 200 ${2_000 + page * 997} "-" "test"`;
  }).join('\n');
}

describe('presage demo', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'presage-e2e-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const run = (args: readonly string[], interruptAt?: string) =>
    new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
      const child = spawn(process.execPath, [PRESAGE, 'demo', ...args], {
        env: { ...process.env, TMPDIR: directory },
      });
      let stdout = '';
      let stderr = '';
      let interrupted = false;
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
      });
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
        // Once: a second Ctrl-C means that the first was not enough.
        if (interruptAt === undefined || interrupted || !stderr.includes(interruptAt)) return;
        interrupted = child.kill('SIGINT');
      });
      child.on('close', (code) => resolve({ code, stdout, stderr }));
    });

  it('replays a log on three daemons, purges, kills one and reports in one JSON object', async () => {
    const log = join(directory, 'access.log');
    await writeFile(log, combinedLog(1_500));
    const { code, stdout, stderr } = await run([
      '--log',
      log,
      '--pops',
      '3',
      '--speed',
      '180',
      '--seed',
      '9',
      '--json',
    ]);
    const report = JSON.parse(stdout) as Report;
    expect(report, stderr).toMatchObject({
      load: 'log',
      requests: 1_500,
      failedRequests: 0,
      pops: 3,
      seed: 9,
    });
    expect(report.wrongAnswers).toBe(0);
    expect(report.purgeMs).toBeGreaterThan(0);
    expect(report.purges.every(({ asked, fresh }) => asked > 0 && fresh === asked)).toBe(true);
    expect(report.restart).toMatchObject({ caughtUp: true, staleAnswers: 0 });
    expect(report.epochs).toBeGreaterThanOrEqual(15);
    expect(report.decisions?.differing).toEqual([]);
    expect(report.decisions?.sharedHeights).toBeGreaterThan(0);
    expect(report.decisions?.away).toMatchObject({ rejoined: true });
    expect(report.epochsAgreed).toBeGreaterThan(0);
    expect(report.originBytes).toBeGreaterThan(0);
    // Whether so short a log lets anything be learned is not promised; all that holds on any load is.
    const broken = report.promises.filter(({ held }) => !held).map(({ name }) => name);
    // Nor is how many heights a busy machine decides meanwhile.
    const learned = ['mirrored', 'hit ratio', 'plain rule', 'decisions', 'stood still'];
    expect(broken.filter((name) => !learned.some((word) => name.includes(word)))).toEqual([]);
    expect(code).toBe(broken.length === 0 ? 0 : 1);
  });

  it('ends everything on Ctrl-C and leaves no directory behind', async () => {
    const { code, stdout } = await run(['--pops', '2', '--json'], 'All PoPs are connected');
    expect([code, stdout]).toEqual([130, '']);
    const { readdir } = await import('node:fs/promises');
    expect((await readdir(directory)).filter((name) => name.startsWith('presage-demo-'))).toEqual([]);
  });
});
