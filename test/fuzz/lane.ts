import { writeFileSync } from 'node:fs';
import { fuzz, type Report } from './engine.ts';
import { TARGETS } from './targets.ts';

/** What a process of its own is told to do, so that a decoder that takes all memory takes only this process along. */
export interface LaneOrder {
  readonly target: string;
  readonly inputs: number;
  readonly seed: number;
  /** From this input on, each is written to a file before it is decoded: the last one is what killed the process. */
  readonly trace?: { readonly from: number; readonly file: string };
}
export type LaneWord =
  | { readonly type: 'progress'; readonly inputs: number }
  | { readonly type: 'done'; readonly report: Report };

const PROGRESS_EVERY = 1_000;

const say = (word: LaneWord) => process.send?.(word);
process.on('message', async ({ target, inputs, seed, trace }: LaneOrder) => {
  // Traces are made for every refusal and looked at for defects alone.
  Error.stackTraceLimit = 6;
  let count = 0;
  const begin = (input: Uint8Array) => {
    if (count % PROGRESS_EVERY === 0) say({ type: 'progress', inputs: count });
    if (trace && count >= trace.from) writeFileSync(trace.file, input);
    count += 1;
  };
  const one = TARGETS.find(({ name }) => name === target);
  if (one) say({ type: 'done', report: await fuzz(one, { inputs, seed, begin }) });
  process.disconnect();
});
