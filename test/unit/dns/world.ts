import * as packets from 'dns-packet';
import { addressBytes } from '../../../node/dns/address.ts';
import { Cookies } from '../../../node/dns/cookie.ts';
import { RateLimit, type RateLimitOptions } from '../../../node/dns/rate-limit.ts';
import { Resolution } from '../../../node/dns/resolution.ts';
import { Responder, type Transport } from '../../../node/dns/responder.ts';
import { Texts } from '../../../node/dns/texts.ts';
import { type ZoneConfig, Zones } from '../../../node/dns/zone.ts';
import type { Charter } from '../../../protocol/charter.ts';
import { createGeography } from '../../../protocol/geography.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import { type RoutingPop, RoutingTable } from '../../../protocol/routing.ts';

const region = (name: string) => name as RegionId;
export const shop = 'shop' as SiteId;
/** Held by the PoP in Boston alone. */
export const heldInBoston = 'b0'.repeat(16) as Key16;

/** Zones, PoPs and clients of the tests: eu (the default) with Paris, us with Boston; 198.51.100.0/24 is in us. */
export const zones: ZoneConfig[] = [
  {
    name: 'cdn.example.',
    site: shop,
    records: [
      { name: '@', type: 'MX', value: '10 mail' },
      { name: 'static', type: 'A', ttl: 60, value: '203.0.113.7' },
      { name: 'static', type: 'A', ttl: 120, value: '203.0.113.8' },
      { name: 'alias', type: 'CNAME', value: 'static' },
      { name: 'alias2', type: 'CNAME', value: 'alias' },
      { name: 'toward', type: 'CNAME', value: 'www' },
      { name: 'away', type: 'CNAME', value: 'elsewhere.example.net.' },
      { name: 'dangling', type: 'CNAME', value: 'missing' },
      { name: 'loop1', type: 'CNAME', value: 'loop2' },
      { name: 'loop2', type: 'CNAME', value: 'loop1' },
      { name: '*.wild', type: 'TXT', value: '"any name"' },
      { name: '*.cname', type: 'CNAME', value: 'static' },
      { name: 'real.wild', type: 'A', value: '203.0.113.10' },
      { name: 'a.b.deep', type: 'A', value: '203.0.113.11' },
      { name: 'sub', type: 'NS', value: 'ns.sub' },
      { name: 'sub', type: 'NS', value: 'ns.elsewhere.example.' },
      { name: 'ns.sub', type: 'A', value: '203.0.113.9' },
      ...Array.from({ length: 60 }, (_, i) => ({
        name: 'long',
        type: 'TXT' as const,
        value: `"${String(i).padStart(60, 'x')}"`,
      })),
    ],
  },
  { name: 'child.cdn.example.', records: [{ name: 'x', type: 'A', value: '203.0.113.12' }] },
];

export const charter = {
  regions: [region('eu'), region('us')],
  distances: { eu: { paris: 10, boston: 90 }, us: { paris: 90, boston: 10 } },
  defaultRegion: region('eu'),
  networks: [
    { cidr: '198.51.100.0/24', region: region('us') },
    { cidr: '2001:db8:100::/40', region: region('us') },
  ],
  countries: {},
  sites: [{ id: shop, allow: ['*'] } as unknown as Charter['sites'][number]],
};

function pop(name: string, at: string, n: number, over: Partial<RoutingPop> = {}): RoutingPop {
  return {
    id: `id-${name}` as PopId,
    name,
    region: region(at),
    addresses: { v4: [`192.0.2.${n}`], v6: [`2001:db8:f::${n}`] },
    load: 0,
    state: 'up',
    reachable: true,
    ...over,
  };
}

export interface WorldOptions {
  readonly paris?: Partial<RoutingPop>;
  readonly boston?: Partial<RoutingPop>;
  readonly noPops?: boolean;
  readonly zones?: readonly ZoneConfig[];
  readonly rateLimit?: RateLimitOptions;
  readonly siteOfName?: (name: string) => SiteId | undefined;
}

/** What the codec gives, with what its types leave out. */
export type Asked = Omit<packets.DecodedPacket, 'answers'> & {
  readonly bytes: Uint8Array;
  readonly rcode: string;
  readonly answers?: {
    readonly name: string;
    readonly type: string;
    readonly ttl: number;
    readonly data: unknown;
  }[];
};

/** A responder without sockets, and a client that speaks through an independent codec. */
export function createWorld(options: WorldOptions = {}) {
  const time = { nowMs: 1_700_000_000_000 };
  const compiled = new Zones(options.zones ?? zones);
  const texts = new Texts();
  const geography = createGeography(charter);
  const build = (over: WorldOptions) =>
    RoutingTable.build({
      charter,
      pops: over.noPops ? [] : [pop('paris', 'eu', 1, over.paris), pop('boston', 'us', 2, over.boston)],
      holders: (key16) => (key16 === heldInBoston ? ['id-boston' as PopId] : undefined),
      preferred: () => undefined,
      epoch: 1,
    });
  const world = { table: build(options) };
  const responder = new Responder(
    { ttlSeconds: 30, maxUdpBytes: 1232, nsid: 'pop-1', tcpIdleMs: 10_000 },
    {
      zones: compiled,
      resolution: new Resolution(
        compiled,
        texts,
        options.siteOfName ?? ((name) => (name === 'www.cdn.example' ? shop : undefined)),
      ),
      table: () => world.table,
      regionOf: (address, prefixLength) => geography.locate(address, prefixLength),
      cookies: new Cookies(Buffer.from('e5e973e5a6b2a43f48e7dc849e37bfcf', 'hex')),
      rateLimit: options.rateLimit && new RateLimit(options.rateLimit, 7),
      now: () => time.nowMs,
    },
  );
  const raw = (bytes: Uint8Array, client = '203.0.113.50', transport: Transport = 'udp') =>
    responder.respond(bytes, addressBytes(client)!, transport);
  return {
    time,
    texts,
    zones: compiled,
    responder,
    raw,
    rebuild: (over: WorldOptions) => {
      world.table = build(over);
    },
    /** Asks; fails the test if there is no answer. */
    ask(
      name: string,
      type: string,
      how: { client?: string; transport?: Transport; edns?: EdnsQuery; flags?: number; class?: string } = {},
    ): Asked {
      const bytes = raw(query(name, type, how), how.client, how.transport);
      if (!bytes) throw new Error(`no answer to ${name} ${type}`);
      return Object.assign(packets.decode(Buffer.from(bytes)), { bytes }) as unknown as Asked;
    },
  };
}

export interface EdnsQuery {
  readonly size?: number;
  readonly version?: number;
  readonly dnssecOk?: boolean;
  readonly compactOk?: boolean;
  /** Options by number. */
  readonly options?: readonly (readonly [code: number, data: Uint8Array])[];
}

/** A query as the independent codec writes it. */
export function query(
  name: string,
  type: string,
  how: { edns?: EdnsQuery; flags?: number; class?: string; id?: number } = {},
): Buffer {
  const { edns } = how;
  return packets.encode({
    type: 'query',
    id: how.id ?? 4711,
    flags: how.flags ?? 0,
    questions: [
      { name, type: type as packets.RecordType, class: (how.class ?? 'IN') as packets.RecordClass },
    ],
    additionals: edns
      ? [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: edns.size ?? 1232,
            extendedRcode: 0,
            ednsVersion: edns.version ?? 0,
            flags: (edns.dnssecOk ? 0x8000 : 0) | (edns.compactOk ? 0x4000 : 0),
            flag_do: edns.dnssecOk ?? false,
            options: (edns.options ?? []).map(([code, data]) => ({ code, data: Buffer.from(data) })) as never,
          },
        ]
      : [],
  });
}

/** A client subnet option: family 1 or 2, prefix length, address bytes. */
export const subnet = (family: number, source: number, address: readonly number[], scope = 0) =>
  [8, Uint8Array.of(family >> 8, family & 255, source, scope, ...address)] as const;

/** Response code with its upper bits from OPT. */
export function rcodeOf(bytes: Uint8Array): number {
  const low = bytes[3]! & 15;
  const decoded = packets.decode(Buffer.from(bytes));
  const opt = decoded.additionals?.find(({ type }) => type === 'OPT') as
    | { extendedRcode: number }
    | undefined;
  return ((opt?.extendedRcode ?? 0) << 4) | low;
}

/** The data of an option in an answer, if it is there. */
export function optionOf(answer: Asked, code: number): Buffer | undefined {
  const opt = answer.additionals?.find(({ type }) => type === 'OPT') as
    | { options: { code: number; data: Buffer }[] }
    | undefined;
  return opt?.options.find((option) => option.code === code)?.data;
}
