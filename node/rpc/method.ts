import type * as v from 'valibot';
import type { MethodName, Params, Result } from './methods.ts';

/** A method as callers see it. */
export interface MethodSpec {
  /** One sentence for `rpc.discover` and `--help`. */
  readonly summary: string;
  readonly params: v.GenericSchema<Record<string, unknown>, unknown>;
  readonly result: v.GenericSchema;
}

/** What a handler is told besides its parameters. */
export interface CallContext {
  /** Aborted when the caller has gone. */
  readonly signal: AbortSignal;
}

/** A method as the server carries it out. Errors of the handler reach the caller with their code. */
export interface RpcMethod extends MethodSpec {
  readonly name: string;
  handler(params: never, context: CallContext): unknown;
}

/** A handler per method of `METHODS`; a method that has none here is not offered. */
export type Handlers = {
  readonly [M in MethodName]?: (params: Params<M>, context: CallContext) => Result<M> | Promise<Result<M>>;
};
