import type { KeyObject } from 'node:crypto';
import * as v from 'valibot';
import { CERTIFICATE_BYTES, type Certificate, verify } from './certificate.ts';
import { type EnvelopeKind, peek, seal } from './envelope.ts';
import { PresageError } from './errors.ts';
import type { Genesis } from './genesis.ts';
import { publicKeyOf, verifyBody } from './pop-key.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, rows, text, uint } from './wire/schemas.ts';

/**
 * How PoPs learn of each other: a PoP's certificate and the addresses it listens on, signed by that PoP, so that
 * nobody can misdirect the others' dialling. The card with the highest sequence number holds.
 */
export interface PeerCard {
  readonly certificate: Certificate;
  readonly certificateBytes: Uint8Array;
  /** Unix ms when the card was made. */
  readonly sequence: number;
  /** libp2p multiaddrs without the `/p2p/…` part. */
  readonly addresses: readonly string[];
}

export const CARD_ADDRESSES = 8;
const ADDRESS_CHARACTERS = 128;
export const CARD_BYTES = CERTIFICATE_BYTES + CARD_ADDRESSES * (ADDRESS_CHARACTERS + 2) + 128;
/** Host and TCP port, nothing else: no relay, no path. */
const ADDRESS = /^\/(ip4|ip6|dns|dns4|dns6)\/[0-9A-Za-z.:-]{1,100}\/tcp\/[0-9]{1,5}$/;

const KIND: EnvelopeKind = { domain: 'presage/card/1', maxBytes: CARD_BYTES, code: 'ADMIT_CERTIFICATE' };
const address = v.pipe(text(ADDRESS_CHARACTERS), v.regex(ADDRESS, 'address of a PoP'));
const schema = v.strictTuple([v.literal(1), bytes(CERTIFICATE_BYTES), uint(), rows(address, CARD_ADDRESSES)]);

/** Whether an address can stand on a card. */
export const isCardAddress = (text: string): boolean =>
  text.length <= ADDRESS_CHARACTERS && ADDRESS.test(text);

export function issueCard(
  certificate: Uint8Array,
  sequence: number,
  addresses: readonly string[],
  key: KeyObject,
): Uint8Array {
  return seal(KIND, encode([1, certificate, sequence, addresses.slice(0, CARD_ADDRESSES)]), key);
}

/** Fails with `ADMIT_CERTIFICATE` or `ADMIT_EXPIRED`. */
export function verifyCard(
  sealed: Uint8Array,
  operatorKey: Uint8Array,
  genesis: Genesis,
  now: number,
): PeerCard {
  const { body, signature } = peek(KIND, sealed);
  let fields: v.InferOutput<typeof schema>;
  try {
    fields = decode(body, { name: 'peer card', maxBytes: CARD_BYTES, depth: 2, elements: 16, schema });
  } catch (error) {
    throw new PresageError('ADMIT_CERTIFICATE', (error as Error).message, {}, error);
  }
  const [, certificateBytes, sequence, addresses] = fields;
  const certificate = verify(certificateBytes, operatorKey, genesis, now);
  if (!verifyBody(KIND.domain, body, signature, publicKeyOf(certificate.pop))) {
    throw new PresageError('ADMIT_CERTIFICATE', 'a peer card is not signed by the PoP that it describes');
  }
  return { certificate, certificateBytes, sequence, addresses };
}
