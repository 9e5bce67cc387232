import type { KeyObject } from 'node:crypto';
import * as v from 'valibot';
import { CERTIFICATE_BYTES, type Certificate, inspect } from './certificate.ts';
import { type EnvelopeKind, open, seal } from './envelope.ts';
import { PresageError } from './errors.ts';
import { byBytes } from './exact.ts';
import { type Genesis, genesisBytes, genesisSchema } from './genesis.ts';
import { rawPublicKey } from './pop-key.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, rows } from './wire/schemas.ts';

/**
 * The first members of a cluster, signed by its operator: what all PoPs begin to agree from. The list must be the same
 * at every PoP and for the cluster's whole life; who joins or leaves later is decided, not listed.
 */

/** One of the PoPs that a cluster began with. */
export interface Founder {
  readonly certificate: Certificate;
  /** The certificate as it was signed. */
  readonly sealed: Uint8Array;
}

/** A cluster begins with those that stand when agreement is turned on; the rest join, an eighth a height. */
export const FOUNDERS_MAX = 64;
/** All certificates at their largest, with their headers and the signature. */
export const FOUNDERS_BYTES = FOUNDERS_MAX * (CERTIFICATE_BYTES + 8) + 256;

const KIND: EnvelopeKind = {
  domain: 'presage/founders/1',
  maxBytes: FOUNDERS_BYTES,
  code: 'FOUNDERS_INVALID',
};
const schema = v.strictTuple([
  v.literal(1),
  genesisSchema,
  v.pipe(rows(bytes(CERTIFICATE_BYTES, 1), FOUNDERS_MAX), v.minLength(1)),
]);

/**
 * Signs the list with the operator's private key, whatever the order of the certificates. Fails with
 * `FOUNDERS_INVALID` if there are none or too many, if two are of one PoP or one name, or if one is not the operator's.
 */
export function issueFounders(
  certificates: readonly Uint8Array[],
  genesis: Genesis,
  operator: KeyObject,
): Uint8Array {
  const operatorKey = rawPublicKey(operator);
  const sorted = certificates
    .map((sealed) => founderOf(sealed, operatorKey, genesis))
    .sort((a, b) => byBytes(a.certificate.pop, b.certificate.pop))
    .map(({ sealed }) => sealed);
  const body = encode([1, genesisBytes(genesis), sorted]);
  parse(body, operatorKey, genesis);
  return seal(KIND, body, operator);
}

/**
 * The founders in a signed list, by peer id. Fails with `FOUNDERS_INVALID`. Certificates are checked for their
 * signature, never for their time: a cluster outlives the first certificates of its founders.
 */
export function verifyFounders(
  sealed: Uint8Array,
  operatorKey: Uint8Array,
  genesis: Genesis,
): readonly Founder[] {
  return parse(open(KIND, sealed, operatorKey), operatorKey, genesis);
}

function parse(body: Uint8Array, operatorKey: Uint8Array, genesis: Genesis): readonly Founder[] {
  const fail = (what: string, cause?: unknown): never => {
    throw new PresageError('FOUNDERS_INVALID', what, {}, cause);
  };
  let fields: v.InferOutput<typeof schema>;
  try {
    const spec = { name: 'founders', maxBytes: FOUNDERS_BYTES, depth: 2, elements: FOUNDERS_MAX + 8, schema };
    fields = decode(body, spec);
  } catch (error) {
    return fail((error as Error).message, error);
  }
  if (fields[1] !== genesis) fail('the list is of another cluster');
  const founders = fields[2].map((one) => founderOf(one, operatorKey, genesis));
  const names = new Set<string>();
  for (const [index, { certificate }] of founders.entries()) {
    const before = founders[index - 1]?.certificate;
    if (before?.pop === certificate.pop) fail(`two certificates of ${certificate.name}`);
    if (before && byBytes(before.pop, certificate.pop) > 0) fail('the list is out of order');
    if (names.has(certificate.name)) fail(`two PoPs are named ${certificate.name}`);
    names.add(certificate.name);
  }
  return founders;
}

function founderOf(sealed: Uint8Array, operatorKey: Uint8Array, genesis: Genesis): Founder {
  try {
    return { certificate: inspect(sealed, operatorKey, genesis), sealed };
  } catch (error) {
    throw new PresageError('FOUNDERS_INVALID', (error as Error).message, {}, error);
  }
}
