import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Charter } from '../protocol/charter.ts';
import { PresageError } from '../protocol/errors.ts';
import type { PopId, RegionId } from '../protocol/ids.ts';
import { popIdOf } from '../protocol/pop-key.ts';
import { loadMembership, type Membership } from './adapters/admission-files.ts';
import type { Config } from './config.ts';
import { loneCharter } from './lone-charter.ts';

/** Who this PoP is and which cluster it belongs to. */
export interface Identity {
  readonly self: PopId;
  readonly name: string;
  readonly region: RegionId;
  readonly privateKey: KeyObject;
  readonly charter: Charter;
  /** Absent in a cluster of one. */
  readonly membership: Membership | undefined;
}

const LONE_KEY = 'pop.key';

/**
 * Reads key, certificate and charter, or makes a key for a cluster of one. Fails with `CONFIG_INVALID`, `ADMIT_*` or
 * `CHARTER_INVALID`, naming file and remedy.
 */
export async function loadIdentity(config: Config, now: number): Promise<Identity> {
  const { certificate, key, charter, revocations } = config.cluster;
  if (certificate === undefined) return lone(config);
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
  const { own, privateKey } = membership;
  return {
    self: own.pop,
    name: own.name,
    region: own.region,
    privateKey,
    charter: membership.charter,
    membership,
  };
}

async function lone(config: Config): Promise<Identity> {
  const privateKey = await loneKey(join(config.dataDir, LONE_KEY));
  const raw = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
  const charter = loneCharter({
    region: config.region,
    origin: config.origin,
    epochMs: config.epoch.length,
    key: raw,
  });
  const region = config.region as RegionId;
  return { self: popIdOf(privateKey), name: config.name, region, privateKey, charter, membership: undefined };
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
