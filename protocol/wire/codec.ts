import { Packr } from 'msgpackr';
import * as v from 'valibot';
import { PresageError } from '../errors.ts';
import { prescan } from './prescan.ts';

/** What a decoder needs to know of one kind of message before it looks at a byte. */
export interface MessageSpec<S extends v.GenericSchema> {
  readonly name: string;
  readonly schema: S;
  readonly maxBytes: number;
  /** Default 6. */
  readonly depth?: number;
  /** Default 100,000. */
  readonly elements?: number;
}

/** Self-contained MessagePack: no records, no shared structures, no extension types, integers as numbers. */
const packr = new Packr({
  useRecords: false,
  structuredClone: false,
  mapsAsObjects: true,
  int64AsType: 'number',
  variableMapSize: true,
  useFloat32: 0,
});

/** The MessagePack form of plain data: positional arrays, integers, strings, byte strings, nil, booleans. */
export function encode(value: unknown): Uint8Array {
  return Uint8Array.prototype.slice.call(packr.pack(value));
}

/**
 * Byte cap → structural prescan → unpack → schema. Fails with `WIRE_*`; what passes has the declared type.
 * Byte strings in the result are copies, so that they do not keep the network buffer alive.
 */
export function decode<S extends v.GenericSchema>(bytes: Uint8Array, spec: MessageSpec<S>): v.InferOutput<S> {
  if (bytes.length > spec.maxBytes) {
    throw new PresageError('WIRE_TOO_LARGE', `${spec.name}: ${bytes.length} bytes, at most ${spec.maxBytes}`);
  }
  prescan(bytes, { depth: spec.depth ?? 6, elements: spec.elements ?? 100_000 });
  let value: unknown;
  try {
    value = packr.unpack(bytes);
  } catch (error) {
    throw new PresageError('WIRE_SCHEMA', `${spec.name}: not MessagePack`, {}, error);
  }
  const result = v.safeParse(spec.schema, value, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    const path = issue.path?.map((step) => String(step.key)).join('.') ?? '';
    throw new PresageError('WIRE_SCHEMA', `${spec.name}${path && ` at ${path}`}: ${issue.message}`);
  }
  return result.output;
}
