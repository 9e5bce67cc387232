import { Worker } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import { PresageError } from '../protocol/errors.ts';
import type { ForecastWorker } from './worker.ts';

/** Heap of one worker: series come in small batches, and the memo of curves is bounded. */
const HEAP_MB = 512;

/** A worker thread as comlink shows it. */
export interface Thread {
  readonly remote: Comlink.Remote<ForecastWorker>;
  /** Never resolves; fails with `WORKER_FAILED` when the thread has ended, for whatever reason. */
  readonly died: Promise<never>;
  terminate(): Promise<void>;
}

/** Starts `worker.ts` beside this file; after the build it is `worker.js`. */
export function startThread(): Thread {
  const script = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
  const worker = new Worker(new URL(script, import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  });
  const died = new Promise<never>((_, reject) => {
    let cause: unknown;
    worker.once('error', (error) => {
      cause = error;
    });
    worker.once('exit', (code) => {
      const reason = cause instanceof Error ? cause.message : `exit code ${code}`;
      reject(new PresageError('WORKER_FAILED', `a forecast worker died: ${reason}`, {}, cause));
    });
  });
  // Between batches nobody waits for it.
  died.catch(() => undefined);
  return {
    remote: Comlink.wrap<ForecastWorker>(nodeEndpoint(worker)),
    died,
    async terminate() {
      await worker.terminate();
    },
  };
}
