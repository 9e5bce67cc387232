import type { KeyObject } from 'node:crypto';
import * as v from 'valibot';
import { type ErrorCode, PresageError } from './errors.ts';
import { signBody, verifyBody } from './pop-key.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes } from './wire/schemas.ts';

/**
 * A signed document: MessagePack `[body, signature]`, where the body is a byte string that was encoded once and
 * is verified as sent, never encoded anew. The domain keeps one kind of document from passing for another.
 */
export interface EnvelopeKind {
  /** For example `presage/certificate/1`. */
  readonly domain: string;
  readonly maxBytes: number;
  /** Code of a document that is malformed or badly signed. */
  readonly code: ErrorCode;
}

const OVERHEAD_BYTES = 80;

export function seal(kind: EnvelopeKind, body: Uint8Array, key: KeyObject): Uint8Array {
  const sealed = encode([body, signBody(kind.domain, body, key)]);
  if (sealed.length > kind.maxBytes) {
    throw new PresageError(
      'WIRE_TOO_LARGE',
      `${kind.domain}: ${sealed.length} bytes, at most ${kind.maxBytes}`,
    );
  }
  return sealed;
}

/** The body, before its signature has been looked at: to learn whose key it has to verify with. */
export function peek(kind: EnvelopeKind, sealed: Uint8Array): { body: Uint8Array; signature: Uint8Array } {
  try {
    const [body, signature] = decode(sealed, {
      name: kind.domain,
      maxBytes: kind.maxBytes,
      depth: 1,
      elements: 3,
      schema: v.strictTuple([bytes(kind.maxBytes - OVERHEAD_BYTES + 16), bytes(64, 64)]),
    });
    return { body, signature };
  } catch (error) {
    throw new PresageError(kind.code, `${kind.domain}: ${String((error as Error).message)}`, {}, error);
  }
}

/** The body of a document that `publicKey` (32 raw bytes) signed; fails with the kind's code. */
export function open(kind: EnvelopeKind, sealed: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const { body, signature } = peek(kind, sealed);
  if (!verifyBody(kind.domain, body, signature, publicKey)) {
    throw new PresageError(kind.code, `${kind.domain}: the signature does not verify`);
  }
  return body;
}
