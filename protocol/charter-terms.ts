import type { KeyObject } from 'node:crypto';
import * as v from 'valibot';
import { COMMITTEE_SIZE } from './committee.ts';
import { type EnvelopeKind, open, seal } from './envelope.ts';
import { PresageError } from './errors.ts';
import { type Genesis, genesisBytes, genesisSchema } from './genesis.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, uint } from './wire/schemas.ts';

/**
 * What the operator signs of a charter: its terms. They verify without the document, whose hash they hold, so that
 * they travel in proposals and are agreed on by PoPs that have not got the document yet.
 */
export interface CharterTerms {
  /** Rises with every edition; 0 before a charter has been decided. */
  readonly version: number;
  /** SHA-256 of the document, 64 hex digits; of nothing, zeros. */
  readonly hash: string;
  readonly epochMs: number;
  /** PoPs that speak on one key; 0 turns committees off. */
  readonly committee: number;
}

/** An epoch shorter than this leaves no time to agree in; a longer one notices nothing. */
export const EPOCH_MIN_MS = 200;
export const EPOCH_MAX_MS = 600_000;
/** Above this a committee's size is no saving any more. */
export const COMMITTEE_MAX = 255;
/** Beat assumed until a charter is decided. */
const DEFAULT_EPOCH_MS = 30_000;

export const NO_CHARTER: CharterTerms = {
  version: 0,
  hash: '0'.repeat(64),
  epochMs: DEFAULT_EPOCH_MS,
  committee: COMMITTEE_SIZE,
};

/** A signature and six short fields. */
export const TERMS_BYTES = 512;
const KIND: EnvelopeKind = {
  domain: 'presage/charter-terms/1',
  maxBytes: TERMS_BYTES,
  code: 'CHARTER_INVALID',
};
const schema = v.strictTuple([
  v.literal(1),
  genesisSchema,
  v.pipe(uint(), v.minValue(1)),
  v.pipe(
    bytes(32, 32),
    v.transform((b) => Buffer.from(b).toString('hex')),
  ),
  v.pipe(uint(EPOCH_MAX_MS), v.minValue(EPOCH_MIN_MS)),
  uint(COMMITTEE_MAX),
]);

/** Signs terms with the operator's private key. Fails with `CHARTER_INVALID` on impossible ones. */
export function issueTerms(terms: CharterTerms, genesis: Genesis, operator: KeyObject): Uint8Array {
  const { version, hash, epochMs, committee } = terms;
  const digest = new Uint8Array(Buffer.from(hash, 'hex'));
  const body = encode([1, genesisBytes(genesis), version, digest, epochMs, committee]);
  parse(body);
  return seal(KIND, body, operator);
}

/** The terms that the operator of this cluster signed. Fails with `CHARTER_INVALID`. */
export function openTerms(sealed: Uint8Array, operatorKey: Uint8Array, genesis: Genesis): CharterTerms {
  const { genesis: own, ...terms } = parse(open(KIND, sealed, operatorKey));
  if (own !== genesis) throw new PresageError('CHARTER_INVALID', 'the charter is of another cluster');
  return terms;
}

function parse(body: Uint8Array): CharterTerms & { readonly genesis: Genesis } {
  try {
    const spec = { name: 'charter terms', maxBytes: TERMS_BYTES, depth: 1, elements: 8, schema };
    const [, genesis, version, hash, epochMs, committee] = decode(body, spec);
    return { genesis, version, hash, epochMs, committee };
  } catch (error) {
    throw new PresageError('CHARTER_INVALID', (error as Error).message, {}, error);
  }
}
