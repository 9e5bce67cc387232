import { createReadStream, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { readLogFile } from '../../node/ingest/log-reader.ts';
import { seededRandom } from '../../protocol/random.ts';

/** Requests in the log: some 40 MB, read from the page cache. */
const LINES = 200_000;
const RUNS = 5;

/**
 * Requests a second read, parsed and checked from a combined log, against the limit: `node:readline` over the same
 * file, which splits lines and does nothing with them.
 */
export async function run(_options: { json: boolean }) {
  const directory = mkdtempSync(join(tmpdir(), 'presage-bench-'));
  try {
    const file = join(directory, 'access.log');
    writeFileSync(file, log());
    const ours: number[] = [];
    const peer: number[] = [];
    for (let turn = 0; turn <= RUNS; turn += 1) {
      const read = await rate(() => parsed(file));
      const split = await rate(() => lines(file));
      // The first turn compiles.
      if (turn === 0) continue;
      ours.push(read);
      peer.push(split);
    }
    return {
      name: 'ingest',
      unit: 'requests/s',
      ours: median(ours),
      peer: median(peer),
      ratio: median(ours) / median(peer),
      runs: ours,
      spread: (Math.max(...ours) - Math.min(...ours)) / median(ours),
      peerName: 'node:readline, lines alone',
      peerRuns: peer,
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function log(): string {
  const random = seededRandom(1);
  const any = (bound: number) => random.uint32() % bound;
  const rows: string[] = [];
  for (let at = 0; at < LINES; at += 1) {
    const second = String(at % 60).padStart(2, '0');
    rows.push(
      `192.0.${any(256)}.${any(256)} - - [17/May/2015:10:05:${second} +0000] "GET /path/${any(5000)}/image-${any(100)}.png?v=${any(9)} HTTP/1.1" ` +
        `200 ${any(1 << 20)} "https://www.example.net/page/${any(500)}" "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"`,
    );
  }
  return `${rows.join('\n')}\n`;
}

async function rate(work: () => Promise<number>): Promise<number> {
  const started = performance.now();
  const count = await work();
  if (count !== LINES) throw new Error(`${count} of ${LINES} requests were read`);
  return Math.round(count / ((performance.now() - started) / 1000));
}

async function parsed(file: string): Promise<number> {
  let count = 0;
  for await (const batch of readLogFile(file)) count += batch.length;
  return count;
}

async function lines(file: string): Promise<number> {
  let count = 0;
  for await (const _ of createInterface({ input: createReadStream(file) })) count += 1;
  return count;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
