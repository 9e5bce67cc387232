import { join, resolve } from 'node:path';
import type { AccessKey, Site } from '../../protocol/charter.ts';
import { openCharter } from '../../protocol/charter-document.ts';
import { PresageError } from '../../protocol/errors.ts';
import { decodeCluster, genesisOf } from '../../protocol/genesis.ts';
import type { SiteId } from '../../protocol/ids.ts';
import { dearmour, readText } from '../adapters/admission-files.ts';
import { parseDuration } from '../config-units.ts';
import { type Scope, signatureQuery } from '../http/access/signed-url.ts';
import { mintToken } from '../http/access/token.ts';
import { canonicalHost, canonicalTarget } from '../http/key.ts';
import { Sites } from '../sites.ts';
import type { CommandIo } from './io.ts';
import { CHARTER_FILE, CLUSTER_FILE } from './keys-issue.ts';

export interface SignOptions {
  readonly dir: string;
  readonly charter?: string;
  readonly site?: string;
  readonly key?: string;
  readonly expires: string;
  readonly prefix?: string;
  readonly token?: boolean;
  readonly showKey?: boolean;
  readonly json?: boolean;
}

/** What `presage sign --json` prints. */
export interface Signed {
  readonly site: string;
  readonly key: string;
  /** ISO 8601. */
  readonly expires: string;
  readonly url?: string;
  readonly token?: string;
  /** Hex. */
  readonly secret?: string;
}

/**
 * Signs a URL of a private site, or makes a bearer token, with the keys of a charter. Needs no daemon. Fails with
 * `RPC_PARAMS` or as the files do.
 *
 * @param now Unix ms
 */
export async function sign(url: string, options: SignOptions, io: CommandIo, now: number): Promise<void> {
  const signed = signedBy(await sitesOf(options, io.cwd), url, options, now);
  const plain = options.showKey ? signed.secret : (signed.token ?? signed.url);
  io.stdout.write(`${options.json ? JSON.stringify(signed) : plain}\n`);
}

async function sitesOf({ dir, charter }: SignOptions, cwd: string): Promise<Sites> {
  const directory = resolve(cwd, dir);
  const clusterPath = join(directory, CLUSTER_FILE);
  const charterPath = charter === undefined ? join(directory, CHARTER_FILE) : resolve(cwd, charter);
  const cluster = decodeCluster(
    dearmour('CLUSTER', await readText(clusterPath, 'the cluster (--dir)'), clusterPath),
  );
  const sealed = dearmour('CHARTER', await readText(charterPath, 'the charter (--charter)'), charterPath);
  return new Sites(openCharter(sealed, cluster.operatorKey, genesisOf(cluster)).charter);
}

/** The signed URL, token or key that the options ask for. */
export function signedBy(sites: Sites, text: string, options: SignOptions, now: number): Signed {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) return wrong('URL', 'expected an http or https URL');
  const host = canonicalHost(url.host, url.protocol === 'https:' ? 443 : 80);
  const site = options.site === undefined ? sites.ofHost(url.hostname) : sites.ofId(options.site as SiteId);
  if (!site) return wrong('--site', `no site of the charter is called ${options.site ?? url.hostname}`);
  const key = keyOf(site, options.key);
  const expires = Math.floor(timeOf(options.expires, now) / 1000);
  const { path } = canonicalTarget(host, url.pathname + url.search, site.normalise);
  const scope: Scope = options.prefix === undefined ? { path } : { prefix: prefixOf(options.prefix, path) };
  const base = { site: site.id, key: key.id, expires: new Date(expires * 1000).toISOString() };
  if (options.showKey) return { ...base, secret: Buffer.from(key.secret).toString('hex') };
  if (options.token) {
    const open = 'prefix' in scope ? scope.prefix : path.split('?', 1)[0]!;
    return { ...base, token: mintToken(key, { site: site.id, expires, paths: [open] }) };
  }
  const mark = path.includes('?') ? '&' : '?';
  return {
    ...base,
    url: `${url.protocol}//${host}${path}${mark}${signatureQuery(key, host, scope, expires)}`,
  };
}

function keyOf({ id, private: isPrivate, accessKeys = [] }: Site, wanted: string | undefined): AccessKey {
  if (!isPrivate) return wrong('--site', `the site ${id} is not private: its URLs need no signature`);
  const key = wanted === undefined ? accessKeys[0] : accessKeys.find((each) => each.id === wanted);
  return key ?? wrong('--key', `the site ${id} has the keys ${accessKeys.map((each) => each.id).join(', ')}`);
}

function prefixOf(text: string, path: string): string {
  const prefix = canonicalTarget('', text, {
    dropParameters: [],
    sortParameters: false,
    ignoreQuery: true,
  }).path;
  if (!prefix.endsWith('/')) return wrong('--prefix', 'expected a path that ends in /');
  return path.startsWith(prefix) ? prefix : wrong('--prefix', `${path} does not lie below ${prefix}`);
}

/** Unix ms of a time, or of a duration from now. */
function timeOf(text: string, now: number): number {
  const at = /^\d{4}-/.test(text) ? Date.parse(text) : now + duration(text);
  if (!(at > now)) return wrong('--expires', 'expected a time to come');
  return at;
}

function duration(text: string): number {
  try {
    return parseDuration(text);
  } catch {
    return wrong(
      '--expires',
      'expected a duration such as "2h" or "7d", or a time such as 2026-12-01T20:00:00Z',
    );
  }
}

function wrong(what: string, why: string): never {
  throw new PresageError('RPC_PARAMS', `${what}: ${why}`);
}
