import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMetrics } from '../../../node/metrics.ts';
import { rpcClient } from '../../../node/rpc/client.ts';
import { bind } from '../../../node/rpc/dispatch.ts';
import { EventHub } from '../../../node/rpc/events.ts';
import type { RpcMethod } from '../../../node/rpc/method.ts';
import { createRpc, type RpcServer } from '../../../node/rpc/server.ts';
import { PresageError } from '../../../protocol/errors.ts';
import { silentLog } from '../../step-clock.ts';

interface Answer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: string;
}

let directory: string;
let server: RpcServer;
let events: EventHub;
const health = { ready: true, lacks: [] as string[] };
let started: Promise<void>;
let aborted: Promise<void>;

const page = { html: '<!doctype html>', policy: "default-src 'none'" };

const methods = (): RpcMethod[] => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  [started, aborted] = [begun.promise, promise];
  const extra = (name: string, handler: RpcMethod['handler']): RpcMethod => ({
    name,
    summary: name,
    params: v.strictObject({ a: v.optional(v.number(), 1), b: v.optional(v.number(), 2) }),
    result: v.unknown(),
    handler,
  });
  return [
    ...bind({
      link: ({ url }) => ({ url, key: url, key16: '0'.repeat(32), label: 'x', name: null, link: null }),
      purge: async ({ tag }) => {
        throw new PresageError('STORE_IO', `cannot purge ${tag}`);
      },
    }),
    extra('subtract', ({ a, b }: { a: number; b: number }) => a - b),
    extra('defect', () => {
      throw new TypeError('secret detail');
    }),
    extra('circular', () => {
      const loop: Record<string, unknown> = {};
      loop.self = loop;
      return loop;
    }),
    extra('forever', (_params: unknown, { signal }) => {
      signal.addEventListener('abort', () => resolve());
      begun.resolve();
      return new Promise(() => undefined);
    }),
  ];
};

const open = (listen = true) =>
  createRpc(
    {
      methods: methods(),
      events,
      metrics: createMetrics({ process: false }),
      log: silentLog,
      health: () => health,
    },
    { dataDir: directory, version: '1.2.3', page, ...(listen && { listen: { host: '127.0.0.1', port: 0 } }) },
  );

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'presage-rpc-'));
  events = new EventHub(() => 1000);
  server = await open();
});
afterEach(async () => {
  await server.close();
  rmSync(directory, { recursive: true });
});

const port = () => Number(new URL(server.url ?? '').port);
const token = () => readFileSync(join(directory, 'rpc.token'), 'utf8').trim();

function send(
  options: { tcp?: boolean; method?: string; path?: string; headers?: Record<string, string> },
  body = '',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const where = options.tcp ? { host: '127.0.0.1', port: port() } : { socketPath: server.socket };
    const { method = 'POST', path = '/rpc', headers = {} } = options;
    const call = request({ ...where, method, path, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
      );
      response.on('error', reject);
    });
    call.on('error', reject);
    call.end(body);
  });
}
const rpc = async (body: unknown) => {
  const { body: text } = await send({}, typeof body === 'string' ? body : JSON.stringify(body));
  return text === '' ? undefined : JSON.parse(text);
};
const call = (method: string, params?: unknown, id: unknown = 1) => ({ jsonrpc: '2.0', id, method, params });

describe('JSON-RPC 2.0 on the socket', () => {
  it('answers by name and by position, and fills in defaults', async () => {
    expect(await rpc(call('subtract', { a: 42, b: 23 }))).toEqual({ jsonrpc: '2.0', id: 1, result: 19 });
    expect(await rpc(call('subtract', [42, 23], 'x'))).toEqual({ jsonrpc: '2.0', id: 'x', result: 19 });
    expect(await rpc(call('subtract'))).toMatchObject({ result: -1 });
    expect(await rpc(call('link', ['http://a/']))).toMatchObject({ result: { url: 'http://a/' } });
  });

  it('answers a notification with nothing', async () => {
    const answer = await send({}, '{"jsonrpc":"2.0","method":"subtract"}');
    expect([answer.status, answer.body]).toEqual([204, '']);
  });

  it('answers a batch in order, notifications left out', async () => {
    const batch = [
      call('subtract', [5, 1], 1),
      { jsonrpc: '2.0', method: 'subtract' },
      1,
      call('nothing', [], 2),
    ];
    const replies = await rpc(batch);
    expect(replies.map((reply: { id: unknown }) => reply.id)).toEqual([1, null, 2]);
    expect(replies[1].error.code).toBe(-32600);
    expect((await send({}, '[{"jsonrpc":"2.0","method":"subtract"}]')).status).toBe(204);
  });

  it.each([
    ['{', -32700, 'RPC_PARAMS'],
    ['', -32700, 'RPC_PARAMS'],
    ['[]', -32600, 'RPC_PARAMS'],
    ['null', -32600, 'RPC_PARAMS'],
    ['{"jsonrpc":"1.0","id":1,"method":"subtract"}', -32600, 'RPC_PARAMS'],
    ['{"jsonrpc":"2.0","id":{},"method":"subtract"}', -32600, 'RPC_PARAMS'],
    ['{"jsonrpc":"2.0","id":1,"method":"subtract","params":"x"}', -32600, 'RPC_PARAMS'],
    [JSON.stringify(call('substract')), -32601, 'RPC_METHOD'],
    [JSON.stringify(call('toString')), -32601, 'RPC_METHOD'],
    [JSON.stringify(call('__proto__')), -32601, 'RPC_METHOD'],
    [JSON.stringify(call('subtract', { a: 'x' })), -32602, 'RPC_PARAMS'],
    [JSON.stringify(call('subtract', { c: 1 })), -32602, 'RPC_PARAMS'],
    [JSON.stringify(call('subtract', [1, 2, 3])), -32602, 'RPC_PARAMS'],
    [JSON.stringify(call('purge', {})), -32602, 'RPC_PARAMS'],
    [JSON.stringify(call('purge', { tag: 'a', url: 'b' })), -32602, 'RPC_PARAMS'],
    [JSON.stringify(call('purge', { tag: 'a' })), -32000, 'STORE_IO'],
    [JSON.stringify(call('defect')), -32603, 'INTERNAL'],
    [JSON.stringify(call('circular')), -32603, 'INTERNAL'],
    [JSON.stringify(Array.from({ length: 65 }, () => call('subtract'))), -32600, 'RPC_PARAMS'],
    ['['.repeat(1_000_000), -32700, 'RPC_PARAMS'],
    [`${'['.repeat(2000)}${']'.repeat(2000)}`, -32600, 'RPC_PARAMS'],
  ])('refuses %.60s', async (body, code, reason) => {
    const reply = await rpc(body);
    const { error } = Array.isArray(reply) ? reply[0] : reply;
    expect([error.code, error.data.code]).toEqual([code, reason]);
    expect(error.data.remedy).not.toBe('');
    expect(JSON.stringify(error)).not.toContain('secret detail');
  });

  it('names what was meant', async () => {
    expect((await rpc(call('substract'))).error.message).toBe('no method substract; did you mean subtract?');
  });

  it('tells a handler when its caller has gone', async () => {
    const body = JSON.stringify(call('forever'));
    const gone = request({ socketPath: server.socket, method: 'POST', path: '/rpc' });
    gone.on('error', () => undefined);
    gone.end(body);
    await started;
    gone.destroy();
    await aborted;
  });

  it('documents itself in OpenRPC', async () => {
    const { result } = await rpc(call('rpc.discover'));
    expect(result.openrpc).toBe('1.3.2');
    const names = result.methods.map(({ name }: { name: string }) => name);
    expect(names).toContain('rpc.discover');
    const purge = result.methods.find(({ name }: { name: string }) => name === 'purge');
    expect(purge.params.map(({ name }: { name: string }) => name)).toContain('soft');
    const link = result.methods.find(({ name }: { name: string }) => name === 'link');
    expect(link.params[0]).toMatchObject({
      name: 'url',
      required: true,
      schema: { type: 'string', maxLength: 8192 },
    });
    expect(link.result.schema.required).toContain('key16');
    expect(link.result.schema.properties.name.anyOf).toContainEqual({ type: 'null' });
  });
});

describe('the doors of the RPC', () => {
  it('lets only the owner use socket and token', () => {
    expect(statSync(server.socket).mode & 0o777).toBe(0o600);
    expect(statSync(join(directory, 'rpc.token')).mode & 0o777).toBe(0o600);
  });

  it('asks for the token on the loopback port, for the page alone it does not', async () => {
    const body = JSON.stringify(call('subtract'));
    const withToken = (text: string) => ({ authorization: `Bearer ${text}` });
    for (const headers of [
      {},
      withToken(''),
      withToken('x'),
      { authorization: token() },
      { authorization: `Basic ${token()}` },
    ]) {
      const answer = await send({ tcp: true, headers }, body);
      expect([answer.status, JSON.parse(answer.body).code]).toEqual([401, 'RPC_UNAUTHORISED']);
    }
    for (const path of ['/metrics', '/events', '/healthz', '/readyz', '/rpc']) {
      expect((await send({ tcp: true, method: 'GET', path })).status).toBe(401);
    }
    expect((await send({ tcp: true, headers: withToken(token()) }, body)).status).toBe(200);
    const shown = await send({ tcp: true, method: 'GET', path: '/' });
    expect([shown.status, shown.body, shown.headers['content-security-policy']]).toEqual([
      200,
      page.html,
      page.policy,
    ]);
  });

  it('refuses foreign Host and Origin, token or not', async () => {
    const authorization = `Bearer ${token()}`;
    const status = async (headers: Record<string, string>) =>
      (await send({ tcp: true, headers: { authorization, ...headers } }, JSON.stringify(call('subtract'))))
        .status;
    expect(await status({ host: 'evil.example' })).toBe(403);
    expect(await status({ host: `evil.example:${port()}` })).toBe(403);
    expect(await status({ host: '127.0.0.1' })).toBe(403);
    expect(await status({ origin: 'http://evil.example' })).toBe(403);
    expect(await status({ origin: 'null' })).toBe(403);
    expect(await status({ origin: `http://127.0.0.1:${port() + 1}` })).toBe(403);
    expect(await status({ host: `localhost:${port()}`, origin: `http://localhost:${port()}` })).toBe(200);
    expect((await send({ headers: { origin: 'http://localhost' } }, '{}')).status).toBe(403);
  });

  it('refuses a body that is too large, declared or not', async () => {
    const declared = await send({ headers: { 'content-length': String(9 << 20) } }).catch(() => undefined);
    expect(declared?.status ?? 413).toBe(413);
    const status = await new Promise<number>((resolve, reject) => {
      const upload = request({ socketPath: server.socket, method: 'POST', path: '/rpc' }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
      // The server answers and closes while the body is still on its way.
      upload.on('error', (error: NodeJS.ErrnoException) =>
        error.code === 'EPIPE' || error.code === 'ECONNRESET' ? resolve(413) : reject(error),
      );
      for (let part = 0; part < 10; part += 1) upload.write('x'.repeat(1 << 20));
      upload.end();
    });
    expect(status).toBe(413);
    expect(await rpc(call('subtract'))).toMatchObject({ result: -1 });
  });

  it('survives what is not HTTP', async () => {
    for (const garbage of [
      '\u0000\u0001\u0002',
      'GET / HTTP/9.9\r\n\r\n',
      'POST /rpc HTTP/1.1\r\ncontent-length: -5\r\n\r\n',
      `GET /${'a'.repeat(20_000)} HTTP/1.1\r\n\r\n`,
    ]) {
      await new Promise<void>((resolve) => {
        const socket = connect(server.socket, () => socket.end(garbage));
        socket.on('close', () => resolve());
        socket.on('error', () => undefined);
        socket.resume();
      });
    }
    expect(await rpc(call('subtract'))).toMatchObject({ result: -1 });
  });

  it('knows no other paths', async () => {
    for (const [method, path] of [
      ['GET', '/rpc'],
      ['POST', '/'],
      ['GET', '/../rpc.token'],
      ['DELETE', '/events'],
    ] as const) {
      expect((await send({ method, path })).status).toBe(404);
    }
  });
});

describe('the socket of another daemon', () => {
  it('is not taken from it', async () => {
    await expect(open(false)).rejects.toMatchObject({ code: 'STORE_LOCKED' });
    expect(await rpc(call('subtract'))).toMatchObject({ result: -1 });
  });

  it('is replaced where that daemon was killed', async () => {
    const other = join(directory, 'killed');
    mkdirSync(other);
    const path = join(other, 'rpc.sock');
    const holder = createServer().listen(path);
    await new Promise((resolve) => holder.once('listening', resolve));
    // Renamed, a socket survives the close of its server, as it survives a kill.
    const { renameSync } = await import('node:fs');
    renameSync(path, `${path}.kept`);
    await new Promise((resolve) => holder.close(resolve));
    renameSync(`${path}.kept`, path);
    await server.close();
    directory = other;
    server = await open(false);
    expect(await rpc(call('subtract'))).toMatchObject({ result: -1 });
    directory = join(other, '..');
  });

  it('is left alone where it is a file of someone', async () => {
    const other = join(directory, 'file');
    mkdirSync(other);
    writeFileSync(join(other, 'rpc.sock'), 'mine');
    await expect(
      createRpc(
        {
          methods: [],
          events,
          metrics: createMetrics({ process: false }),
          log: silentLog,
          health: () => health,
        },
        { dataDir: other, version: '0' },
      ),
    ).rejects.toMatchObject({ code: 'STORE_LOCKED' });
    expect(readFileSync(join(other, 'rpc.sock'), 'utf8')).toBe('mine');
  });
});

describe('the client', () => {
  it('gives results and codes as the daemon does', async () => {
    const client = rpcClient(directory);
    expect(await client.call('link', { url: 'http://a/' })).toMatchObject({ key: 'http://a/' });
    await expect(client.call('purge', { tag: 'a' })).rejects.toMatchObject({
      code: 'STORE_IO',
      message: 'cannot purge a',
    });
    await expect(client.call('status', {})).rejects.toMatchObject({ code: 'RPC_METHOD' });
  });

  it('says that no daemon is there', async () => {
    await expect(rpcClient(join(directory, 'empty')).call('status', {})).rejects.toMatchObject({
      code: 'RPC_UNREACHABLE',
    });
  });
});
