import { createHash } from 'node:crypto';
import type { Papers } from '../../../node/simulator/simulated-pop.ts';
import { type Certificate, issue } from '../../../protocol/certificate.ts';
import type { Charter } from '../../../protocol/charter.ts';
import { encodeCharter, openCharter } from '../../../protocol/charter-document.ts';
import { FOUNDERS_MAX, type Founder, issueFounders } from '../../../protocol/founders.ts';
import { type Cluster, genesisOf } from '../../../protocol/genesis.ts';
import {
  type Key16,
  key16Of,
  type PopId,
  type RegionId,
  type ResourceKey,
  type SiteId,
} from '../../../protocol/ids.ts';
import { popIdOf, rawPublicKey } from '../../../protocol/pop-key.ts';
import { issueRevocations, verifyRevocations } from '../../../protocol/revocation.ts';
import { keyOf } from '../../property/decision/cluster.ts';

const operator = keyOf('operator of the simulated cluster');
const operatorKey = rawPublicKey(operator);
const CLUSTER: Cluster = { operatorKey, name: 'simulated', generation: 1 };
export const GENESIS = genesisOf(CLUSTER);
export const REGIONS = ['east', 'north', 'south', 'west'] as RegionId[];
const YEAR_MS = 365 * 86_400_000;
const BEGIN_MS = 1_700_000_000_000;

/** One site serves what it holds while it is cut off, the other has it validated first. */
export const STALE_HOST = 'files.example';
export const STRICT_HOST = 'strict.example';

interface Certified extends Founder {
  readonly key: Papers['key'];
}
const certified = new Map<number, Certified>();

/** The same PoPs in every scenario: keys and certificates are made once a process. */
export function popOf(index: number): Certified {
  const known = certified.get(index);
  if (known) return known;
  const key = keyOf(`simulated pop ${index}`);
  const certificate: Certificate = {
    ...{ genesis: GENESIS, pop: popIdOf(key), name: `pop-${index}`, region: regionOf(index) },
    ...{ addressesV4: [], addressesV6: [], ports: { http: 0, https: 0, dns: 0 } },
    ...{
      storageCeilingMiB: 0,
      fillCeilingKiBps: 0,
      notBefore: BEGIN_MS - YEAR_MS,
      expiry: BEGIN_MS + YEAR_MS,
    },
  };
  const made = { key, certificate, sealed: issue(certificate, operator) };
  certified.set(index, made);
  return made;
}

export const regionOf = (index: number): RegionId => REGIONS[index % REGIONS.length]!;

/** A client's address in a PoP's region. */
export const addressIn = (index: number, client: number): string =>
  `10.${index % REGIONS.length}.${client % 250}.7`;

/** `speed`: of demand time against real time; plans look four windows ahead. */
export function charterOf(epochMs: number, speed: number): Charter {
  const site = (id: string, host: string, cutOff: 'serve-stale' | 'revalidate') => ({
    ...{ id: id as SiteId, hosts: [host], origin: `http://${host}` },
    secret: new Uint8Array(createHash('sha256').update(id).digest()),
    normalise: { dropParameters: [], sortParameters: true, ignoreQuery: false },
    ...{ allow: ['*'], private: false, shield: 'home' as const, cutOff },
  });
  return {
    ...{ version: 1, cluster: 'simulated', epochMs, horizonMs: 4 * epochMs * speed, committee: 13 },
    regions: REGIONS,
    distances: Object.fromEntries(
      REGIONS.map((a) => [a, Object.fromEntries(REGIONS.map((b) => [b, a === b ? 10 : 90]))]),
    ),
    networks: REGIONS.map((region, at) => ({ cidr: `10.${at}.0.0/16`, region })),
    ...{ countries: {}, defaultRegion: REGIONS[0]! },
    sites: [site('files', STALE_HOST, 'serve-stale'), site('strict', STRICT_HOST, 'revalidate')],
  };
}

/** A resource's keyed hash, under the secret of its site. */
export function key16In({ sites }: Charter, key: string): Key16 {
  const { secret } = sites.find(({ hosts }) => hosts.some((host) => key.startsWith(`${host}/`)))!;
  return key16Of(key as ResourceKey, secret);
}

/** The charter as the operator signed it. */
export const signedCharter = (charter: Charter) =>
  openCharter(encodeCharter(charter, GENESIS, operator), operatorKey, GENESIS);

/** What the operator gave each of a cluster's PoPs; those after the first `founders` came later. */
export function papersOf(pops: number, founders: number, charter: Charter): Papers[] {
  const list = Array.from({ length: founders }, (_, index) => popOf(index)).sort((a, b) =>
    a.certificate.pop < b.certificate.pop ? -1 : 1,
  );
  const signed = signedCharter(charter);
  const sealedFounders =
    founders > FOUNDERS_MAX
      ? undefined
      : issueFounders(
          list.map(({ sealed }) => sealed),
          GENESIS,
          operator,
        );
  return Array.from({ length: pops }, (_, index): Papers => {
    const { key, certificate, sealed } = popOf(index);
    const founding = index < founders;
    return {
      ...{ key, own: { certificate, sealed }, cluster: CLUSTER, genesis: GENESIS, charter: signed },
      founders: founding ? list : undefined,
      sealedFounders: founding ? sealedFounders : undefined,
    };
  });
}

export const revocationsOf = (pops: readonly PopId[], version = 1): Uint8Array =>
  issueRevocations(
    { genesis: GENESIS, version, revoked: pops.map((pop) => ({ pop, at: BEGIN_MS, reason: 'simulated' })) },
    operator,
  );

interface Revocations {
  readonly version: number;
  readonly revoked: readonly PopId[];
}

/** A list is one array wherever it is told on, and checked once. */
const READ = new WeakMap<Uint8Array, Revocations>();

export function readRevocations(list: Uint8Array): Revocations {
  let read = READ.get(list);
  if (!read) {
    const { version, revoked } = verifyRevocations(list, operatorKey, GENESIS);
    read = { version, revoked: revoked.map(({ pop }) => pop) };
    READ.set(list, read);
  }
  return read;
}
