import * as v from 'valibot';
import { PROTOCOLS } from '../ports.ts';
import { decode, encode, type MessageSpec } from '../wire/codec.ts';
import { bytes, uint } from '../wire/schemas.ts';

/** A document that the operator signed. */
export type WantedDocument =
  /** The charter whose document has this SHA-256, 64 hex digits. */
  | { readonly kind: 'charter'; readonly hash: string }
  | { readonly kind: 'founders' }
  /** The list of revocations of this version, or a newer one. */
  | { readonly kind: 'revocations'; readonly version: number };

const hash = v.pipe(
  bytes(32, 32),
  v.transform((b) => Buffer.from(b).toString('hex')),
);
const REQUEST = {
  name: 'request for a document',
  maxBytes: PROTOCOLS.charter.maxRequestBytes,
  depth: 1,
  elements: 3,
  schema: v.union([
    v.strictTuple([v.literal(1), hash]),
    v.strictTuple([v.literal(2)]),
    v.strictTuple([v.literal(3), uint()]),
  ]),
} satisfies MessageSpec<v.GenericSchema>;
const REPLY = {
  name: 'document',
  maxBytes: PROTOCOLS.charter.maxReplyBytes,
  depth: 1,
  elements: 2,
  schema: v.strictTuple([v.nullable(bytes(PROTOCOLS.charter.maxReplyBytes, 1))]),
} satisfies MessageSpec<v.GenericSchema>;

export function encodeWanted(wanted: WantedDocument): Uint8Array {
  switch (wanted.kind) {
    case 'charter':
      return encode([1, new Uint8Array(Buffer.from(wanted.hash, 'hex'))]);
    case 'founders':
      return encode([2]);
    case 'revocations':
      return encode([3, wanted.version]);
  }
}

/** Fails with `WIRE_*`. */
export function decodeWanted(encoded: Uint8Array): WantedDocument {
  const row = decode(encoded, REQUEST);
  switch (row[0]) {
    case 1:
      return { kind: 'charter', hash: row[1] };
    case 2:
      return { kind: 'founders' };
    case 3:
      return { kind: 'revocations', version: row[1] };
  }
}

/** The signed document, or that it is not here. */
export const encodeDocument = (sealed: Uint8Array | undefined): Uint8Array => encode([sealed ?? null]);

/** Fails with `WIRE_*`; whether the operator signed it is for the caller to check. */
export const decodeDocument = (encoded: Uint8Array): Uint8Array | undefined =>
  decode(encoded, REPLY)[0] ?? undefined;
