import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, open, readdir, rename, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Certificate, inspect, issue } from '../../protocol/certificate.ts';
import { encodeCharter } from '../../protocol/charter-document.ts';
import { PresageError } from '../../protocol/errors.ts';
import { issueFounders, verifyFounders } from '../../protocol/founders.ts';
import {
  type Cluster,
  decodeCluster,
  encodeCluster,
  type Genesis,
  genesisOf,
} from '../../protocol/genesis.ts';
import type { PopId, RegionId } from '../../protocol/ids.ts';
import { popIdOf, rawPublicKey } from '../../protocol/pop-key.ts';
import { issueRevocations, verifyRevocations } from '../../protocol/revocation.ts';
import {
  armour,
  dearmour,
  decodeCertificateFile,
  encodeCertificateFile,
  loadCharter,
  readPrivateKey,
  readText,
} from '../adapters/admission-files.ts';
import { charterFromToml } from './keys-charter.ts';

/** Names of the files in an operator's directory. */
export const OPERATOR_KEY = 'operator.key';
export const CLUSTER_FILE = 'cluster.pem';
export const CHARTER_FILE = 'charter.pem';
export const FOUNDERS_FILE = 'founders.pem';
export const REVOCATIONS_FILE = 'revocations.pem';
/** Names whose files in the operator's directory are no PoP's. */
const RESERVED = [OPERATOR_KEY, CLUSTER_FILE, CHARTER_FILE, FOUNDERS_FILE, REVOCATIONS_FILE].map((file) =>
  file.slice(0, file.lastIndexOf('.')),
);
const DAY_MS = 86_400_000;

/** An operator's directory, opened. */
export interface OperatorFiles {
  readonly directory: string;
  readonly key: KeyObject;
  readonly cluster: Cluster;
  readonly genesis: Genesis;
}

/** Founds a cluster: the operator's key and the cluster's identity. */
export async function createOperator(options: {
  readonly directory: string;
  readonly name: string;
  readonly generation?: number;
  readonly force?: boolean;
}): Promise<OperatorFiles> {
  const { directory, name, generation = 1, force = false } = options;
  const { privateKey } = generateKeyPairSync('ed25519');
  const cluster = { operatorKey: rawPublicKey(privateKey), name, generation };
  const document = encodeCluster(cluster);
  decodeCluster(document);
  await absent([join(directory, OPERATOR_KEY), join(directory, CLUSTER_FILE)], force);
  await write(join(directory, OPERATOR_KEY), pem(privateKey));
  await write(join(directory, CLUSTER_FILE), armour('CLUSTER', document));
  return { directory, key: privateKey, cluster, genesis: genesisOf(cluster) };
}

/** Fails with `CONFIG_INVALID` if the directory holds no operator's key and cluster that belong together. */
export async function openOperator(directory: string): Promise<OperatorFiles> {
  const key = await readPrivateKey(join(directory, OPERATOR_KEY), "the operator's key");
  const path = join(directory, CLUSTER_FILE);
  const cluster = decodeCluster(dearmour('CLUSTER', await readText(path, 'the cluster'), path));
  if (!Buffer.from(cluster.operatorKey).equals(rawPublicKey(key))) {
    throw new PresageError('CONFIG_INVALID', `${OPERATOR_KEY} and ${CLUSTER_FILE} do not belong together`);
  }
  return { directory, key, cluster, genesis: genesisOf(cluster) };
}

export interface PopFields {
  readonly name: string;
  readonly region: string;
  readonly addressesV4?: readonly string[];
  readonly addressesV6?: readonly string[];
  readonly http?: number;
  readonly https?: number;
  readonly dns?: number;
  readonly storageCeilingMiB?: number;
  readonly fillCeilingKiBps?: number;
  readonly days?: number;
}
export interface PopFiles {
  readonly pop: PopId;
  readonly keyPath: string;
  readonly certificatePath: string;
  readonly certificate: Certificate;
}

/**
 * A PoP's certificate `NAME.pem`, and its key `NAME.key` unless `keyPath` names one that exists (renewal). Wherever
 * they go, a copy of the certificate stays in the operator's directory, for the list of founders and revocations.
 */
export async function createPop(
  operator: OperatorFiles,
  fields: PopFields,
  options: {
    readonly directory?: string;
    readonly keyPath?: string;
    readonly force?: boolean;
    readonly now: number;
  },
): Promise<PopFiles> {
  const { now, force = false, directory = operator.directory } = options;
  const key = options.keyPath
    ? await readPrivateKey(options.keyPath, 'the key of the PoP')
    : generateKeyPairSync('ed25519').privateKey;
  const certificate: Certificate = {
    genesis: operator.genesis,
    pop: popIdOf(key),
    name: fields.name,
    region: fields.region as RegionId,
    addressesV4: fields.addressesV4 ?? [],
    addressesV6: fields.addressesV6 ?? [],
    ports: { http: fields.http ?? 80, https: fields.https ?? 0, dns: fields.dns ?? 53 },
    storageCeilingMiB: fields.storageCeilingMiB ?? 0,
    fillCeilingKiBps: fields.fillCeilingKiBps ?? 0,
    notBefore: now,
    expiry: now + (fields.days ?? 365) * DAY_MS,
  };
  // Issued before anything is written: wrong fields leave no files behind.
  const document = issue(certificate, operator.key);
  if (RESERVED.includes(fields.name)) {
    throw new PresageError('CONFIG_INVALID', `--name ${fields.name} is the name of a file of the operator`);
  }
  const copyPath = join(operator.directory, `${fields.name}.pem`);
  if (!force && (await exists(copyPath)) && (await popIdFrom(copyPath)) !== certificate.pop) {
    throw new PresageError(
      'CONFIG_INVALID',
      `${copyPath} is of another PoP of that name; --force replaces it`,
    );
  }
  const keyPath = options.keyPath ?? join(directory, `${fields.name}.key`);
  const certificatePath = join(directory, `${fields.name}.pem`);
  await absent(options.keyPath ? [certificatePath] : [keyPath, certificatePath], force);
  if (!options.keyPath) await write(keyPath, pem(key));
  const file = encodeCertificateFile(operator.cluster, document);
  await write(certificatePath, file);
  if (copyPath !== certificatePath) await write(copyPath, file);
  return { pop: certificate.pop, keyPath, certificatePath, certificate };
}

/**
 * Signs a charter written in TOML; returns the path of the signed file. A newer version replaces the one that is there.
 * Fails with `CONFIG_INVALID` if that is not older, unless forced: PoPs take of one version the first that they decide.
 */
export async function createCharter(
  operator: OperatorFiles,
  toml: string,
  options: { readonly path?: string; readonly force?: boolean } = {},
): Promise<{ path: string; version: number }> {
  const path = options.path ?? join(operator.directory, CHARTER_FILE);
  const charter = charterFromToml(toml, operator.cluster.name, operator.genesis, operator.key);
  const document = encodeCharter(charter, operator.genesis, operator.key);
  if (!options.force && (await exists(path))) {
    const there = await loadCharter(path, {
      operatorKey: operator.cluster.operatorKey,
      genesis: operator.genesis,
    });
    if (there.terms.version >= charter.version) {
      throw new PresageError(
        'CONFIG_INVALID',
        `${path} holds version ${there.terms.version}: raise \`version\` in the TOML; --force overwrites it`,
      );
    }
  }
  await write(path, armour('CHARTER', document));
  return { path, version: charter.version };
}

export interface FoundersFile {
  readonly path: string;
  /** Names of the founders. */
  readonly founders: readonly string[];
  /** What the operator must know when another list stood there before. */
  readonly warning?: string;
}

/**
 * Signs the list of a cluster's first members: of the certificate files given, or of all in the operator's directory.
 * Fails with `FOUNDERS_INVALID`, or with `CONFIG_INVALID` if a list is there already and `force` is not set.
 */
export async function createFounders(
  operator: OperatorFiles,
  certificates: readonly string[],
  options: { readonly path?: string; readonly force?: boolean } = {},
): Promise<FoundersFile> {
  const { directory, genesis, key } = operator;
  const path = options.path ?? join(directory, FOUNDERS_FILE);
  const files = certificates.length > 0 ? certificates : await certificatesIn(directory);
  const sealed = await Promise.all(
    files.map(async (file) => decodeCertificateFile(await readText(file, 'a certificate'), file).certificate),
  );
  const document = issueFounders(sealed, genesis, key);
  await absent([path], options.force ?? false);
  const replaces = await exists(path);
  await write(path, armour('FOUNDERS', document));
  const founders = verifyFounders(document, operator.cluster.operatorKey, genesis);
  return {
    path,
    founders: founders.map(({ certificate }) => certificate.name),
    ...(replaces && {
      warning:
        'The founders of a cluster must never change once a PoP has started with them: PoPs with different lists ' +
        'never agree. To begin anew, found a new generation with `presage keys cluster --generation`.',
    }),
  };
}

async function certificatesIn(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of (await readdir(directory)).filter((file) => file.endsWith('.pem')).sort()) {
    const path = join(directory, name);
    if ((await readText(path, 'the file')).includes('-----BEGIN PRESAGE CERTIFICATE-----')) found.push(path);
  }
  if (found.length === 0) {
    throw new PresageError(
      'CONFIG_INVALID',
      `${directory} holds no certificates: make them with \`presage keys pop\`, or name their files`,
    );
  }
  return found;
}

/** Adds identities to the revocation list of the operator's directory, in a new edition. */
export async function revoke(
  operator: OperatorFiles,
  pops: readonly string[],
  options: { readonly reason?: string; readonly now: number },
): Promise<{ path: string; version: number; revoked: number }> {
  const path = join(operator.directory, REVOCATIONS_FILE);
  const before = (await exists(path))
    ? verifyRevocations(
        dearmour('REVOCATIONS', await readText(path, 'the revocation list'), path),
        rawPublicKey(operator.key),
        operator.genesis,
      )
    : { version: 0, revoked: [] };
  const known = new Set(before.revoked.map(({ pop }) => pop));
  const added = [...new Set(pops)]
    .filter((pop) => !known.has(pop as PopId))
    .map((pop) => ({ pop: pop as PopId, at: options.now, reason: options.reason ?? '' }));
  const list = {
    genesis: operator.genesis,
    version: before.version + 1,
    revoked: [...before.revoked, ...added],
  };
  await write(path, armour('REVOCATIONS', issueRevocations(list, operator.key)));
  return { path, version: list.version, revoked: list.revoked.length };
}

/** A peer id, or the one in a certificate file. */
export async function popIdFrom(text: string): Promise<string> {
  if (/^12D3KooW[1-9A-HJ-NP-Za-km-z]{44}$/.test(text)) return text;
  const { cluster, certificate } = decodeCertificateFile(await readText(text, 'the certificate'), text);
  return inspect(certificate, cluster.operatorKey, genesisOf(cluster)).pop;
}

const pem = (key: KeyObject): string => key.export({ format: 'pem', type: 'pkcs8' }).toString();

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

async function absent(paths: readonly string[], force: boolean): Promise<void> {
  for (const path of paths) {
    if (!force && (await exists(path))) {
      throw new PresageError('CONFIG_INVALID', `${path} exists; --force overwrites it`);
    }
  }
}

/** Whole or not at all, readable by the owner alone. */
async function write(path: string, text: string): Promise<void> {
  const draft = `${path}.new`;
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    const file = await open(draft, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
  } catch (error) {
    throw new PresageError('STORE_IO', `cannot write ${path}: ${(error as Error).message}`, {}, error);
  }
}
