import * as v from 'valibot';
import {
  type ContentHash,
  contentHashFromBytes,
  type Key16,
  key16FromBytes,
  type PopId,
  type RegionId,
} from '../ids.ts';

/** Schemas that several messages share. All integers on the wire are safe and non-negative unless said otherwise. */

export const uint = (max = Number.MAX_SAFE_INTEGER) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(max));

export const bytes = (max: number, min = 0) =>
  v.pipe(
    v.instance(Uint8Array),
    v.check((b) => b.length >= min && b.length <= max, `byte string of ${min} to ${max} bytes`),
    v.transform((b) => new Uint8Array(b)),
  );

export const text = (max: number, min = 0) => v.pipe(v.string(), v.minLength(min), v.maxLength(max));

export const key16 = v.pipe(
  bytes(16, 16),
  v.transform((b): Key16 => key16FromBytes(b)),
);

export const contentHash = v.pipe(
  bytes(32, 32),
  v.transform((b): ContentHash => contentHashFromBytes(b)),
);

/** Base58btc text of an Ed25519 peer id. */
export const popId = v.pipe(
  v.string(),
  v.regex(/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/, 'Ed25519 peer id'),
  v.transform((s) => s as PopId),
);

export const regionId = v.pipe(
  v.string(),
  v.regex(/^[a-z0-9][a-z0-9-]{0,31}$/, 'region name'),
  v.transform((s) => s as RegionId),
);

/** An array of at most `max` rows. */
export const rows = <S extends v.GenericSchema>(row: S, max: number) =>
  v.pipe(v.array(row), v.maxLength(max));
