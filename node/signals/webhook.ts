import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import * as v from 'valibot';
import { coded, type ErrorCode, PresageError } from '../../protocol/errors.ts';
import type { Clock, Log, Metrics } from '../../protocol/ports.ts';
import type { Endpoint } from '../config-units.ts';
import type { HeardUrl } from './connector.ts';
import type { SignalVerdict } from './signal-intake.ts';
import { SignatureCheck } from './webhook-signature.ts';

export interface WebhookOptions {
  readonly listen: Endpoint;
  /** Shared with those who call. */
  readonly secret: Uint8Array;
}

export interface WebhookDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  take(source: string, heard: readonly HeardUrl[]): readonly SignalVerdict[];
}

export interface Webhook {
  readonly address: Endpoint;
  close(): Promise<void>;
}

const PATH = '/signal';
const SOURCE = 'webhook';
const BODY_BYTES_MAX = 64 * 1024;
const SIGNALS_MAX = 100;
const URL_MAX = 2048;
const CONNECTIONS_MAX = 64;
const REQUEST_MS = 10_000;

const signal = v.strictObject({
  url: v.pipe(v.string(), v.maxLength(URL_MAX)),
  strength: v.optional(v.pipe(v.number(), v.finite(), v.gtValue(0)), 1),
  at: v.optional(v.pipe(v.number(), v.safeInteger())),
  region: v.optional(v.pipe(v.string(), v.maxLength(32))),
});
const body = v.union([
  v.strictObject({ signals: v.pipe(v.array(signal), v.minLength(1), v.maxLength(SIGNALS_MAX)) }),
  signal,
]);

const STATUS: Partial<Record<ErrorCode, number>> = {
  SIGNAL_SIGNATURE: 401,
  HTTP_UNKNOWN_SITE: 404,
  HTTP_TOO_LARGE: 413,
  RPC_METHOD: 404,
  MAILBOX_FULL: 429,
};

/**
 * A listener of its own for hints of coming demand: `POST /signal` with a JSON body `{url, strength?, at?, region?}`
 * or `{signals: […]}`, signed as `SignatureCheck` says. Answers 202 with what became of each. Fails with
 * `CONFIG_INVALID` if the address cannot be had.
 */
export async function listenWebhook(options: WebhookOptions, deps: WebhookDeps): Promise<Webhook> {
  const { clock, log, metrics } = deps;
  const check = new SignatureCheck(options.secret);

  const answer = async (request: IncomingMessage): Promise<readonly SignalVerdict[]> => {
    if (request.method !== 'POST' || request.url?.split('?', 1)[0] !== PATH)
      throw new PresageError('RPC_METHOD', `only POST ${PATH} is served here`);
    const bytes = await read(request);
    check.check(
      request.headers['x-presage-timestamp'],
      request.headers['x-presage-signature'],
      bytes,
      clock.now(),
    );
    const parsed = v.safeParse(body, parse(bytes), { abortEarly: true });
    if (!parsed.success) throw new PresageError('INPUT_MALFORMED', parsed.issues[0].message);
    const list = 'signals' in parsed.output ? parsed.output.signals : [parsed.output];
    return deps.take(
      SOURCE,
      list.map(({ url, strength, at, region }) => ({
        ...{ url, strength },
        ...(at !== undefined && { at }),
        ...(region !== undefined && { region }),
      })),
    );
  };

  const server = createServer(
    {
      maxHeaderSize: 8192,
      headersTimeout: REQUEST_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: 2_000,
    },
    (request, response) => {
      answer(request).then(
        (verdicts) => reply(response, 202, { verdicts }),
        (thrown: unknown) => {
          const error = coded(thrown);
          metrics.count('errors_total', { code: error.code });
          if (error.code === 'INTERNAL') log.error('a webhook call failed', { error });
          const message = error.code === 'INTERNAL' ? 'internal error' : error.message;
          // What is left of a body that was refused is not read.
          reply(response, STATUS[error.code] ?? (error.code === 'INTERNAL' ? 500 : 400), {
            ...{ code: error.code, message, remedy: error.remedy },
          });
        },
      );
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  server.on('clientError', (_, socket) => socket.destroy());
  const { host, port } = options.listen;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new PresageError(
          'CONFIG_INVALID',
          `signals.webhook.listen: cannot listen on ${host}:${port}: ${error.message}`,
          {},
          error,
        ),
      ),
    );
    server.listen(port, host, resolve);
  });
  return {
    address: { host, port: (server.address() as AddressInfo).port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function read(request: IncomingMessage): Promise<Buffer> {
  const refuse = () => new PresageError('HTTP_TOO_LARGE', `a call has at most ${BODY_BYTES_MAX} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > BODY_BYTES_MAX) throw refuse();
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > BODY_BYTES_MAX) throw refuse();
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new PresageError('INPUT_MALFORMED', 'the body is not JSON', {}, error);
  }
}

function reply(response: ServerResponse, status: number, value: unknown): void {
  if (response.destroyed || response.headersSent) return;
  const text = JSON.stringify(value);
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    ...(status >= 400 && { connection: 'close' }),
  });
  response.end(text);
}
