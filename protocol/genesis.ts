import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { decode, encode } from './wire/codec.ts';
import { bytes, text, uint } from './wire/schemas.ts';

declare const brand: unique symbol;
/** SHA-256 of a cluster's identity, 64 lower-case hex digits. */
export type Genesis = string & { readonly [brand]: 'Genesis' };

/** What makes a cluster itself and no other. */
export interface Cluster {
  /** The operator's Ed25519 public key, 32 raw bytes. */
  readonly operatorKey: Uint8Array;
  /** For people, at most 64 characters. */
  readonly name: string;
  /** Rises when the operator founds the cluster anew, after its quorum was lost for good. */
  readonly generation: number;
}

const DOMAIN = 'presage/genesis/1\0';
const SCHEMA = v.strictTuple([v.literal(1), bytes(32, 32), text(64, 1), uint(0xffff_ffff)]);

export function genesisOf(cluster: Cluster): Genesis {
  return createHash('sha256').update(DOMAIN).update(encodeCluster(cluster)).digest('hex') as Genesis;
}

/** The first eight bytes of the genesis, 16 hex digits: the suffix of gossip topics. */
export const genesis8 = (genesis: Genesis): string => genesis.slice(0, 16);

export function encodeCluster(cluster: Cluster): Uint8Array {
  return encode([1, cluster.operatorKey, cluster.name, cluster.generation]);
}

/** Fails with `WIRE_*`. */
export function decodeCluster(encoded: Uint8Array): Cluster {
  const [, operatorKey, name, generation] = decode(encoded, {
    name: 'cluster',
    maxBytes: 512,
    depth: 1,
    elements: 5,
    schema: SCHEMA,
  });
  return { operatorKey, name, generation };
}

/** A genesis on the wire: 32 bytes. */
export const genesisSchema = v.pipe(
  bytes(32, 32),
  v.transform((b): Genesis => Buffer.from(b).toString('hex') as Genesis),
);
export const genesisBytes = (genesis: Genesis): Uint8Array => new Uint8Array(Buffer.from(genesis, 'hex'));
