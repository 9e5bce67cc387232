import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect, issue } from '../protocol/certificate.ts';
import type { Charter } from '../protocol/charter.ts';
import { type CharterTerms, NO_CHARTER } from '../protocol/decided-state.ts';
import { PresageError } from '../protocol/errors.ts';
import type { Founder } from '../protocol/founders.ts';
import { type Genesis, genesisOf } from '../protocol/genesis.ts';
import type { PopId, RegionId } from '../protocol/ids.ts';
import { popIdOf, rawPublicKey } from '../protocol/pop-key.ts';
import { loadMembership, type Membership } from './adapters/admission-files.ts';
import type { Config } from './config.ts';
import { loneCharter } from './lone-charter.ts';

/** Who this PoP is and which cluster it belongs to. */
export interface Identity {
  readonly self: PopId;
  readonly name: string;
  readonly region: RegionId;
  readonly privateKey: KeyObject;
  /** As the files have it at the start; for the one in force see `Charters`. */
  readonly charter: Charter;
  /** Its own certificate; in a cluster of one it is its own operator. */
  readonly own: Founder;
  /** Absent in a cluster of one. */
  readonly membership: Membership | undefined;
  /** Absent where a PoP of a cluster has no list of its founders: it cannot agree on anything. */
  readonly cluster: ClusterOrigin | undefined;
}

/** What agreement begins from (see `originState`), the same at every PoP of the cluster. */
export interface ClusterOrigin {
  readonly genesis: Genesis;
  /** 32 raw bytes. */
  readonly operatorKey: Uint8Array;
  readonly founders: readonly Founder[];
  /** Those of no charter: the first charter is decided as any later one is, as PoPs may start with different files. */
  readonly terms: CharterTerms;
}

const LONE_KEY = 'pop.key';
/** Name of the cluster of one, part of its genesis. */
const LONE_CLUSTER = 'lone';
/** The end of the year 9999: a PoP alone never shuts itself out. */
const NEVER_MS = 253_402_300_799_000;

/**
 * Reads key, certificate and charter, or makes a key for a cluster of one. Fails with `CONFIG_INVALID`, `ADMIT_*`,
 * `CHARTER_INVALID` or `FOUNDERS_INVALID`, naming file and remedy.
 */
export async function loadIdentity(config: Config, now: number): Promise<Identity> {
  const { certificate, key, charter, founders, revocations } = config.cluster;
  if (certificate === undefined) return lone(config, now);
  if (key === undefined) {
    throw new PresageError(
      'CONFIG_INVALID',
      'cluster.key is missing: give the key that the certificate was issued for',
    );
  }
  const membership = await loadMembership(
    {
      certificate,
      key,
      ...(charter !== undefined && { charter }),
      ...(founders !== undefined && { founders }),
      ...(revocations !== undefined && { revocations }),
    },
    now,
  );
  if (!membership.charter) {
    throw new PresageError(
      'CONFIG_INVALID',
      'cluster.charter is missing: sign one with `presage keys charter`',
    );
  }
  const { own, privateKey, genesis, operatorKey } = membership;
  return {
    self: own.pop,
    name: own.name,
    region: own.region,
    privateKey,
    charter: membership.charter.charter,
    own: { certificate: own, sealed: membership.certificate },
    membership,
    cluster: membership.founders && {
      ...{ genesis, operatorKey, founders: membership.founders.list, terms: NO_CHARTER },
    },
  };
}

/** Its own operator, and its only founder, whom it vouches for anew at every start: name and region may have changed. */
async function lone(config: Config, now: number): Promise<Identity> {
  const privateKey = await loneKey(join(config.dataDir, LONE_KEY));
  const raw = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  const charter = loneCharter({
    region: config.region,
    origin: config.origin,
    epochMs: config.epoch.length,
    key: raw,
  });
  const region = config.region as RegionId;
  const self = popIdOf(privateKey);
  const operatorKey = rawPublicKey(privateKey);
  const genesis = genesisOf({ operatorKey, name: LONE_CLUSTER, generation: 1 });
  const sealed = issue(
    {
      ...{ genesis, pop: self, name: config.name.toLowerCase(), region },
      ...{ addressesV4: [], addressesV6: [], ports: { http: 0, https: 0, dns: 0 } },
      ...{ storageCeilingMiB: 0, fillCeilingKiBps: 0, notBefore: now, expiry: NEVER_MS },
    },
    privateKey,
  );
  const founder: Founder = { certificate: inspect(sealed, operatorKey, genesis), sealed };
  return {
    ...{ self, name: config.name, region, privateKey, charter, own: founder, membership: undefined },
    cluster: {
      ...{ genesis, operatorKey, founders: [founder] },
      terms: { ...NO_CHARTER, epochMs: charter.epochMs },
    },
  };
}

async function loneKey(path: string): Promise<KeyObject> {
  try {
    return createPrivateKey(await readFile(path));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new PresageError(
        'STORE_CORRUPT',
        `${path} is not a private key: move it away, and a new identity is made`,
        {},
        error,
      );
    }
  }
  const { privateKey } = generateKeyPairSync('ed25519');
  await writeFile(path, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
  return privateKey;
}
