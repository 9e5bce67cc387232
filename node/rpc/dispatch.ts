import * as v from 'valibot';
import { coded, ERRORS, type ErrorCode, PresageError } from '../../protocol/errors.ts';
import { nearest } from '../spelling.ts';
import type { CallContext, Handlers, RpcMethod } from './method.ts';
import { METHODS, type MethodName } from './methods.ts';

/** Calls in one batch. They run one after the other, so that a batch is no louder than a client that waits. */
export const BATCH_MAX = 64;

/** Codes of JSON-RPC 2.0, section 5.1; errors of Presage itself are `APPLICATION` with `data.code`. */
const PARSE = -32_700;
const INVALID_REQUEST = -32_600;
const UNKNOWN_METHOD = -32_601;
const INVALID_PARAMS = -32_602;
const INTERNAL = -32_603;
const APPLICATION = -32_000;

const JSON_RPC_CODES: Partial<Record<ErrorCode, number>> = {
  RPC_METHOD: UNKNOWN_METHOD,
  RPC_PARAMS: INVALID_PARAMS,
  INTERNAL,
};

type Id = string | number | null;
type Reply = { jsonrpc: '2.0'; id: Id } & ({ result: unknown } | { error: ErrorObject });
interface ErrorObject {
  readonly code: number;
  readonly message: string;
  readonly data: { readonly code: ErrorCode; readonly remedy: string } & Record<string, unknown>;
}

const requestSchema = v.object({
  jsonrpc: v.literal('2.0'),
  method: v.pipe(v.string(), v.maxLength(100)),
  params: v.optional(v.union([v.array(v.unknown()), v.record(v.string(), v.unknown())])),
  id: v.optional(v.nullable(v.union([v.pipe(v.string(), v.maxLength(200)), v.number()]))),
});

/** The methods of `METHODS` that have a handler, for `createRpc`. */
export function bind(handlers: Handlers): RpcMethod[] {
  return (Object.keys(METHODS) as MethodName[]).flatMap((name) => {
    const handler = handlers[name];
    return handler ? [{ name, ...METHODS[name], handler: handler as RpcMethod['handler'] }] : [];
  });
}

export interface Dispatcher {
  /** The reply to the body of a request; `undefined` where it held notifications alone. Never throws. */
  answer(body: string, context: CallContext): Promise<string | undefined>;
}

/** Carries out JSON-RPC 2.0 requests. `failed` hears every error, to log and count it. */
export function createDispatcher(
  methods: readonly RpcMethod[],
  failed: (method: string, error: PresageError) => void,
): Dispatcher {
  const table = new Map(methods.map((method) => [method.name, method]));

  const call = async (name: string, params: unknown, context: CallContext): Promise<unknown> => {
    const method = table.get(name);
    if (!method) {
      const guess = nearest(name, [...table.keys()]);
      throw new PresageError(
        'RPC_METHOD',
        `no method ${name}${guess === undefined ? '' : `; did you mean ${guess}?`}`,
      );
    }
    const parsed = v.safeParse(method.params, byName(method, params ?? {}), { abortEarly: true });
    if (!parsed.success) throw badParams(method.name, parsed.issues[0]);
    return (await method.handler(parsed.output as never, context)) ?? null;
  };

  const reply = async (request: unknown, context: CallContext): Promise<Reply | undefined> => {
    const parsed = v.safeParse(requestSchema, request, { abortEarly: true });
    if (!parsed.success) {
      return failure(null, INVALID_REQUEST, new PresageError('RPC_PARAMS', 'not a JSON-RPC 2.0 request'));
    }
    const { id, method, params } = parsed.output;
    try {
      const result = await call(method, params, context);
      return id === undefined ? undefined : { jsonrpc: '2.0', id, result };
    } catch (thrown) {
      const error = coded(thrown);
      failed(table.has(method) ? method : 'unknown', error);
      return id === undefined ? undefined : failure(id, JSON_RPC_CODES[error.code] ?? APPLICATION, error);
    }
  };

  return {
    async answer(body, context) {
      let request: unknown;
      try {
        request = JSON.parse(body);
      } catch (error) {
        const reason = new PresageError('RPC_PARAMS', 'the request is not JSON', {}, error);
        failed('unknown', reason);
        return JSON.stringify(failure(null, PARSE, reason));
      }
      if (!Array.isArray(request)) {
        const single = await reply(request, context);
        return single && stringify(single);
      }
      if (request.length === 0 || request.length > BATCH_MAX) {
        const reason = new PresageError('RPC_PARAMS', `a batch has 1 to ${BATCH_MAX} calls`);
        return JSON.stringify(failure(null, INVALID_REQUEST, reason));
      }
      const replies: string[] = [];
      for (const one of request) {
        if (context.signal.aborted) break;
        const single = await reply(one, context);
        if (single) replies.push(stringify(single));
      }
      return replies.length === 0 ? undefined : `[${replies.join(',')}]`;
    },
  };
}

function stringify(reply: Reply): string {
  try {
    return JSON.stringify(reply);
  } catch (error) {
    return JSON.stringify(failure(reply.id, INTERNAL, coded(error)));
  }
}

function failure(id: Id, code: number, error: PresageError): Reply {
  // The cause of a defect is for the log of the PoP, not for the caller.
  const message = error.code === 'INTERNAL' ? ERRORS.INTERNAL[0] : error.message;
  return {
    jsonrpc: '2.0',
    id,
    error: { code, message, data: { ...error.data, code: error.code, remedy: error.remedy } },
  };
}

function badParams(method: string, issue: v.BaseIssue<unknown>): PresageError {
  const path = v.getDotPath(issue);
  return new PresageError('RPC_PARAMS', `${method}: ${path === null ? '' : `${path}: `}${issue.message}`);
}

/** Parameters by position become parameters by name, in the order in which the schema declares them. */
function byName(method: RpcMethod, params: unknown): unknown {
  if (!Array.isArray(params)) return params;
  const names = Object.keys((method.params as { entries?: object }).entries ?? {});
  if (params.length > names.length) {
    throw new PresageError('RPC_PARAMS', `${method.name} takes at most ${names.length} parameters`);
  }
  return Object.fromEntries(params.map((value, index) => [names[index], value]));
}
