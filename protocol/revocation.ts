import type { KeyObject } from 'node:crypto';
import * as v from 'valibot';
import { type EnvelopeKind, open, seal } from './envelope.ts';
import { PresageError } from './errors.ts';
import { type Genesis, genesisBytes, genesisSchema } from './genesis.ts';
import type { PopId } from './ids.ts';
import { decode, encode } from './wire/codec.ts';
import { popId, rows, text, uint } from './wire/schemas.ts';

/** Identities that the operator has shut out for good. The edition with the highest version holds, alone. */
export interface RevocationList {
  readonly genesis: Genesis;
  readonly version: number;
  readonly revoked: readonly Revocation[];
}
export interface Revocation {
  readonly pop: PopId;
  /** Unix ms. */
  readonly at: number;
  readonly reason: string;
}

/** Some 150 bytes a row in the worst case; a cluster of hundreds never needs more rows. */
export const REVOCATION_ROWS = 1024;
export const REVOCATION_BYTES = 256 * 1024;

const KIND: EnvelopeKind = {
  domain: 'presage/revocation/1',
  maxBytes: REVOCATION_BYTES,
  code: 'ADMIT_CERTIFICATE',
};
const schema = v.strictTuple([
  v.literal(1),
  genesisSchema,
  uint(),
  rows(v.strictTuple([popId, uint(), text(100)]), REVOCATION_ROWS),
]);

/** Signs an edition with the operator's private key. */
export function issueRevocations(list: RevocationList, operator: KeyObject): Uint8Array {
  const body = encode([
    1,
    genesisBytes(list.genesis),
    list.version,
    list.revoked.map(({ pop, at, reason }) => [pop, at, reason]),
  ]);
  parse(body);
  return seal(KIND, body, operator);
}

/** Fails with `ADMIT_CERTIFICATE` if malformed, badly signed or of another cluster. */
export function verifyRevocations(
  bytes: Uint8Array,
  operatorKey: Uint8Array,
  genesis: Genesis,
): RevocationList {
  const list = parse(open(KIND, bytes, operatorKey));
  if (list.genesis !== genesis) {
    throw new PresageError('ADMIT_CERTIFICATE', 'the revocation list is of another cluster');
  }
  return list;
}

function parse(body: Uint8Array): RevocationList {
  try {
    const [, genesis, version, revoked] = decode(body, {
      name: 'revocations',
      maxBytes: REVOCATION_BYTES,
      depth: 3,
      elements: 4 * REVOCATION_ROWS + 8,
      schema,
    });
    return { genesis, version, revoked: revoked.map(([pop, at, reason]) => ({ pop, at, reason })) };
  } catch (error) {
    throw new PresageError('ADMIT_CERTIFICATE', (error as Error).message, {}, error);
  }
}
