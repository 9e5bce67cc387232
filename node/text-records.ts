import * as v from 'valibot';
import type { TableSpec } from '../protocol/ports.ts';
import { openTextRecord, type SignedTextRecord } from '../protocol/text-record.ts';
import { recordTable } from './adapters/level-record.ts';

/** Short-lived TXT records by id, as they were signed: what was changed on disk counts as damaged. */
export const TEXT_RECORDS: TableSpec<SignedTextRecord> = recordTable(
  'text records',
  24,
  v.pipe(
    v.strictTuple([v.instance(Uint8Array), v.instance(Uint8Array)]),
    v.transform(([body, signature]) => openTextRecord(new Uint8Array(body), new Uint8Array(signature))),
  ),
  ({ body, signature }) => [body, signature],
);
