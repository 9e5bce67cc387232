import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMetrics } from '../../../node/metrics.ts';
import { rpcClient } from '../../../node/rpc/client.ts';
import { STREAMS_MAX } from '../../../node/rpc/event-stream.ts';
import { EventHub } from '../../../node/rpc/events.ts';
import { createRpc, type RpcServer } from '../../../node/rpc/server.ts';
import { silentLog } from '../../step-clock.ts';

let directory: string;
let server: RpcServer;
let events: EventHub;
let health = { ready: true, lacks: [] as string[] };

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'presage-rpc-'));
  events = new EventHub(() => 1000);
  health = { ready: true, lacks: [] };
  server = await createRpc(
    { methods: [], events, metrics: createMetrics({ process: false }), log: silentLog, health: () => health },
    { dataDir: directory, version: '1.2.3' },
  );
});
afterEach(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

const get = (path: string) =>
  new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; body: string }>(
    (resolve, reject) => {
      const call = request({ socketPath: server.socket, path }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          text += part;
        });
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
        );
      });
      call.on('error', reject);
      call.end();
    },
  );

describe('health, metrics and events', () => {
  it('tells alive from ready', async () => {
    expect((await get('/healthz')).status).toBe(200);
    expect((await get('/readyz')).status).toBe(200);
    health = { ready: false, lacks: ['no origin: set `origin`'] };
    const answer = await get('/readyz');
    expect([answer.status, JSON.parse(answer.body)]).toEqual([503, health]);
    expect((await get('/healthz')).status).toBe(200);
  });

  it('gives metrics in the text format of Prometheus', async () => {
    await rpcClient(directory)
      .call('status', {})
      .catch(() => undefined);
    const { body, headers } = await get('/metrics');
    expect(headers['content-type']).toContain('text/plain');
    expect(body).toContain('presage_rpc_errors_total{method="unknown",code="RPC_METHOD"} 1');
  });

  const stream = (path: string, headers: Record<string, string> = {}) =>
    new Promise<{
      next: (until: string) => Promise<string>;
      stop: () => void;
      pause: () => void;
      resume: () => void;
    }>((resolve) => {
      const opened = request({ socketPath: server.socket, path, headers }, (response) => {
        let text = '';
        let check = () => undefined as unknown;
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          text += part;
          check();
        });
        response.on('error', () => undefined);
        resolve({
          next: (until) =>
            new Promise((found) => {
              check = () => text.includes(until) && found(text);
              check();
            }),
          stop: () => opened.destroy(),
          pause: () => response.pause(),
          resume: () => response.resume(),
        });
      });
      opened.on('error', () => undefined);
      opened.end();
    });

  it('streams events, of the types asked for, and resumes after the last one seen', async () => {
    events.publish('purge', { seq: 1 });
    events.publish('epoch', { number: 7 });
    const all = await stream('/events', { 'last-event-id': '1' });
    const some = await stream('/events?types=purge');
    events.publish('peer', { up: true });
    events.publish('purge', { seq: 2 });
    const text = await all.next('"seq":2');
    expect(text).toContain('id: 2\nevent: epoch\ndata: {"number":7,"at":1000}\n\n');
    expect(text).not.toContain('"seq":1');
    expect(await some.next('"seq":2')).not.toContain('peer');
    all.stop();
    some.stop();
  });

  it('drops the oldest for a client that does not read, and tells it so', async () => {
    const slow = await stream('/events');
    slow.pause();
    const padding = 'x'.repeat(10_000);
    for (let id = 0; id < 3000; id += 1) {
      events.publish('load', { id, padding });
      if (id % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    slow.resume();
    const text = await slow.next('event: lagged');
    const lost = Number(/event: lagged\ndata: \{"lost":(\d+)\}/.exec(text)?.[1]);
    expect(lost).toBeGreaterThan(1000);
    await slow.next('"id":2999');
    slow.stop();
  });

  it('ends streams when it closes, and hears no more of clients that left', async () => {
    const left = await stream('/events');
    left.stop();
    await expect.poll(() => events.listeners).toBe(0);
    await stream('/events');
    await server.close();
    expect(existsSync(server.socket)).toBe(false);
  });

  it('opens no more streams than it can feed', async () => {
    const streams = await Promise.all(Array.from({ length: STREAMS_MAX }, () => stream('/events')));
    expect((await get('/events')).status).toBe(503);
    for (const one of streams) one.stop();
    await expect.poll(() => events.listeners).toBe(0);
    (await stream('/events')).stop();
  });
});
