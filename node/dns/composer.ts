import type { Located } from '../../protocol/geography.ts';
import type { RoutingTable } from '../../protocol/routing.ts';
import { addressBytes } from './address.ts';
import { type Answer, FLAG_AA } from './answer.ts';
import { type NameKey, nameKey, parentAt } from './name.ts';
import { FAMILY_NONE, FAMILY_V4, HEADER_BYTES, type Query, RCODE } from './query.ts';
import { TYPE } from './rdata.ts';
import { type RecordSet, recordSet } from './record-set.ts';
import type { Found, Resolution } from './resolution.ts';
import type { Zone, Zones } from './zone.ts';

/** Links of a chain of aliases that are followed within our zones. */
const MAX_CHAIN = 8;
/** Addresses of one PoP in an answer: more would only lengthen it. */
const MAX_ADDRESSES = 8;
/** Address records kept from table to table; dropped whole when there are more, as after many changes. */
const MAX_ADDRESS_SETS = 16_384;
/** Says in a denial that the name does not exist (RFC 9824 §2); never asked for. */
const TYPE_NXNAME = 128;
const TYPE_IXFR = 251;
const TYPE_AXFR = 252;
const TYPE_ANY = 255;
const CLASS_IN = 1;
/** RFC 8482 §4.2: what a question for everything gets. */
const ANY_ANSWER = recordSet(TYPE.HINFO, 3600, [Buffer.from('\u0007RFC8482\u0000', 'latin1')]);

export interface ComposerDeps {
  readonly zones: Zones;
  readonly resolution: Resolution;
  readonly table: () => RoutingTable;
  /** Region of an address of 4 or 16 bytes, of which `prefixLength` bits are known. */
  readonly regionOf: (address: Uint8Array, prefixLength: number) => Pick<Located, 'region' | 'scope'>;
}

/**
 * Whether zones that sign do so: not at all, with signatures that are remembered (an answer that needs another is
 * truncated), or with whatever is needed.
 */
export type Signing = 'no' | 'remembered' | 'yes';

/** Finds what a question is answered with, and writes it: records, the PoP for this client, referrals, denials. */
export class Composer {
  /** Of the last answer: for how much of the client's subnet it holds. */
  scope = 0;
  /** Of the last answer: whether a zone that it is from signs. */
  signable = false;
  /** Signatures that were made for the last answer. */
  signatures = 0;
  readonly #ttlSeconds: number;
  readonly #deps: ComposerDeps;
  readonly #answer: Answer;
  #table: RoutingTable | undefined;
  /** Prepared address records of the table's PoPs: index × 2, plus 1 for IPv6. */
  #addresses: (RecordSet | undefined)[] = [];
  /** The same by content, so that a table that says the same has the same records, and signatures of them hold. */
  readonly #addressSets = new Map<string, RecordSet>();
  readonly #mergers = new WeakMap<RecordSet, { readonly own: RecordSet; readonly merged: RecordSet }>();
  #turn = 0;
  #query!: Query;
  #client: Uint8Array = new Uint8Array(4);
  #nowMs = 0;
  #signing: Signing = 'no';
  /** Names of the chain that is followed. */
  readonly #chain: NameKey[] = [];

  /** `ttlSeconds`: of answers that name a PoP. */
  constructor(ttlSeconds: number, answer: Answer, deps: ComposerDeps) {
    this.#ttlSeconds = ttlSeconds;
    this.#answer = answer;
    this.#deps = deps;
  }

  /** Before an answer that may have no question. */
  reset(): void {
    this.scope = this.signatures = 0;
    this.signable = false;
  }

  /** Writes all sections but OPT into the answer that has begun. */
  compose(query: Query, client: Uint8Array, nowMs: number, signing: Signing): void {
    this.#query = query;
    this.#client = client;
    this.#nowMs = nowMs;
    this.#signing = signing;
    this.reset();
    const answer = this.#answer;
    if (query.class !== CLASS_IN || query.type === TYPE_AXFR || query.type === TYPE_IXFR)
      answer.rcode = RCODE.REFUSED;
    // OPT is no type of data, and NXNAME never asked for (RFC 9824 §3.5).
    else if (query.type === 41 || query.type === TYPE_NXNAME) answer.rcode = RCODE.FORMERR;
    else if (query.type > TYPE_NXNAME && query.type < TYPE_ANY) answer.rcode = RCODE.NOTIMP;
    else this.#follow();
  }

  #follow(): void {
    const { type } = this.#query;
    let { key } = this.#query;
    /** Where the name `key` stands in the answer. */
    let owner = HEADER_BYTES;
    for (let link = 0; ; link += 1) {
      const found = this.#deps.resolution.find(key, this.#nowMs);
      if (found.kind === 'outside') {
        if (link === 0) this.#answer.rcode = RCODE.REFUSED;
        return;
      }
      const zone = found.zone!;
      if (zone.signer) this.signable = true;
      if (type === TYPE.DS && key === zone.key && this.#delegated(key, owner)) return;
      if (found.kind === 'referral' && !(found.cut!.key === key && type === TYPE.DS)) {
        this.#refer(found, zone, owner + key.length - found.cut!.key.length, link);
        return;
      }
      this.#answer.flags |= FLAG_AA;
      const alias =
        type === TYPE.CNAME ||
        type === TYPE_ANY ||
        type === TYPE.NSEC ||
        found.kind !== 'name' ||
        (type === TYPE.TXT && found.text)
          ? undefined
          : found.sets?.get(TYPE.CNAME);
      if (!alias) {
        this.#conclude(found, zone, key, owner);
        return;
      }
      const dataAt = this.#records(alias, zone, key, owner);
      if (dataAt < 0 || link >= MAX_CHAIN) return;
      this.#chain[link] = key;
      owner = dataAt;
      key = nameKey(alias.rdata[0]!);
      // A circle is shown once: no record may stand in an answer twice.
      for (let at = 0; at <= link; at += 1) if (this.#chain[at] === key) return;
    }
  }

  /** What the last name of a chain has of the type, or that it has none. */
  #conclude(found: Found, zone: Zone, key: NameKey, owner: number): void {
    const { type } = this.#query;
    const answer = this.#answer;
    if (found.kind === 'absent') {
      answer.rcode = RCODE.NXDOMAIN;
      this.#deny(zone, key, owner, [TYPE_NXNAME]);
      return;
    }
    if (type === TYPE_ANY) {
      this.#records(ANY_ANSWER, zone, key, owner);
      return;
    }
    const set =
      found.kind === 'referral' && type !== TYPE.DS ? undefined : this.#setOf(found, zone, key, type);
    if (set) {
      this.#records(set, zone, key, owner);
      return;
    }
    if (found.site !== undefined && (type === TYPE.A || type === TYPE.AAAA)) {
      const verdict = this.#route(found, zone, key, owner);
      if (verdict === 'answered') return;
      if (verdict === 'failed') {
        answer.empty();
        answer.flags &= ~FLAG_AA;
        answer.rcode = RCODE.SERVFAIL;
        return;
      }
    }
    this.#deny(zone, key, owner, this.#typesOf(found, zone, key, type));
  }

  /** Records of a name that stand in its zone, or that its signer makes. */
  #setOf(found: Found, zone: Zone, key: NameKey, type: number): RecordSet | undefined {
    const { signer } = zone;
    if (signer) {
      if (key === zone.key) {
        if (type === TYPE.DNSKEY) return signer.dnskey;
        if (type === TYPE.CDS) return signer.cds;
        if (type === TYPE.CDNSKEY) return signer.cdnskey;
      }
      if (type === TYPE.NSEC && this.#signing !== 'no')
        return signer.nsec(key, this.#typesOf(found, zone, key, TYPE_NXNAME));
    }
    const own = found.sets?.get(type);
    return type === TYPE.TXT && found.text ? this.#merged(found.text, own) : own;
  }

  /** Texts that were set beside those of the zone: one set, as a name has but one of each type. */
  #merged(text: RecordSet, own: RecordSet | undefined): RecordSet {
    if (!own) return text;
    const known = this.#mergers.get(text);
    if (known?.own === own) return known.merged;
    const merged = recordSet(TYPE.TXT, Math.min(text.ttl, own.ttl), [...text.rdata, ...own.rdata]);
    this.#mergers.set(text, { own, merged });
    return merged;
  }

  /** Types that a name has, without the one that was asked for in vain. */
  #typesOf(found: Found, zone: Zone, key: NameKey, asked: number): number[] {
    if (this.#signing === 'no' || !zone.signer) return [];
    const types = [...(found.sets?.keys() ?? [])];
    if (found.kind === 'referral') return types.filter((one) => one === TYPE.NS || one === TYPE.DS);
    if (found.site !== undefined) types.push(TYPE.A, TYPE.AAAA);
    if (found.text) types.push(TYPE.TXT);
    if (key === zone.key) types.push(TYPE.DNSKEY, TYPE.CDS, TYPE.CDNSKEY);
    return types.filter((one) => one !== asked).sort((a, b) => a - b);
  }

  /** The SOA record that bounds how long a denial is remembered, and for who verifies the proof (RFC 9824 §3). */
  #deny(zone: Zone, key: NameKey, owner: number, types: readonly number[]): void {
    this.#authority(zone.negative, zone, zone.key, owner + key.length - zone.key.length);
    const { signer } = zone;
    if (this.#signing === 'no' || !signer) return;
    this.#authority(signer.nsec(key, types), zone, key, owner);
    // The name is said to exist without data; who knows of this form is told the truth besides (RFC 9824 §5).
    if (this.#answer.rcode === RCODE.NXDOMAIN && !this.#query.compactOk) this.#answer.rcode = RCODE.NOERROR;
  }

  /** DS records of a zone of ours stand in the zone above, if that is ours too (RFC 4035 §3.1.4.1). */
  #delegated(key: NameKey, owner: number): boolean {
    const parent = key.length > 1 ? this.#deps.zones.zoneOf(key.slice(parentAt(key))) : undefined;
    if (!parent) return false;
    if (parent.signer) this.signable = true;
    this.#answer.flags |= FLAG_AA;
    const ds = this.#deps.zones.zone(key)?.signer?.ds;
    if (ds) this.#records(ds, parent, key, owner);
    else this.#deny(parent, key, owner, [TYPE.NS]);
    return true;
  }

  /** Addresses of the PoP for this client: written, or there is none of this family, or there is none at all. */
  #route(found: Found, zone: Zone, key: NameKey, owner: number): 'answered' | 'none' | 'failed' {
    const { table: current, regionOf } = this.#deps;
    const query = this.#query;
    const table = current();
    if (table !== this.#table) {
      this.#table = table;
      this.#addresses = [];
      this.#deps.resolution.forget();
    }
    const subnet = query.hasSubnet && query.subnetSource > 0 && query.subnetFamily !== FAMILY_NONE;
    const address = !subnet
      ? this.#client
      : query.subnetFamily === FAMILY_V4
        ? query.subnetV4
        : query.subnetV6;
    const { region, scope } = regionOf(address, subnet ? query.subnetSource : address.length * 8);
    if (subnet) this.scope = scope;
    const family = query.type === TYPE.A ? 'v4' : 'v6';
    // A signed answer is the same as the unsigned one before it, whose turn it has.
    if (this.#signing === 'no') this.#turn = (this.#turn + 1) & 0x3fff_ffff;
    const site = found.site!;
    let pop = table.pick(region, site, found.key16, family, this.#turn);
    if (found.rank > 0) {
      const others = table.choose(region, { site }).filter(({ addresses }) => addresses[family].length > 0);
      const other = others[Math.min(found.rank, others.length - 1)];
      if (other) pop = table.pops.indexOf(other);
    }
    if (pop < 0) {
      const there = table.pick(region, site, found.key16, family === 'v4' ? 'v6' : 'v4', this.#turn) >= 0;
      return there ? 'none' : 'failed';
    }
    const slot = pop * 2 + (family === 'v4' ? 0 : 1);
    this.#addresses[slot] ??= this.#addressSet(query.type, table.pops[pop]!.addresses[family]);
    this.#records(this.#addresses[slot], zone, key, owner);
    return 'answered';
  }

  #addressSet(type: number, addresses: readonly string[]): RecordSet {
    const content = addresses.join(' ');
    const known = this.#addressSets.get(content);
    if (known) return known;
    const rdata = addresses.slice(0, MAX_ADDRESSES).flatMap((text) => {
      const bytes = addressBytes(text);
      return bytes?.length === (type === TYPE.A ? 4 : 16) ? [bytes] : [];
    });
    const made = recordSet(type, this.#ttlSeconds, rdata);
    if (this.#addressSets.size >= MAX_ADDRESS_SETS) this.#addressSets.clear();
    this.#addressSets.set(content, made);
    return made;
  }

  /**
   * Name servers of a zone below ours, with the addresses of those that lie in it (RFC 1034 §4.3.2), and with the proof
   * of which keys that zone has, or that it has none (RFC 4035 §3.1.4).
   */
  #refer(found: Found, zone: Zone, owner: number, link: number): void {
    const answer = this.#answer;
    const cut = found.cut!;
    const servers = cut.sets.get(TYPE.NS)!;
    const dataAt = answer.authority(servers, owner);
    if (dataAt < 0) return;
    if (this.#signing !== 'no' && zone.signer) {
      const keys = cut.sets.get(TYPE.DS) ?? zone.signer.nsec(cut.key, [TYPE.NS]);
      this.#authority(keys, zone, cut.key, owner);
    }
    if (link > 0) return;
    let at = dataAt;
    for (const server of servers.rdata) {
      const node = this.#deps.zones.node(nameKey(server));
      if (node) {
        for (const type of [TYPE.A, TYPE.AAAA]) {
          const set = node.sets.get(type);
          if (set) answer.additional(set, at);
        }
      }
      at += server.length + 12;
    }
  }

  #records(set: RecordSet, zone: Zone, key: NameKey, owner: number): number {
    const at = this.#answer.records(set, owner);
    if (at >= 0) {
      const signature = this.#signature(set, zone, key);
      if (signature) this.#answer.records(signature, owner);
    }
    return at;
  }

  #authority(set: RecordSet, zone: Zone, key: NameKey, owner: number): void {
    const at = this.#answer.authority(set, owner);
    if (at < 0) return;
    const signature = this.#signature(set, zone, key);
    if (signature) this.#answer.authority(signature, owner);
  }

  #signature(set: RecordSet, zone: Zone, key: NameKey): RecordSet | undefined {
    const { signer } = zone;
    if (!signer || this.#signing === 'no') return undefined;
    const nowSeconds = Math.floor(this.#nowMs / 1000);
    if (this.#signing === 'remembered' && !signer.remembers(set, key, nowSeconds)) {
      // Who comes again by TCP is no forgery, and is worth a signature.
      this.#answer.truncated = true;
      return undefined;
    }
    const before = signer.made;
    const signature = signer.rrsig(set, key, nowSeconds);
    this.signatures += signer.made - before;
    return signature;
  }
}
