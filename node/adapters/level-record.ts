import { Packr } from 'msgpackr';
import * as v from 'valibot';
import { PresageError } from '../../protocol/errors.ts';
import type { TableSpec } from '../../protocol/ports.ts';

/** Records carry their own structure, so that each can be read alone and by a later version. */
const packr = new Packr({
  useRecords: true,
  maxSharedStructures: 0,
  moreTypes: true,
  structuredClone: false,
});

/**
 * A table of plain data, written as msgpackr records (maps and sets included). What does not fit `schema` when it
 * is read counts as damaged. For what we wrote ourselves only; nothing from a peer passes here.
 */
export function recordTable<S extends v.GenericSchema>(
  name: string,
  prefix: number,
  schema: S,
  /** What is written for a value, where the schema transforms what is read. */
  written: (value: v.InferOutput<S>) => unknown = (value) => value,
): TableSpec<v.InferOutput<S>> {
  return {
    name,
    prefix,
    encode: (value) => Uint8Array.prototype.slice.call(packr.pack(written(value))),
    decode(bytes) {
      let value: unknown;
      try {
        value = packr.unpack(bytes);
      } catch (error) {
        throw new PresageError('STORE_CORRUPT', `${name}: not a record`, {}, error);
      }
      const result = v.safeParse(schema, value, { abortEarly: true });
      if (!result.success) throw new PresageError('STORE_CORRUPT', `${name}: ${result.issues[0].message}`);
      return result.output;
    },
  };
}
