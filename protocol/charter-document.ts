import type { KeyObject } from 'node:crypto';
import * as v from 'valibot';
import type { Charter, Normalisation, Site } from './charter.ts';
import {
  type CharterTerms,
  COMMITTEE_MAX,
  EPOCH_MAX_MS,
  EPOCH_MIN_MS,
  issueTerms,
  openTerms,
  TERMS_BYTES,
} from './charter-terms.ts';
import { sha256 } from './decided-state.ts';
import { PresageError } from './errors.ts';
import { type Genesis, genesisBytes, genesisSchema } from './genesis.ts';
import type { RegionId, SiteId } from './ids.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, regionId, rows, text, uint } from './wire/schemas.ts';

/**
 * The charter as it travels: MessagePack `[sealed terms, document]`, both byte strings. The operator signs the terms,
 * which hold the hash of the document, which repeats them: so either says which the other is.
 */

/** A charter that the operator signed. */
export interface SignedCharter {
  readonly charter: Charter;
  readonly terms: CharterTerms;
  /** The terms as they were signed: what the operation carries. */
  readonly sealedTerms: Uint8Array;
  /** All of it, as it is stored and handed on. */
  readonly sealed: Uint8Array;
}

/** Hundreds of regions × PoPs and sites stay below; it goes to every PoP and is read at every start. */
export const CHARTER_BYTES = 512 * 1024;
const ELEMENTS = 60_000;
const SITES = 1024;
const REGIONS = 256;
const NETWORKS = 8192;
const HOSTS = 256;
const NAMES = 1024;
/** Keys of a private site that are in force at once: the one in use, the one before it, a few for partners. */
const ACCESS_KEYS = 16;

const name = text(253, 1);
const flag = v.picklist([0, 1]);
const normalisation = v.strictTuple([rows(text(128, 1), 256), flag, flag]);
const site = v.strictTuple([
  v.pipe(text(64, 1), v.regex(/^[a-z0-9][a-z0-9._-]*$/, 'id of a site')),
  rows(v.pipe(name, v.regex(/^(\*|[a-z0-9._-]+)$/, 'host name in lower case, or *')), HOSTS),
  v.pipe(text(2048, 1), v.regex(/^https?:\/\/[^\s/?#]+/, 'base URL of an origin')),
  v.nullable(name),
  bytes(32, 32),
  normalisation,
  rows(name, NAMES),
  flag,
  v.picklist([0, 1]),
  v.picklist([0, 1]),
  v.nullable(name),
  rows(
    v.strictTuple([v.pipe(text(32, 1), v.regex(/^[\w.-]+$/, 'id of an access key')), bytes(64, 32)]),
    ACCESS_KEYS,
  ),
]);
const schema = v.strictTuple([
  v.literal(1),
  genesisSchema,
  uint(),
  text(64, 1),
  v.pipe(uint(EPOCH_MAX_MS), v.minValue(EPOCH_MIN_MS)),
  v.pipe(uint(), v.minValue(1000)),
  uint(COMMITTEE_MAX),
  rows(regionId, REGIONS),
  rows(v.strictTuple([regionId, rows(v.strictTuple([name, uint(60_000)]), NAMES)]), REGIONS),
  rows(v.strictTuple([text(64, 3), regionId]), NETWORKS),
  rows(v.strictTuple([v.pipe(v.string(), v.regex(/^[A-Z]{2}$/, 'ISO 3166 code')), regionId]), 300),
  regionId,
  rows(site, SITES),
]);

const envelope = v.strictTuple([bytes(TERMS_BYTES, 1), bytes(CHARTER_BYTES, 1)]);

const SHIELDS = ['home', 'off'] as const;
const CUT_OFFS = ['serve-stale', 'revalidate'] as const;

/** Signs a charter with the operator's private key. Fails with `CHARTER_INVALID` if it is inconsistent. */
export function encodeCharter(charter: Charter, genesis: Genesis, operator: KeyObject): Uint8Array {
  const body = encode([
    1,
    genesisBytes(genesis),
    charter.version,
    charter.cluster,
    charter.epochMs,
    charter.horizonMs,
    charter.committee,
    charter.regions,
    Object.entries(charter.distances).map(([region, row]) => [region, Object.entries(row)]),
    charter.networks.map(({ cidr, region }) => [cidr, region]),
    Object.entries(charter.countries),
    charter.defaultRegion,
    charter.sites.map(siteRow),
  ]);
  parse(body);
  const { version, epochMs, committee } = charter;
  const sealed = encode([
    issueTerms({ version, hash: sha256(body), epochMs, committee }, genesis, operator),
    body,
  ]);
  if (sealed.length > CHARTER_BYTES) {
    throw new PresageError('WIRE_TOO_LARGE', `charter: ${sealed.length} bytes, at most ${CHARTER_BYTES}`);
  }
  return sealed;
}

/** The charter in a signed document. Fails with `CHARTER_INVALID`. */
export function openCharter(sealed: Uint8Array, operatorKey: Uint8Array, genesis: Genesis): SignedCharter {
  const [sealedTerms, body] = parts(sealed);
  const terms = openTerms(sealedTerms, operatorKey, genesis);
  if (sha256(body) !== terms.hash)
    throw new PresageError('CHARTER_INVALID', 'the document was not signed so');
  const { genesis: own, charter } = parse(body);
  const { version, epochMs, committee } = charter;
  if (
    own !== genesis ||
    version !== terms.version ||
    epochMs !== terms.epochMs ||
    committee !== terms.committee
  ) {
    throw new PresageError('CHARTER_INVALID', 'its terms are not those of its document');
  }
  return { charter, terms, sealedTerms, sealed };
}

function parts(sealed: Uint8Array): [sealedTerms: Uint8Array, document: Uint8Array] {
  try {
    const spec = { name: 'charter', maxBytes: CHARTER_BYTES, depth: 1, elements: 3, schema: envelope };
    return decode(sealed, spec);
  } catch (error) {
    throw new PresageError('CHARTER_INVALID', (error as Error).message, {}, error);
  }
}

function siteRow(s: Site): unknown[] {
  const { dropParameters, sortParameters, ignoreQuery } = s.normalise;
  return [
    s.id,
    s.hosts,
    s.origin,
    s.originHost ?? null,
    s.secret,
    [dropParameters, Number(sortParameters), Number(ignoreQuery)],
    s.allow,
    Number(s.private),
    SHIELDS.indexOf(s.shield),
    CUT_OFFS.indexOf(s.cutOff),
    s.zone ?? null,
    (s.accessKeys ?? []).map(({ id, secret }) => [id, secret]),
  ];
}

function siteOf(row: v.InferOutput<typeof site>): Site {
  const [
    id,
    hosts,
    origin,
    originHost,
    secret,
    [drop, sort, ignore],
    allow,
    isPrivate,
    shield,
    cutOff,
    zone,
    accessKeys,
  ] = row;
  const normalise: Normalisation = {
    dropParameters: drop,
    sortParameters: sort === 1,
    ignoreQuery: ignore === 1,
  };
  return {
    id: id as SiteId,
    hosts,
    origin,
    ...(originHost !== null && { originHost }),
    secret,
    normalise,
    allow,
    private: isPrivate === 1,
    ...(accessKeys.length > 0 && { accessKeys: accessKeys.map(([id, secret]) => ({ id, secret })) }),
    shield: SHIELDS[shield],
    cutOff: CUT_OFFS[cutOff],
    ...(zone !== null && { zone }),
  };
}

function parse(body: Uint8Array): { genesis: Genesis; charter: Charter } {
  let fields: v.InferOutput<typeof schema>;
  try {
    fields = decode(body, { name: 'charter', maxBytes: CHARTER_BYTES, depth: 5, elements: ELEMENTS, schema });
  } catch (error) {
    throw new PresageError('CHARTER_INVALID', (error as Error).message, {}, error);
  }
  const [, genesis, version, cluster, epochMs, horizonMs, committee, regions, distances, networks] = fields;
  const charter: Charter = {
    version,
    cluster,
    epochMs,
    horizonMs,
    committee,
    regions,
    distances: record(distances.map(([region, row]) => [region, record(row)])),
    networks: networks.map(([cidr, region]) => ({ cidr, region })),
    countries: record(fields[10]),
    defaultRegion: fields[11],
    sites: fields[12].map(siteOf),
  };
  consistent(charter);
  return { genesis, charter };
}

/** Names come from outside, `__proto__` among them: defined, never assigned. */
const record = <T>(entries: readonly (readonly [string, T])[]): Record<string, T> =>
  Object.fromEntries(entries);

function consistent(charter: Charter): void {
  const fail = (what: string): never => {
    throw new PresageError('CHARTER_INVALID', what);
  };
  const regions = new Set<string>(charter.regions);
  const known = (region: RegionId | string, where: string) =>
    regions.has(region) || fail(`${where} names the region ${region}, which \`regions\` does not list`);
  if (regions.size !== charter.regions.length) fail('a region is listed twice');
  known(charter.defaultRegion, 'defaultRegion');
  for (const { cidr, region } of charter.networks) known(region, `the network ${cidr}`);
  for (const [country, region] of Object.entries(charter.countries)) known(region, `the country ${country}`);
  for (const region of Object.keys(charter.distances)) known(region, 'distances');
  const ids = new Set<string>();
  const hosts = new Set<string>();
  for (const { id, hosts: own, accessKeys = [] } of charter.sites) {
    if (ids.has(id)) fail(`the site ${id} is listed twice`);
    ids.add(id);
    if (new Set(accessKeys.map((key) => key.id)).size !== accessKeys.length)
      fail(`the site ${id} lists an access key twice`);
    for (const host of own) {
      if (hosts.has(host)) fail(`the host ${host} belongs to two sites`);
      hosts.add(host);
    }
  }
}
