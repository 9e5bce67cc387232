import { hkdfSync, type KeyObject } from 'node:crypto';
import { parse } from 'smol-toml';
import * as v from 'valibot';
import type { AccessKey, Charter, Site } from '../../protocol/charter.ts';
import { COMMITTEE_MAX } from '../../protocol/charter-terms.ts';
import { COMMITTEE_SIZE } from '../../protocol/committee.ts';
import { coded, PresageError } from '../../protocol/errors.ts';
import type { Genesis } from '../../protocol/genesis.ts';
import type { RegionId, SiteId } from '../../protocol/ids.ts';
import { parseDuration } from '../config-units.ts';

/** The charter as an operator writes it: TOML, checked key by key, with defaults for what most leave alone. */

const texts = v.array(v.string());
const duration = v.pipe(
  v.union([v.string(), v.number()]),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    try {
      return parseDuration(dataset.value);
    } catch (error) {
      addIssue({ message: (error as Error).message });
      return NEVER;
    }
  }),
);
const normalise = v.strictObject({
  dropParameters: v.optional(texts, []),
  sortParameters: v.optional(v.boolean(), false),
  ignoreQuery: v.optional(v.boolean(), false),
});
const site = v.strictObject({
  id: v.string(),
  hosts: texts,
  origin: v.string(),
  originHost: v.optional(v.string()),
  secret: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-fA-F]{64}$/, '64 hex digits'))),
  normalise: v.optional(normalise, {}),
  allow: v.optional(texts, ['*']),
  private: v.optional(v.boolean(), false),
  accessKeys: v.optional(
    v.array(
      v.union([
        v.string(),
        v.strictObject({
          id: v.string(),
          secret: v.pipe(v.string(), v.regex(/^([0-9a-fA-F]{2}){32,64}$/, '64 to 128 hex digits')),
        }),
      ]),
    ),
  ),
  shield: v.optional(v.picklist(['home', 'off']), 'home'),
  cutOff: v.optional(v.picklist(['serve-stale', 'revalidate']), 'serve-stale'),
  zone: v.optional(v.string()),
});
const schema = v.strictObject({
  version: v.pipe(v.number(), v.safeInteger(), v.minValue(1)),
  epoch: v.optional(duration, '30s'),
  horizon: v.optional(duration, '2h'),
  committee: v.optional(
    v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(COMMITTEE_MAX)),
    COMMITTEE_SIZE,
  ),
  regions: v.pipe(texts, v.minLength(1)),
  defaultRegion: v.optional(v.string()),
  distances: v.optional(v.record(v.string(), v.record(v.string(), v.number())), {}),
  countries: v.optional(v.record(v.string(), v.string()), {}),
  networks: v.optional(v.array(v.strictObject({ cidr: v.string(), region: v.string() })), []),
  sites: v.optional(v.array(site), []),
});

/** Id of the access key of a private site that lists none. */
const FIRST_ACCESS_KEY = '1';

/**
 * Fails with `CHARTER_INVALID` naming the key. A site without a `secret` gets one that follows from the operator's
 * key and the site's id, the same in every edition; so does an access key that is given by its id alone.
 */
export function charterFromToml(
  text: string,
  cluster: string,
  genesis: Genesis,
  operator: KeyObject,
): Charter {
  let raw: unknown;
  try {
    raw = parse(text);
  } catch (error) {
    throw new PresageError('CHARTER_INVALID', coded(error).message, {}, error);
  }
  const result = v.safeParse(schema, raw, { abortEarly: true });
  if (!result.success) {
    const [issue] = result.issues;
    throw new PresageError('CHARTER_INVALID', `${v.getDotPath(issue) ?? 'charter'}: ${issue.message}`);
  }
  const {
    version,
    epoch,
    horizon,
    committee,
    regions,
    defaultRegion,
    distances,
    countries,
    networks,
    sites,
  } = result.output;
  return {
    version,
    cluster,
    epochMs: epoch,
    horizonMs: horizon,
    committee,
    regions: regions as RegionId[],
    distances,
    networks: networks.map(({ cidr, region }) => ({ cidr, region: region as RegionId })),
    countries: countries as Record<string, RegionId>,
    defaultRegion: (defaultRegion ?? regions[0]) as RegionId,
    sites: sites.map(
      ({ id, secret, originHost, zone, accessKeys, ...rest }): Site => ({
        ...rest,
        id: id as SiteId,
        ...(rest.private && {
          accessKeys: (accessKeys ?? [FIRST_ACCESS_KEY]).map((key) => accessKey(operator, genesis, id, key)),
        }),
        ...(originHost !== undefined && { originHost }),
        ...(zone !== undefined && { zone }),
        secret: secret ? new Uint8Array(Buffer.from(secret, 'hex')) : siteSecret(operator, genesis, id),
      }),
    ),
  };
}

const siteSecret = (operator: KeyObject, genesis: Genesis, id: string): Uint8Array =>
  derived(operator, genesis, `presage/site-secret/1 ${id}`);

function accessKey(
  operator: KeyObject,
  genesis: Genesis,
  site: string,
  given: string | { id: string; secret: string },
): AccessKey {
  if (typeof given !== 'string')
    return { id: given.id, secret: new Uint8Array(Buffer.from(given.secret, 'hex')) };
  return { id: given, secret: derived(operator, genesis, `presage/access-key/1 ${site} ${given}`) };
}

function derived(operator: KeyObject, genesis: Genesis, info: string): Uint8Array {
  const seed = Buffer.from(operator.export({ format: 'jwk' }).d ?? '', 'base64url');
  return new Uint8Array(hkdfSync('sha256', seed, genesis, info, 32));
}
