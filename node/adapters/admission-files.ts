import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import * as v from 'valibot';
import {
  CERTIFICATE_BYTES,
  type Certificate,
  CLOCK_TOLERANCE_MS,
  inspect,
} from '../../protocol/certificate.ts';
import { CHARTER_BYTES, openCharter, type SignedCharter } from '../../protocol/charter-document.ts';
import { PresageError } from '../../protocol/errors.ts';
import { type Founder, verifyFounders } from '../../protocol/founders.ts';
import {
  type Cluster,
  decodeCluster,
  encodeCluster,
  type Genesis,
  genesisOf,
} from '../../protocol/genesis.ts';
import { popIdOf } from '../../protocol/pop-key.ts';
import { REVOCATION_BYTES, verifyRevocations } from '../../protocol/revocation.ts';
import { decode, encode } from '../../protocol/wire/codec.ts';
import { bytes } from '../../protocol/wire/schemas.ts';

/**
 * The files that `presage keys` writes and the daemon reads: private keys as PKCS #8 PEM, signed documents as
 * base64 between `-----BEGIN PRESAGE …-----` lines. A certificate file carries the cluster's identity beside the
 * certificate, so that a PoP needs nothing else to know whose word it follows.
 */

export type DocumentLabel = 'CLUSTER' | 'CERTIFICATE' | 'CHARTER' | 'FOUNDERS' | 'REVOCATIONS';
const CLUSTER_BYTES = 512;
/** Base64, line ends and a margin. */
const FILE_BYTES = 2 * Math.max(CHARTER_BYTES, REVOCATION_BYTES);

export function armour(label: DocumentLabel, document: Uint8Array): string {
  const lines =
    Buffer.from(document)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN PRESAGE ${label}-----\n${lines.join('\n')}\n-----END PRESAGE ${label}-----\n`;
}

/** The document between its lines; text around it is ignored. Fails with `CONFIG_INVALID`. */
export function dearmour(label: DocumentLabel, text: string, where: string): Uint8Array {
  const found = new RegExp(
    `-----BEGIN PRESAGE ${label}-----([A-Za-z0-9+/=\\s]*)-----END PRESAGE ${label}-----`,
  ).exec(text);
  if (!found) throw new PresageError('CONFIG_INVALID', `${where} holds no PRESAGE ${label}`);
  return new Uint8Array(Buffer.from(found[1] ?? '', 'base64'));
}

export function encodeCertificateFile(cluster: Cluster, certificate: Uint8Array): string {
  return armour('CERTIFICATE', encode([encodeCluster(cluster), certificate]));
}

/** Not verified yet: that needs a time. */
export function decodeCertificateFile(
  text: string,
  where: string,
): { cluster: Cluster; certificate: Uint8Array } {
  const [cluster, certificate] = decode(dearmour('CERTIFICATE', text, where), {
    name: 'certificate file',
    maxBytes: CERTIFICATE_BYTES + CLUSTER_BYTES + 16,
    depth: 1,
    elements: 3,
    schema: v.strictTuple([bytes(CLUSTER_BYTES), bytes(CERTIFICATE_BYTES)]),
  });
  return { cluster: decodeCluster(cluster), certificate };
}

/** Text of a file of ours, bounded. Fails with `CONFIG_INVALID` naming `what`. */
export async function readText(path: string, what: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > FILE_BYTES) throw new Error(`${size} bytes are too many`);
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new PresageError(
      'CONFIG_INVALID',
      `${what}: cannot read ${path}: ${(error as Error).message}`,
      {},
      error,
    );
  }
}

/** An Ed25519 private key from PKCS #8 PEM. */
export async function readPrivateKey(path: string, what: string): Promise<KeyObject> {
  const text = await readText(path, what);
  try {
    const key = createPrivateKey(text);
    if (key.asymmetricKeyType !== 'ed25519') throw new Error(`a key of type ${key.asymmetricKeyType}`);
    return key;
  } catch (error) {
    throw new PresageError(
      'CONFIG_INVALID',
      `${what}: ${path} is no Ed25519 private key in PEM (PKCS #8): ${(error as Error).message}`,
      {},
      error,
    );
  }
}

/** Whether others than the owner may read a file. */
export async function isExposed(path: string): Promise<boolean> {
  return process.platform !== 'win32' && ((await stat(path)).mode & 0o077) !== 0;
}

/** What a PoP of a cluster starts from; the first fields are those of `NetworkOptions`. */
export interface Membership {
  readonly privateKey: KeyObject;
  readonly certificate: Uint8Array;
  readonly operatorKey: Uint8Array;
  readonly genesis: Genesis;
  readonly revocations?: Uint8Array;
  readonly cluster: Cluster;
  /** The own certificate; its signature is verified, its time is not. */
  readonly own: Certificate;
  readonly charter?: SignedCharter;
  /** Those whom the cluster began with, and the signed list of them; absent where no file was given. */
  readonly founders?: { readonly list: readonly Founder[]; readonly sealed: Uint8Array };
  /** Sentences for the log: what works but should be mended. */
  readonly warnings: readonly string[];
}

/** Paths as in the configuration keys `cluster.*`. */
export interface MembershipPaths {
  readonly certificate: string;
  readonly key: string;
  readonly charter?: string;
  readonly founders?: string;
  readonly revocations?: string;
}

const SOON_MS = 14 * 86_400_000;

/**
 * Reads and verifies all of it. Fails with `CONFIG_INVALID` (unreadable), `ADMIT_CERTIFICATE`, `ADMIT_IDENTITY` (the
 * certificate is of another key), `ADMIT_REVOKED`, `CHARTER_INVALID` or `FOUNDERS_INVALID`. A certificate out of its
 * time is a warning.
 */
export async function loadMembership(paths: MembershipPaths, now: number): Promise<Membership> {
  const warnings: string[] = [];
  const privateKey = await readPrivateKey(paths.key, 'cluster.key');
  if (await isExposed(paths.key)) warnings.push(`${paths.key} is readable by others: chmod 600`);
  const text = await readText(paths.certificate, 'cluster.certificate');
  const { cluster, certificate } = decodeCertificateFile(text, paths.certificate);
  const genesis = genesisOf(cluster);
  const { operatorKey } = cluster;
  // A certificate out of its time keeps the PoP out of the cluster, not from serving: that is for the peers to say.
  const own = inspect(certificate, operatorKey, genesis);
  const self = popIdOf(privateKey);
  if (own.pop !== self) {
    throw new PresageError(
      'ADMIT_IDENTITY',
      `${paths.certificate} is for ${own.pop}, ${paths.key} is ${self}`,
    );
  }
  const until = new Date(own.expiry).toISOString();
  if (own.expiry <= now) {
    warnings.push(
      `ADMIT_EXPIRED: the certificate expired at ${until}: no peer lets this PoP in until it is renewed`,
    );
  } else if (own.expiry - now < SOON_MS) warnings.push(`the certificate expires at ${until}`);
  if (now + CLOCK_TOLERANCE_MS < own.notBefore) {
    const from = new Date(own.notBefore).toISOString();
    warnings.push(
      `CLOCK_SKEW: the certificate is valid from ${from} only: the clock of this machine is wrong`,
    );
  }
  const charter =
    paths.charter === undefined ? undefined : await loadCharter(paths.charter, { operatorKey, genesis });
  if (charter && !charter.charter.regions.includes(own.region)) {
    warnings.push(`the charter does not list the region ${own.region} of this PoP`);
  }
  const founders = await loadFounders(paths.founders, operatorKey, genesis);
  const revocations =
    paths.revocations === undefined
      ? undefined
      : dearmour('REVOCATIONS', await readText(paths.revocations, 'cluster.revocations'), paths.revocations);
  if (
    revocations &&
    verifyRevocations(revocations, operatorKey, genesis).revoked.some(({ pop }) => pop === self)
  ) {
    throw new PresageError('ADMIT_REVOKED', 'this PoP itself has been revoked');
  }
  return {
    privateKey,
    certificate,
    operatorKey,
    genesis,
    cluster,
    own,
    ...(charter && { charter }),
    ...(founders && { founders }),
    ...(revocations && { revocations }),
    warnings,
  };
}

/** A signed charter file. Fails with `CONFIG_INVALID` or `CHARTER_INVALID`. */
export async function loadCharter(
  path: string,
  trust: { readonly operatorKey: Uint8Array; readonly genesis: Genesis },
): Promise<SignedCharter> {
  const sealed = dearmour('CHARTER', await readText(path, 'cluster.charter'), path);
  return openCharter(sealed, trust.operatorKey, trust.genesis);
}

async function loadFounders(path: string | undefined, operatorKey: Uint8Array, genesis: Genesis) {
  if (path === undefined) return undefined;
  const sealed = dearmour('FOUNDERS', await readText(path, 'cluster.founders'), path);
  return { list: verifyFounders(sealed, operatorKey, genesis), sealed };
}
