import { request as ask } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Listening } from '../../../node/http/edge.ts';
import { type EdgeUnderTest, startEdge } from '../../edge-under-test.ts';
import { ONE, TWO } from './certificates.ts';
import { type OriginUnderTest, rawExchange, startOrigin } from './origin.ts';

let origin: OriginUnderTest;
let under: EdgeUnderTest;
let door: Listening;
beforeEach(async () => {
  origin = await startOrigin((message, response) => {
    const proto = String(message.headers['x-forwarded-proto']);
    response.writeHead(200, { 'cache-control': 'max-age=60' }).end(proto);
  });
  under = await startEdge({ origin: origin.url });
  door = await under.edge.listen('127.0.0.1', 0, ONE);
});
afterEach(async () => {
  await under.close();
  await origin.close();
});

/** One request on a connection of its own; what the certificate is named and what the answer says. */
function get(headers: Record<string, string> = {}, maxVersion: 'TLSv1.1' | 'TLSv1.3' = 'TLSv1.3') {
  return new Promise<{ subject: string; body: string }>((resolve, reject) => {
    const options = { host: '127.0.0.1', port: door.port, path: '/a', agent: false, headers };
    const request = ask(
      { ...options, rejectUnauthorized: false, maxVersion, minVersion: 'TLSv1' },
      async (response) => {
        const { subject } = (response.socket as TLSSocket).getPeerCertificate();
        let body = '';
        for await (const part of response) body += String(part);
        resolve({ subject: String(subject.CN), body });
      },
    );
    request.on('error', reject);
    request.end();
  });
}

describe('the edge over TLS', () => {
  it('serves, names the scheme to the origin, and takes 443 for no port', async () => {
    expect(await get({ host: 'www.example:443' })).toEqual({ subject: 'one.example', body: 'https' });
    expect(await get({ host: 'www.example' })).toEqual({ subject: 'one.example', body: 'https' });
    expect(origin.seen).toHaveLength(1);
    expect(origin.seen[0]?.headers.host).toBe('www.example');
  });

  it('takes a renewed certificate without a restart', async () => {
    door.renew(TWO);
    expect((await get()).subject).toBe('two.example');
  });

  it('refuses old versions, and plain text, and goes on', async () => {
    await expect(get({}, 'TLSv1.1')).rejects.toThrow();
    expect(await rawExchange(door.port, 'GET / HTTP/1.1\r\nhost: a\r\n\r\n', 200)).not.toContain('200 OK');
    expect((await get()).body).toBe('https');
  });
});
