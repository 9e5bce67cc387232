import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { AccuracyResult, Result, StatusResult } from '../../../node/rpc/methods.ts';
import { signatureOf } from '../../../node/signals/webhook-signature.ts';
import { freePort } from '../../ports.ts';
import { http, scratch, startDaemon, until } from '../daemon.ts';
import { startOrigin, type TestOrigin } from '../origin.ts';

let origin: TestOrigin;
beforeAll(async () => {
  origin = await startOrigin();
});
afterAll(() => origin.close());

const SECRET = 'a secret of some length';

describe('signals', () => {
  it('come from a Mastodon server, the webhook and RPC, and wait for what comes of them', async () => {
    let trends: unknown[] = [];
    const mastodon = createServer((_, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(trends));
    });
    await new Promise<void>((resolve) => mastodon.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      mastodon.closeAllConnections();
      mastodon.close();
    });
    const directory = scratch(onTestFinished);
    const secret = `${directory}.secret`;
    await writeFile(secret, SECRET);
    const hook = await freePort();
    const flags = [
      ...['--origin', origin.url, '--epoch-length', '1s'],
      ...['--signals-mastodon', `http://127.0.0.1:${(mastodon.address() as AddressInfo).port}`],
      ...['--signals-webhook-listen', `127.0.0.1:${hook}`, '--signals-webhook-secret', secret],
    ];
    trends = [{ url: 'https://elsewhere.example/', history: [{ accounts: '7' }] }];
    const daemon = await startDaemon(directory, flags);
    onTestFinished(async () => void (await daemon.stop('SIGKILL')));
    const url = `${daemon.ready.http}/films/a.mp4`;
    // A site for every host name knows as its own only what was asked for.
    expect(
      await daemon.rpc<Result<'signal'>>('signal', { url }).catch((error: unknown) => error),
    ).toBeInstanceOf(Error);
    expect((await http({ url })).status).toBe(200);
    expect(await daemon.rpc<Result<'signal'>>('signal', { url, strength: 4 })).toMatchObject({ taken: true });
    expect(await daemon.rpc<Result<'signal'>>('signal', { url, strength: 4 })).toMatchObject({
      taken: false,
      reason: 'repeated',
    });
    const body = JSON.stringify({ url, strength: 2 });
    const timestamp = String(Math.floor(Date.now() / 1000));
    const call = (signature: string) =>
      fetch(`http://127.0.0.1:${hook}/signal`, {
        method: 'POST',
        body,
        headers: { 'x-presage-timestamp': timestamp, 'x-presage-signature': signature },
      });
    expect((await call('sha256=no')).status).toBe(401);
    expect((await call(signatureOf(Buffer.from(SECRET), timestamp, Buffer.from(body)))).status).toBe(202);
    await until('all sources are seen', async () => {
      const { signals } = await daemon.rpc<StatusResult>('status');
      return signals.length === 3 && signals.every(({ state }) => state !== 'waiting');
    });
    const { signals } = await daemon.rpc<StatusResult>('status');
    expect(
      signals.map(({ source, state, taken, refused }) => [source.split(':')[0], state, taken, refused]),
    ).toEqual([
      ['mastodon', 'connected', 0, 1],
      ['rpc', 'listening', 1, 0],
      ['webhook', 'listening', 1, 0],
    ]);
    await until('the mind watches what comes of them', async () => {
      const accuracy = await daemon.rpc<AccuracyResult>('accuracy');
      return (
        accuracy.signals.length === 2 &&
        accuracy.signals.every(({ open, trust }) => open === 1 && trust === 0)
      );
    });
    expect(await daemon.stop()).toBe(0);
  });

  it('are not taken by a webhook without a secret', async () => {
    const flags = ['--origin', origin.url, '--signals-webhook-listen', '127.0.0.1:1'];
    await expect(startDaemon(scratch(onTestFinished), flags)).rejects.toThrow(/signals\.webhook\.secret/);
  });
});
