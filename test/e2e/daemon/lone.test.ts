import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { type Answer, type Daemon, http, scratch, startDaemon, until } from '../daemon.ts';
import { bodyOf, startOrigin, type TestOrigin } from '../origin.ts';
import { resolve } from '../resolver.ts';

let origin: TestOrigin;
beforeAll(async () => {
  origin = await startOrigin();
});
afterAll(() => origin.close());

async function lone(flags: readonly string[] = []): Promise<Daemon> {
  const daemon = await startDaemon(scratch(onTestFinished), ['--origin', origin.url, ...flags]);
  onTestFinished(async () => void (await daemon.stop('SIGKILL')));
  return daemon;
}

/** The first answer that comes from the store: storing may end after the answer that is stored. */
async function hit(url: string, headers: Record<string, string> = {}): Promise<Answer> {
  let answer: Answer | undefined;
  await until(`${url} is stored`, async () => {
    answer = await http({ url, headers });
    return /; hit/.test(answer.headers['cache-status'] ?? '');
  });
  return answer!;
}

describe('a lone daemon', () => {
  it('is a caching reverse proxy that survives SIGTERM with its cache', async () => {
    const first = await lone();
    const url = `${first.ready.http}/pictures/a.bin`;
    const miss = await http({ url });
    expect(miss.status).toBe(200);
    expect(miss.body.equals(bodyOf('/pictures/a.bin', 1, 4_000))).toBe(true);
    const stored = await hit(url);
    expect(stored.body.equals(miss.body)).toBe(true);
    expect(origin.asked.get('/pictures/a.bin')).toBe(1);
    const etag = stored.headers.etag ?? '';
    expect((await http({ url, headers: { 'if-none-match': etag } })).status).toBe(304);
    const range = await http({ url, headers: { range: 'bytes=10-19' } });
    expect(range.status).toBe(206);
    expect(range.body.equals(miss.body.subarray(10, 20))).toBe(true);
    expect(await first.stop()).toBe(0);

    const second = await startDaemon(first.dataDir, ['--origin', origin.url]);
    onTestFinished(async () => void (await second.stop('SIGKILL')));
    const again = await http({
      url: `${second.ready.http}/pictures/a.bin`,
      headers: { host: new URL(url).host },
    });
    expect(again.headers['cache-status']).toMatch(/; hit/);
    expect(again.body.equals(miss.body)).toBe(true);
    expect(origin.asked.get('/pictures/a.bin')).toBe(1);
    expect(await second.stop()).toBe(0);
  });

  it('answers health, metrics, discovery and events on its socket alone, which others cannot open', async () => {
    const daemon = await lone();
    const socketPath = join(daemon.dataDir, 'rpc.sock');
    expect(statSync(socketPath).mode & 0o777).toBe(0o600);
    expect((await http({ socketPath, path: '/healthz' })).status).toBe(200);
    expect((await http({ socketPath, path: '/readyz' })).status).toBe(200);
    expect((await http({ socketPath, path: '/metrics' })).text).toMatch(/presage_/);
    const methods = (await daemon.rpc<{ methods: { name: string }[] }>('rpc.discover')).methods.map(
      ({ name }) => name,
    );
    expect(methods).toEqual(
      expect.arrayContaining(['status', 'peers', 'purge', 'tag', 'explain', 'plan', 'replicas']),
    );
    for (const name of ['status', 'peers', 'plan', 'replicas', 'trending', 'accuracy', 'epochs', 'config']) {
      expect(await daemon.rpc(name), name).toBeDefined();
    }
    await expect(daemon.rpc('no-such-method')).rejects.toThrow(/no-such-method/);
  });

  it('forgets what is purged, by URL, tag and prefix, and revalidates what is purged softly', async () => {
    const daemon = await lone();
    const get = (path: string) => http({ url: `${daemon.ready.http}${path}` });
    const host = new URL(daemon.ready.http ?? '').host;
    for (const path of ['/p/1', '/p/2', '/q/1', '/s/1']) await get(path);
    await daemon.rpc('purge', { url: `http://${host}/p/1`, wait: true });
    expect((await get('/p/1')).headers['cache-status']).not.toMatch(/; hit/);
    await hit(`${daemon.ready.http}/p/2`);
    await daemon.rpc('purge', { tag: 'dir-q', wait: true });
    expect((await get('/q/1')).headers['cache-status']).not.toMatch(/; hit/);
    await daemon.rpc('purge', { prefix: `http://${host}/p/`, wait: true });
    expect((await get('/p/2')).headers['cache-status']).not.toMatch(/; hit/);
    await daemon.rpc('purge', { url: `http://${host}/s/1`, soft: true, wait: true });
    const asked = origin.asked.get('/s/1') ?? 0;
    expect((await get('/s/1')).status).toBe(200);
    expect(origin.asked.get('/s/1')).toBe(asked + 1);
  });

  it('serves HTTPS and takes a renewed certificate on SIGHUP', async () => {
    const directory = scratch(onTestFinished);
    const files = { certificate: join(directory, 'tls.pem'), key: join(directory, 'tls.key') };
    const make = (name: string) =>
      execFileSync(
        'openssl',
        [
          ...[
            'req',
            '-x509',
            '-newkey',
            'ec',
            '-pkeyopt',
            'ec_paramgen_curve:prime256v1',
            '-nodes',
            '-days',
            '2',
          ],
          ...['-subj', `/CN=${name}`, '-keyout', files.key, '-out', files.certificate],
        ],
        { stdio: 'ignore' },
      );
    make('first');
    const daemon = await lone(['--http-tls-certificate', files.certificate, '--http-tls-key', files.key]);
    expect(daemon.ready.http).toMatch(/^https:/);
    const { hostname, port } = new URL(daemon.ready.http ?? '');
    const named = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
          resolve(String(socket.getPeerCertificate().subject.CN));
          socket.destroy();
        });
        socket.on('error', reject);
      });
    expect(await named()).toBe('first');
    make('second');
    daemon.process.kill('SIGHUP');
    await until('the renewed certificate is shown', async () => (await named()) === 'second');
    expect(await daemon.stop()).toBe(0);
  });

  it('answers DNS for every name with its own address', async () => {
    const daemon = await lone();
    expect(await resolve(daemon, 'any.example')).toEqual(['127.0.0.1']);
  });

  it('is ready in two seconds and rests below 150 MB', async () => {
    const daemon = await lone();
    await until('at rest', () => true);
    const status = readFileSync(`/proc/${daemon.process.pid}/status`, 'utf8');
    const rssKiB = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
    expect(rssKiB * 1024).toBeLessThan(150e6);
  });

  it('refuses a data directory that is in use, and configuration that is wrong, with a word on the remedy', async () => {
    const daemon = await lone();
    await expect(startDaemon(daemon.dataDir, ['--origin', origin.url])).rejects.toThrow(/STORE_LOCKED/);
    await expect(startDaemon(scratch(onTestFinished), ['--storage-budget', 'plenty'])).rejects.toThrow(
      /storage\.budget/,
    );
  });
});
