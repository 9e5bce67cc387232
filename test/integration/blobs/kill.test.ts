import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openBlobs } from '../../../node/adapters/blobs.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'presage-kill-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('a blob store that is killed while it writes', () => {
  it('keeps every content that it said it had, and nothing damaged', async () => {
    const promised = new Set<string>();
    const doubtful = new Set<string>();
    for (let round = 1; round <= 4; round++) {
      const program = fileURLToPath(new URL('./writer-process.ts', import.meta.url));
      const child = spawn(process.execPath, [program, directory, String(round)]);
      let output = '';
      child.stdout.on('data', (data) => {
        output += String(data);
      });
      const deadline = Date.now() + 90_000;
      const puts = () => output.match(/^put /gm)?.length ?? 0;
      while (puts() < 30 && Date.now() < deadline) await pause(20);
      child.kill('SIGKILL');
      // Not `exit`: what it said last may still be in the pipe.
      await once(child, 'close');
      for (const line of output.split('\n').slice(0, -1)) {
        const [what, hash = ''] = line.split(' ');
        if (what === 'put') promised.add(hash);
        else {
          promised.delete(hash);
          if (what === 'try') doubtful.add(hash);
        }
      }
      const blobs = await openBlobs(
        { directory, budgetBytes: 2 ** 30, memoryBytes: 0, maxObjectBytes: 2 ** 26 },
        { log: silentLog, metrics: new CountingMetrics(), random: seededRandom(99) },
      );
      const listed = new Set<string>();
      for (const { hash } of blobs.list()) {
        listed.add(hash);
        const digest = createHash('sha256');
        for await (const piece of blobs.read(hash)) digest.update(piece);
        expect(digest.digest('hex')).toBe(hash);
      }
      expect([...promised].filter((hash) => !listed.has(hash) && !doubtful.has(hash))).toEqual([]);
      expect(promised.size).toBeGreaterThan(10);
      expect(await readdir(join(directory, 'temp'))).toEqual([]);
      await blobs.close();
    }
  });
});
