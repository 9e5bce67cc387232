import { describe, expect, it, onTestFinished } from 'vitest';
import type { AccuracyResult } from '../../../node/rpc/methods.ts';
import { type Daemon, http, scratch, startDaemon, until } from '../daemon.ts';
import { bodyOf, startOrigin } from '../origin.ts';

const ROUNDS = 5;

describe('kill -9 under load', () => {
  it('loses and changes no version, tag or purge', async () => {
    const origin = await startOrigin();
    onTestFinished(() => origin.close());
    const dataDir = scratch(onTestFinished);
    const host = 'files.example';
    /** What the daemon has acknowledged: the version that must be served from then on. */
    const acknowledged = new Map<string, number>();
    let purges = 0;
    for (let round = 0; round < ROUNDS; round += 1) {
      const daemon = await startDaemon(dataDir, ['--origin', origin.url]);
      onTestFinished(async () => void (await daemon.stop('SIGKILL')));
      const get = (path: string) => http({ url: `${daemon.ready.http}${path}`, headers: { host } });
      for (const [path, version] of acknowledged) {
        expect(
          (await get(path)).body.equals(bodyOf(path, version, 4_000)),
          `${path} after kill ${round}`,
        ).toBe(true);
      }
      const status = await daemon.rpc<{ purges: { applied: number } }>('status');
      expect(status.purges.applied).toBeGreaterThanOrEqual(acknowledged.size);
      let killed = false;
      let purged = 0;
      const load = Promise.all(
        Array.from({ length: 8 }, async (_, client) => {
          for (let n = 0; !killed; n += 1) await get(`/load/${client}/${n % 50}`).catch(() => undefined);
        }),
      );
      const changes = (async () => {
        for (let n = 0; !killed; n += 1) {
          const path = `/changing/${n % 7}`;
          const version = (origin.versions.get(path) ?? 1) + 1;
          try {
            await get(path);
            origin.versions.set(path, version);
            // From here until the acknowledgement either version may be served.
            acknowledged.delete(path);
            const result = await daemon.rpc<{ seq: number }>('purge', {
              url: `http://${host}${path}`,
              wait: true,
            });
            purges = Math.max(purges, result.seq);
            acknowledged.set(path, version);
            purged += 1;
          } catch (error) {
            if (!killed) throw error;
          }
        }
      })();
      await until('it purges under load', () => purged > 2);
      await new Promise((done) => setTimeout(done, 400 + 130 * round));
      killed = true;
      await daemon.stop('SIGKILL');
      await Promise.all([load, changes]);
    }
    expect(acknowledged.size).toBeGreaterThan(0);
    expect(purges).toBeGreaterThan(ROUNDS);
  });

  it('keeps what forecasts have been worth', async () => {
    const origin = await startOrigin();
    onTestFinished(() => origin.close());
    const dataDir = scratch(onTestFinished);
    const flags = ['--origin', origin.url, '--epoch-length', '1s'];
    const samplesOf = async (daemon: Daemon) =>
      (await daemon.rpc<AccuracyResult>('accuracy')).forecasts.reduce((sum, row) => sum + row.samples, 0);
    const daemon = await startDaemon(dataDir, flags);
    onTestFinished(async () => void (await daemon.stop('SIGKILL')));
    for (let n = 0; n < 30; n += 1) await http({ url: `${daemon.ready.http}/asked/often` });
    let judged = 0;
    await until('forecasts have come due', async () => {
      judged = await samplesOf(daemon);
      return judged >= 3;
    });
    // An epoch is written before the next is judged.
    await until('another has', async () => (await samplesOf(daemon)) > judged);
    await daemon.stop('SIGKILL');
    const again = await startDaemon(dataDir, ['--origin', origin.url]);
    onTestFinished(async () => void (await again.stop('SIGKILL')));
    expect(await samplesOf(again)).toBeGreaterThanOrEqual(judged);
  });
});
