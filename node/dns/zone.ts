import type { Charter } from '../../protocol/charter.ts';
import { PresageError } from '../../protocol/errors.ts';
import type { SiteId } from '../../protocol/ids.ts';
import { ZoneKey } from './dnssec/key.ts';
import { ZoneSigner } from './dnssec/signer.ts';
import { type NameKey, nameBytes, nameKey, parentAt } from './name.ts';
import { rdataBytes, seconds, TYPE, type TypeName, typeNumber } from './rdata.ts';
import { type RecordSet, recordSet } from './record-set.ts';

/** Static records of all zones together. */
const MAX_RECORDS = 1_000_000;
const DEFAULT_TTL_SECONDS = 300;

/** A static record; `value` is its data in presentation format, as in a zone file. */
export interface RecordConfig {
  /** Relative to the zone, `@` for its apex, or absolute with a final dot; `*` as the first label is a wildcard. */
  readonly name: string;
  readonly type: TypeName;
  readonly ttl?: number | undefined;
  readonly value: string;
}

/** A zone that is answered with authority. */
export interface ZoneConfig {
  /** Apex, such as `cdn.example.`; `.` answers every name (a lone daemon, a demo). */
  readonly name: string;
  /** Site whose PoPs the apex and `<label>.r.<apex>` are answered with. */
  readonly site?: SiteId | undefined;
  /** Name servers. By default `ns1` and `ns2` in the zone, answered with the nearest and the second nearest PoP. */
  readonly ns?: readonly string[] | undefined;
  /** Mailbox of the zone's keeper as a name; by default `hostmaster` in the zone. */
  readonly hostmaster?: string | undefined;
  readonly serial?: number | undefined;
  /** Seconds for which resolvers remember that a name does not exist (RFC 2308); 60 by default. */
  readonly negativeTtl?: number | undefined;
  readonly records?: readonly RecordConfig[] | undefined;
  /** Private keys in PEM, ECDSA on P-256: the first signs answers, others are published for a change of keys. */
  readonly keys?: readonly string[] | undefined;
}

/** A name of which something is known. */
export interface Node {
  readonly zone: Zone;
  readonly key: NameKey;
  readonly sets: Map<number, RecordSet>;
  /** Where authority ends, if it ends at this name or above it: the node with the name servers of the zone below. */
  cut: Node | undefined;
  /** Whether it is the `r` of a site's zone, and no name below it stands in the zone. */
  resources: boolean;
  /** A PoP is the answer: the nearest of the site (0) or the one after that (1). */
  routed: { readonly site: SiteId; readonly rank: number } | undefined;
}

export interface Zone {
  readonly key: NameKey;
  readonly site: SiteId | undefined;
  readonly soa: RecordSet;
  /** The SOA record for negative answers, whose TTL is bounded by its minimum (RFC 2308 §3). Owner: see `RecordSet`. */
  readonly negative: RecordSet;
  /** Absent where answers are not signed. */
  readonly signer: ZoneSigner | undefined;
}

/** All zones of a server, compiled. Immutable after it is built: a change of configuration builds another. */
export class Zones {
  readonly #nodes = new Map<NameKey, Node>();
  readonly #zones = new Map<NameKey, Zone>();

  /** Fails with `CONFIG_INVALID`, the record named. */
  constructor(configs: readonly ZoneConfig[]) {
    let records = 0;
    for (const config of configs) {
      records += config.records?.length ?? 0;
      if (records > MAX_RECORDS) {
        throw new PresageError('CONFIG_INVALID', `dns.zones: more than ${MAX_RECORDS} records`);
      }
      this.#add(config);
    }
    for (const [key, node] of this.#nodes) {
      // What a parent zone says below the apex of a zone that is ours too does not count.
      if (this.zoneOf(key) !== node.zone) this.#nodes.delete(key);
      else node.cut = this.#cutAbove(node);
    }
    for (const zone of this.#zones.values()) {
      const node = this.#nodes.get(`\u0001r${zone.key}`);
      if (node?.zone === zone && zone.site !== undefined) node.resources = node.cut === undefined;
    }
    for (const { key } of this.#nodes.values()) {
      const above = this.#nodes.get(key.slice(parentAt(key)));
      if (above && above.key !== key) above.resources = false;
    }
  }

  /** The highest node between a name and its apex at which name servers of another zone stand. */
  #cutAbove(node: Node): Node | undefined {
    let cut: Node | undefined;
    for (let key = node.key; key !== node.zone.key; key = key.slice(parentAt(key))) {
      const above = this.#nodes.get(key);
      if (above?.sets.has(TYPE.NS)) cut = above;
    }
    return cut;
  }

  get size(): number {
    return this.#zones.size;
  }

  /** The node of exactly this name; also of empty names between others. */
  node(key: NameKey): Node | undefined {
    return this.#nodes.get(key);
  }

  /** The zone with exactly this apex. */
  zone(key: NameKey): Zone | undefined {
    return this.#zones.get(key);
  }

  /** The closest zone that holds a name. */
  zoneOf(key: NameKey): Zone | undefined {
    for (let at = 0; ; at = parentAt(key, at)) {
      const zone = this.#zones.get(at === 0 ? key : key.slice(at));
      if (zone || key.charCodeAt(at) === 0) return zone;
    }
  }

  #add(config: ZoneConfig): void {
    const origin = nameBytes(config.name);
    const apex = nameKey(origin);
    if (this.#zones.has(apex)) {
      throw new PresageError('CONFIG_INVALID', `dns.zones: ${config.name} is there twice`);
    }
    const sets = new Map<NameKey, Map<number, { ttl: number; rdata: Uint8Array[] }>>();
    const put = (name: string, type: TypeName, ttl: number, value: string) => {
      const wire = nameBytes(name, origin);
      const key = nameKey(wire);
      if (!isWithin(key, apex)) {
        throw new PresageError('CONFIG_INVALID', `dns.zones: ${name} is not in ${config.name}`);
      }
      const types = sets.get(key) ?? new Map<number, { ttl: number; rdata: Uint8Array[] }>();
      sets.set(key, types);
      const number = typeNumber(type);
      if (number === undefined) {
        throw new PresageError('CONFIG_INVALID', `dns.zones: ${name} has the unknown type ${type}`);
      }
      const data = rdataBytes(type, value, origin);
      const set = types.get(number) ?? { ttl, rdata: [] };
      types.set(number, set);
      // Records of one set have one TTL, the least that was given (RFC 2181 §5.2).
      set.ttl = Math.min(set.ttl, ttl);
      if (!set.rdata.some((other) => Buffer.compare(other, data) === 0)) set.rdata.push(data);
    };
    for (const record of config.records ?? []) {
      const ttl = record.ttl ?? DEFAULT_TTL_SECONDS;
      seconds(String(ttl), () => new PresageError('CONFIG_INVALID', `DNS record ${record.name}: TTL ${ttl}`));
      put(record.name, record.type, ttl, record.value);
    }
    const own = sets.get(apex);
    const negativeTtl = config.negativeTtl ?? 60;
    const ns = config.ns ?? ['ns1', 'ns2'];
    const ownNames = own?.has(TYPE.NS) ?? false;
    if (!ownNames) for (const name of ns) put('@', 'NS', 3600, name);
    if (!own?.has(TYPE.SOA)) {
      const mailbox = config.hostmaster ?? 'hostmaster';
      put(
        '@',
        'SOA',
        3600,
        `${ns[0] ?? 'ns1'} ${mailbox} ${config.serial ?? 1} 3600 600 604800 ${negativeTtl}`,
      );
    }
    const apexSets = sets.get(apex)!;
    const soaSet = apexSets.get(TYPE.SOA)!;
    if (soaSet.rdata.length !== 1) {
      throw new PresageError('CONFIG_INVALID', `dns.zones: ${config.name} has several SOA records`);
    }
    const [soaData] = soaSet.rdata;
    const minimum = Buffer.from(soaData!).readUInt32BE(soaData!.length - 4);
    const negative = recordSet(TYPE.SOA, Math.min(soaSet.ttl, minimum), soaSet.rdata);
    const [first, ...others] = (config.keys ?? []).map((pem) => new ZoneKey(pem, `key of ${config.name}`));
    const zone: Zone = {
      key: apex,
      site: config.site,
      soa: recordSet(TYPE.SOA, soaSet.ttl, soaSet.rdata),
      negative,
      signer: first && new ZoneSigner(apex, [first, ...others], negative.ttl),
    };
    this.#zones.set(apex, zone);

    for (const [key, types] of sets) {
      if (types.has(TYPE.CNAME) && (types.size > 1 || types.get(TYPE.CNAME)!.rdata.length > 1)) {
        throw new PresageError(
          'CONFIG_INVALID',
          `dns.zones: ${config.name} has a CNAME beside other records`,
        );
      }
      const node = this.#make(key, zone);
      for (const [type, { ttl, rdata }] of types) node.sets.set(type, recordSet(type, ttl, rdata));
    }
    if (config.site === undefined) return;
    const apexNode = this.#make(apex, zone);
    if (!apexNode.sets.has(TYPE.A) && !apexNode.sets.has(TYPE.AAAA)) {
      apexNode.routed = { site: config.site, rank: 0 };
    }
    this.#make(nameKey(nameBytes('r', origin)), zone);
    if (config.ns !== undefined || ownNames) return;
    ns.forEach((name, rank) => {
      const node = this.#make(nameKey(nameBytes(name, origin)), zone);
      if (node.sets.size === 0) node.routed = { site: config.site!, rank };
    });
  }

  /** The node of a name, made if need be, with all empty ones up to the apex. */
  #make(key: NameKey, zone: Zone): Node {
    const known = this.#nodes.get(key);
    if (known && known.zone === zone) return known;
    // A zone's own apex replaces what a parent zone says of that name, apart from the delegation it may hold.
    const node: Node = { zone, key, sets: new Map(), cut: undefined, resources: false, routed: undefined };
    if (!known || known.zone.key.length < zone.key.length) this.#nodes.set(key, node);
    if (key !== zone.key) this.#make(key.slice(parentAt(key)), zone);
    return node;
  }
}

/** Whether a name is an apex or below it. */
export function isWithin(key: NameKey, apex: NameKey): boolean {
  if (!key.endsWith(apex)) return false;
  let at = 0;
  while (at < key.length - apex.length) at = parentAt(key, at);
  return at === key.length - apex.length;
}

/**
 * Zones as configured, completed with one for each site of the charter that names a zone. A configured zone keeps
 * its records; without a site it takes the one whose zone or host it is, or else the site for all hosts. If there is no
 * zone at all but a site for all hosts, as at a PoP alone, that site is answered for every name: zone `.`.
 */
export function zonesOfCharter(
  charter: Pick<Charter, 'sites'>,
  configured: readonly ZoneConfig[] = [],
): ZoneConfig[] {
  const bare = (name: string) => name.replace(/\.$/, '').toLowerCase();
  const { sites } = charter;
  const everywhere = sites.find(({ hosts }) => hosts.includes('*'));
  const zones = new Map<string, ZoneConfig>();
  for (const zone of configured) {
    const name = bare(zone.name);
    const owner =
      sites.find((site) => site.zone !== undefined && bare(site.zone) === name) ??
      sites.find(({ hosts }) => hosts.includes(name)) ??
      everywhere;
    const site = zone.site ?? owner?.id;
    zones.set(name, { ...zone, name: `${name}.`, ...(site !== undefined && { site }) });
  }
  for (const { id, zone } of sites) {
    if (zone !== undefined && !zones.has(bare(zone)))
      zones.set(bare(zone), { name: `${bare(zone)}.`, site: id });
  }
  if (zones.size === 0 && everywhere) return [{ name: '.', site: everywhere.id }];
  return [...zones.values()];
}
