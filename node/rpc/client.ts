import { type IncomingMessage, request } from 'node:http';
import { ERRORS, type ErrorCode, PresageError } from '../../protocol/errors.ts';
import type { Call, MethodName, Result } from './methods.ts';
import { socketPath } from './socket.ts';

/** Answers larger than this are a defect of the daemon. */
const ANSWER_BYTES_MAX = 256 << 20;
/** A call that waits for the cluster gives its own time. */
const TIMEOUT_MS = 30_000;

export interface CallOptions {
  /** Real ms until the call fails with `ASK_TIMEOUT`. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface RpcClient {
  /** Fails with the code that the daemon gave, `RPC_UNREACHABLE` if none answers, or `ASK_TIMEOUT`. */
  call<M extends MethodName>(method: M, params: Call<M>, options?: CallOptions): Promise<Result<M>>;
}

/** Calls the daemon whose data directory this is, over its Unix socket. Each call is a connection of its own. */
export function rpcClient(dataDir: string): RpcClient {
  const socket = socketPath(dataDir);
  return {
    async call(method, params, options = {}) {
      const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
      const answer = await post(socket, body, dataDir, options);
      return resultOf(method, answer) as never;
    },
  };
}

function post(socket: string, body: string, dataDir: string, options: CallOptions): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const call = request({
    socketPath: socket,
    path: '/rpc',
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      host: 'localhost',
    },
    ...(options.signal && { signal: options.signal }),
  });
  call.setTimeout(timeoutMs, () =>
    call.destroy(new PresageError('ASK_TIMEOUT', `the daemon did not answer within ${timeoutMs} ms`)),
  );
  call.on('error', (error) => reject(transportError(error, dataDir)));
  call.on('response', (response) => {
    read(response).then(resolve, (error: Error) => reject(transportError(error, dataDir)));
  });
  call.end(body);
  return promise;
}

async function read(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of response as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > ANSWER_BYTES_MAX) throw new PresageError('RPC_TOO_LARGE', 'the answer is too large');
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function transportError(error: Error, dataDir: string): PresageError {
  if (error instanceof PresageError) return error;
  const { code } = error as NodeJS.ErrnoException;
  if (error.name === 'AbortError') return new PresageError('CANCELLED', undefined, {}, error);
  const why =
    code === 'ENOENT' || code === 'ECONNREFUSED'
      ? 'no daemon runs there'
      : code === 'EACCES'
        ? 'it belongs to another user'
        : error.message;
  return new PresageError('RPC_UNREACHABLE', `no daemon answers in ${dataDir}: ${why}`, { dataDir }, error);
}

function resultOf(method: string, answer: string): unknown {
  let parsed: { result?: unknown; error?: { message?: unknown; data?: { code?: unknown } }; code?: unknown };
  try {
    parsed = JSON.parse(answer) as typeof parsed;
  } catch (error) {
    throw new PresageError('INTERNAL', `${method}: the daemon's answer is not JSON`, {}, error);
  }
  if (parsed.error === undefined && parsed.code === undefined) return parsed.result;
  const code = String(parsed.error?.data?.code ?? parsed.code ?? '');
  const message = String(parsed.error?.message ?? (parsed as { message?: unknown }).message ?? 'failed');
  throw new PresageError(code in ERRORS ? (code as ErrorCode) : 'INTERNAL', message);
}
