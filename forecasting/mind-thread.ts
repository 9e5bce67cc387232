import { type Remote, startThread, type Thread } from './endpoint.ts';
import type { MindOptions } from './mind.ts';
import type { MindWorker } from './mind-worker.ts';

/** The mind as actors see it. */
export type MindPort = Remote<MindWorker>;
export type MindThread = Thread<MindWorker>;

/** Heap beside the history: the decided state, bodies of proposals, and a plan in the making. */
const HEAP_MB = 1_024;

/** Starts a mind in a thread of its own. */
export const startMind = (options: MindOptions): MindThread =>
  startThread<MindWorker>('mind-worker', {
    heapMb: HEAP_MB + Math.ceil(options.historyBytes / (1 << 20)) * 2,
    data: options,
  });
