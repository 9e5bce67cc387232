import { createHash, type KeyObject } from 'node:crypto';
import * as v from 'valibot';
import { PresageError } from './errors.ts';
import type { PopId } from './ids.ts';
import { publicKeyOf, signBody, verifyBody } from './pop-key.ts';
import { decode, encode } from './wire/codec.ts';
import { popId, text, uint } from './wire/schemas.ts';

/**
 * A short-lived TXT record of the cluster, such as an ACME client's for DNS-01 (RFC 8555 §8.4). Name and value together
 * say which one it is; set again it lives longer, and nothing takes it back before its time. So what a PoP knows only
 * grows until it expires, and to reconcile is to take the later expiry of each.
 */
export interface TextRecord {
  /** In lower case, without the final dot. */
  readonly name: string;
  readonly value: string;
  /** Unix ms. */
  readonly expiresAt: number;
  /** The PoP at which it was set, which signs for it. */
  readonly author: PopId;
}

/** A record as it was signed: verified over the bytes that were sent. */
export interface SignedTextRecord extends TextRecord {
  /** First 16 bytes of the hash of name and value, in hex. */
  readonly id: string;
  readonly body: Uint8Array;
  readonly signature: Uint8Array;
}

/** Long enough for any authority to come and look; a record for longer belongs into a zone file. */
export const TEXT_RECORD_LIFE_MS = 24 * 3_600_000;
/** The most that clocks of PoPs may disagree, ms, as for certificates. */
const CLOCK_TOLERANCE_MS = 5 * 60_000;
/** Digests of DNS-01 have 43 characters; other uses have more to say. */
export const TEXT_VALUE_BYTES = 512;
const NAME_CHARACTERS = 253;
/** Name, value, author and expiry, encoded. */
export const TEXT_RECORD_BYTES = 1_024;
const DOMAIN = 'presage/text-record/1';

const NAME = /^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

const BODY = {
  name: 'text record',
  maxBytes: TEXT_RECORD_BYTES,
  depth: 1,
  elements: 8,
  schema: v.strictTuple([
    v.literal(1),
    v.pipe(text(NAME_CHARACTERS, 1), v.regex(NAME, 'domain name')),
    v.pipe(
      text(TEXT_VALUE_BYTES),
      v.check((value) => Buffer.byteLength(value) <= TEXT_VALUE_BYTES, 'value too long'),
    ),
    uint(),
    popId,
  ]),
};

/** The identity of a record, whoever set it and however long it lives. */
export const textRecordId = ({ name, value }: Pick<TextRecord, 'name' | 'value'>): string =>
  createHash('sha256').update(`${name}\0${value}`).digest('hex').slice(0, 32);

/** Signs a record with the PoP's key. Fails with `RPC_PARAMS` if it is none that others would take. */
export function signTextRecord(record: TextRecord, key: KeyObject): SignedTextRecord {
  const name = record.name.toLowerCase().replace(/\.$/, '');
  const body = encode([1, name, record.value, record.expiresAt, record.author]);
  try {
    decode(body, BODY);
  } catch (error) {
    throw new PresageError('RPC_PARAMS', `dns set ${record.name}: ${(error as Error).message}`, {}, error);
  }
  const signed = { ...record, name };
  return { ...signed, id: textRecordId(signed), body, signature: signBody(DOMAIN, body, key) };
}

/** Reads a record from a peer or the disk. Fails with `WIRE_*`. */
export function openTextRecord(body: Uint8Array, signature: Uint8Array): SignedTextRecord {
  const [, name, value, expiresAt, author] = decode(body, BODY);
  if (!verifyBody(DOMAIN, body, signature, publicKeyOf(author))) throw new PresageError('WIRE_SIGNATURE');
  const record = { name, value, expiresAt, author };
  return { ...record, id: textRecordId(record), body, signature };
}

/** Fails with `WIRE_STALE` or `WIRE_FUTURE` if a record has expired, or claims to live for longer than any may. */
export function checkTextRecordAge({ name, expiresAt }: TextRecord, now: number): void {
  if (expiresAt <= now) throw new PresageError('WIRE_STALE', `the record of ${name} has expired`);
  if (expiresAt > now + TEXT_RECORD_LIFE_MS + CLOCK_TOLERANCE_MS)
    throw new PresageError('WIRE_FUTURE', `the record of ${name} would live too long`);
}

/** Whether a name lies in a zone; both in any case, with or without the final dot. The root holds every name. */
export function isInZone(name: string, zone: string): boolean {
  const bare = (one: string) => one.toLowerCase().replace(/\.$/, '');
  const apex = bare(zone);
  return apex === '' || bare(name) === apex || bare(name).endsWith(`.${apex}`);
}
