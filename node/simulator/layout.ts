import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { PresageError } from '../../protocol/errors.ts';

/** Most PoPs that are simulated. */
const POPS_MAX = 300;
/** Between neighbours and for each step further round the ring, ms, where no file says otherwise. */
const NEIGHBOUR_MS = 30;
const STEP_MS = 25;

/** Where the simulated PoPs are, all in ms of round trip. */
export interface Layout {
  readonly names: readonly string[];
  readonly distances: readonly (readonly number[])[];
  readonly clientMs: number;
  readonly originMs: number;
}

const milliseconds = v.pipe(v.number(), v.minValue(0), v.maxValue(10_000));
const SCHEMA = v.object({
  pops: v.pipe(
    v.array(v.pipe(v.string(), v.minLength(1), v.maxLength(64))),
    v.minLength(1),
    v.maxLength(POPS_MAX),
  ),
  distances: v.array(v.array(milliseconds)),
  clientMs: v.optional(milliseconds, 5),
  originMs: v.optional(milliseconds, 200),
});

/** So many PoPs round the globe. */
export function ringLayout(pops: number): Layout {
  const indices = Array.from({ length: pops }, (_, i) => i);
  return {
    names: indices.map((i) => `pop-${i + 1}`),
    distances: indices.map((a) =>
      indices.map((b) => {
        const apart = Math.min(Math.abs(a - b), pops - Math.abs(a - b));
        return apart === 0 ? 0 : NEIGHBOUR_MS + STEP_MS * (apart - 1);
      }),
    ),
    clientMs: 5,
    originMs: 200,
  };
}

/**
 * `--pops`: a number, or a JSON file `{"pops": [name…], "distances": [[ms…]…], "clientMs", "originMs"}`.
 * Fails with `CONFIG_INVALID`.
 */
export async function readLayout(pops: string): Promise<Layout> {
  if (/^\d+$/.test(pops)) {
    const count = Number(pops);
    if (count < 1 || count > POPS_MAX) {
      throw new PresageError('CONFIG_INVALID', `--pops: ${pops}: expected 1 to ${POPS_MAX}`);
    }
    return ringLayout(count);
  }
  const invalid = (what: string, cause?: unknown) =>
    new PresageError('CONFIG_INVALID', `--pops: ${pops}: ${what}`, { file: pops }, cause);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(pops, 'utf8'));
  } catch (error) {
    throw invalid('neither a number nor a readable JSON file', error);
  }
  const parsed = v.safeParse(SCHEMA, value);
  if (!parsed.success) throw invalid(parsed.issues[0].message);
  const { pops: names, distances, clientMs, originMs } = parsed.output;
  if (distances.length !== names.length || distances.some((row) => row.length !== names.length)) {
    throw invalid('distances must have a row and a column for each PoP');
  }
  return { names, distances, clientMs, originMs };
}
