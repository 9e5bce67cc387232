import { getHeapStatistics } from 'node:v8';
import { PresageError } from '../../protocol/errors.ts';
import { seededRandom } from '../../protocol/random.ts';
import { Mutation } from './mutation.ts';
import type { Target } from './target.ts';

/** What a decoder may take for any input, and for each KiB of it: some hundred times what it takes. */
const TIME_MS = 50;
const TIME_MS_PER_KIB = 4;
/** What a decoder may allocate for any input, and for each byte of it. */
const HEAP_BYTES = 8 << 20;
const HEAP_BYTES_PER_BYTE = 500;
/** A machine under load, or the collector, may be to blame: what seems too much is measured so often again. */
const MEASURED_AGAIN = 7;

export interface Finding {
  readonly target: string;
  readonly what: string;
  /** The input in hex, cut at 4 KiB. */
  readonly input: string;
  readonly bytes: number;
}

export interface Report {
  readonly target: string;
  readonly inputs: number;
  /** Inputs that decoded. */
  readonly accepted: number;
  /** Refusals by code. */
  readonly refused: Readonly<Record<string, number>>;
  /** Different outcomes, which is how far the inputs reach into the decoder. */
  readonly outcomes: number;
  readonly slowestMs: number;
  readonly findings: readonly Finding[];
}

export interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
  /** Hears of every input before it is decoded, so that one that never ends is known. */
  readonly begin?: (input: Uint8Array) => void;
}

/** Findings of one target after which there is nothing new to learn. */
const FINDINGS_MAX = 5;

type Outcome = { readonly signature: string; readonly code: string | undefined; readonly failure?: string };

function hash(text: string): number {
  let sum = 0x811c9dc5;
  for (const char of text) sum = Math.imul(sum ^ char.charCodeAt(0), 0x01000193);
  return sum >>> 0;
}

async function attempt(target: Target, input: Uint8Array): Promise<Outcome> {
  try {
    const result = target.run(input);
    const value = result instanceof Promise ? await result : result;
    return { signature: typeof value === 'string' ? `= ${value.slice(0, 60)}` : '=', code: undefined };
  } catch (error) {
    if (error instanceof PresageError) {
      if (error.code === 'INTERNAL')
        return { signature: '!', code: undefined, failure: `INTERNAL: ${error.message}` };
      return {
        signature: `${error.code} ${error.message.replace(/[\d"'`].*/, '')}`.slice(0, 120),
        code: error.code,
      };
    }
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { signature: '!', code: undefined, failure: stack.split('\n').slice(0, 4).join(' ') };
  }
}

const heapBytes = (): number => {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
};

/** The least time of several runs, which others on the machine only lengthen, and the median of what they allocate. */
async function measure(target: Target, input: Uint8Array): Promise<{ tookMs: number; bytes: number }> {
  let tookMs = Number.POSITIVE_INFINITY;
  const grew: number[] = [];
  for (let again = 0; again < MEASURED_AGAIN; again += 1) {
    const heap = heapBytes();
    const startedAt = performance.now();
    await attempt(target, input);
    tookMs = Math.min(tookMs, performance.now() - startedAt);
    grew.push(heapBytes() - heap);
  }
  grew.sort((a, b) => a - b);
  return { tookMs, bytes: grew[grew.length >> 1]! };
}

/**
 * Gives a decoder `inputs` inputs that follow from `seed`. It must answer each or fail with a `PresageError`, within
 * a time and an allocation that the length of the input bounds. Inputs with outcomes that are new are made more of.
 */
export async function fuzz(target: Target, options: FuzzOptions): Promise<Report> {
  const mutation = new Mutation(target, seededRandom((options.seed ^ hash(target.name)) >>> 0));
  const outcomes = new Set<string>();
  const refused: Record<string, number> = {};
  const findings: Finding[] = [];
  let accepted = 0;
  let slowestMs = 0;
  let inputs = 0;
  const found = (what: string, input: Uint8Array) => {
    const hex = Buffer.from(input.subarray(0, 4_096)).toString('hex');
    findings.push({ target: target.name, what, input: hex, bytes: input.length });
  };
  for (; inputs < options.inputs && findings.length < FINDINGS_MAX; inputs += 1) {
    const input = inputs < target.seeds.length ? target.seeds[inputs]! : mutation.next();
    options.begin?.(input);
    const heap = heapBytes();
    const startedAt = performance.now();
    const { signature, code, failure } = await attempt(target, input);
    const tookMs = performance.now() - startedAt;
    const heapGrew = heapBytes() - heap;
    if (failure !== undefined) found(failure, input);
    else if (code === undefined) accepted += 1;
    else refused[code] = (refused[code] ?? 0) + 1;
    if (!outcomes.has(signature) && outcomes.size < 4_096) {
      outcomes.add(signature);
      mutation.keep(input);
    }
    const timeLimit = TIME_MS + (TIME_MS_PER_KIB * input.length) / 1024;
    const heapLimit = HEAP_BYTES + HEAP_BYTES_PER_BYTE * input.length;
    if (tookMs > timeLimit || heapGrew > heapLimit) {
      const least = await measure(target, input);
      if (least.tookMs > timeLimit) found(`takes ${Math.round(least.tookMs)} ms`, input);
      if (least.bytes > heapLimit) found(`allocates ${least.bytes} bytes`, input);
      slowestMs = Math.max(slowestMs, least.tookMs);
    } else slowestMs = Math.max(slowestMs, tookMs);
  }
  return {
    ...{ target: target.name, inputs, accepted, refused, outcomes: outcomes.size },
    ...{ slowestMs: Math.round(slowestMs * 10) / 10, findings },
  };
}
