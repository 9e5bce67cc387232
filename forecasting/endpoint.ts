import { Worker } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import { PresageError } from '../protocol/errors.ts';

/** Methods of a worker as its caller sees them: every answer is a promise. */
export type Remote<T> = {
  readonly [K in keyof T as T[K] extends (...args: never[]) => unknown ? K : never]: T[K] extends (
    ...args: infer A
  ) => infer R
    ? (...args: A) => Promise<Awaited<R>>
    : never;
};

/** An object of this thread behind the same interface: for tests and the simulator, which run on virtual time. */
export function sameThread<T extends object>(object: T): Remote<T> {
  const methods = object as unknown as Record<PropertyKey, (...args: unknown[]) => unknown>;
  return new Proxy(Object.create(null) as Remote<T>, {
    get: (_, method) =>
      method === 'then' ? undefined : async (...args: unknown[]) => methods[method]!.call(object, ...args),
  });
}

/** A worker thread as comlink shows it. */
export interface Thread<T> {
  /** A call under way when the thread ends fails with `WORKER_FAILED`, and so does every later one. */
  readonly remote: Remote<T>;
  /** Never resolves; fails with `WORKER_FAILED` when the thread has ended, for whatever reason. */
  readonly died: Promise<never>;
  terminate(): Promise<void>;
}

export interface ThreadOptions {
  /** Heap at most, MiB. */
  readonly heapMb: number;
  /** Handed to the worker as its `workerData`. */
  readonly data?: unknown;
}

/** Starts the script of that name beside this file, which ends in `.ts` here and in `.js` after the build. */
export function startThread<T extends object>(name: string, { heapMb, data }: ThreadOptions): Thread<T> {
  const script = `./${name}${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`;
  const worker = new Worker(new URL(script, import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: heapMb },
    workerData: data,
  });
  // Comlink never settles what a dead thread owes. Racing each call against one long-lived promise would keep every
  // answer alive as long as the thread; so the calls under way are listed, and told.
  const pending = new Set<(error: PresageError) => void>();
  let dead: PresageError | undefined;
  const died = new Promise<never>((_, reject) => {
    let cause: unknown;
    worker.once('error', (error) => {
      cause = error;
    });
    worker.once('exit', (code) => {
      const reason = cause instanceof Error ? cause.message : `exit code ${code}`;
      dead = new PresageError('WORKER_FAILED', `the thread ${name} died: ${reason}`, {}, cause);
      for (const fail of pending) fail(dead);
      pending.clear();
      reject(dead);
    });
  });
  // Between calls nobody waits for it.
  died.catch(() => undefined);
  const endpoint = Comlink.wrap<object>(nodeEndpoint(worker)) as unknown as Record<
    PropertyKey,
    (...args: unknown[]) => Promise<unknown>
  >;
  const call = (method: PropertyKey, args: unknown[]): Promise<unknown> =>
    new Promise((resolve, reject) => {
      if (dead) {
        reject(dead);
        return;
      }
      pending.add(reject);
      endpoint[method]!(...args)
        .then(resolve, reject)
        .finally(() => pending.delete(reject));
    });
  const remote = new Proxy(Object.create(null) as Remote<T>, {
    // A proxy that had `then` would be taken for a promise.
    get: (_, method) => (method === 'then' ? undefined : (...args: unknown[]) => call(method, args)),
  });
  return {
    remote,
    died,
    async terminate() {
      await worker.terminate();
    },
  };
}
