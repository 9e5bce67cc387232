import type { DemandHistory } from './demand.ts';
import type { Ring } from './ring.ts';
import type { Series } from './series.ts';

/** Demand histories in two buffers, which move to a worker without being copied. */
export interface PackedDemand {
  readonly ids: readonly string[];
  /** Per history `HEAD` numbers. */
  readonly heads: Float64Array<ArrayBuffer>;
  /** All counts, ring after ring. */
  readonly cells: Float64Array<ArrayBuffer>;
}

/** Start, step and length of three rings, then first request, prior requests and prior time (NaN where absent). */
const HEAD = 12;

export function packDemand(batch: readonly DemandHistory[]): PackedDemand {
  const rings = batch.flatMap((history) => [history.minute, history.ten, history.hour]);
  const cells = new Float64Array(rings.reduce((sum, ring) => sum + ring.values.length, 0));
  const heads = new Float64Array(batch.length * HEAD);
  let at = 0;
  rings.forEach((ring, i) => {
    const head = Math.floor(i / 3) * HEAD + (i % 3) * 3;
    heads.set([ring.start, ring.stepMs, ring.values.length], head);
    cells.set(ring.values, at);
    at += ring.values.length;
  });
  batch.forEach(({ first, prior }, i) => {
    heads.set(
      [first ?? Number.NaN, prior?.requests ?? Number.NaN, prior?.overMs ?? Number.NaN],
      i * HEAD + 9,
    );
  });
  return { ids: batch.map((history) => history.id), heads, cells };
}

export function unpackDemand({ ids, heads, cells }: PackedDemand): DemandHistory[] {
  let at = 0;
  return ids.map((id, i) => {
    const ring = (k: number): Ring => {
      const head = i * HEAD + 3 * k;
      const length = heads[head + 2]!;
      const values = cells.subarray(at, at + length);
      at += length;
      return { start: heads[head]!, stepMs: heads[head + 1]!, values };
    };
    const minute = ring(0);
    const ten = ring(1);
    const hour = ring(2);
    const first = heads[i * HEAD + 9]!;
    const requests = heads[i * HEAD + 10]!;
    const overMs = heads[i * HEAD + 11]!;
    return {
      id,
      minute,
      ten,
      hour,
      ...(Number.isNaN(first) ? {} : { first }),
      ...(Number.isNaN(requests) ? {} : { prior: { requests, overMs } }),
    };
  });
}

/** Series in one buffer. */
export interface PackedSeries {
  readonly ids: readonly string[];
  /** Start, step and length of each. */
  readonly heads: Float64Array<ArrayBuffer>;
  readonly cells: Float64Array<ArrayBuffer>;
}

export function packSeries(batch: readonly Series[]): PackedSeries {
  const cells = new Float64Array(batch.reduce((sum, series) => sum + series.values.length, 0));
  const heads = new Float64Array(batch.length * 3);
  let at = 0;
  batch.forEach((series, i) => {
    heads.set([series.startMs, series.stepMs, series.values.length], i * 3);
    cells.set(series.values, at);
    at += series.values.length;
  });
  return { ids: batch.map((series) => series.id), heads, cells };
}

export function unpackSeries({ ids, heads, cells }: PackedSeries): Series[] {
  let at = 0;
  return ids.map((id, i) => {
    const length = heads[3 * i + 2]!;
    const values = cells.subarray(at, at + length);
    at += length;
    return { id, startMs: heads[3 * i]!, stepMs: heads[3 * i + 1]!, values };
  });
}
