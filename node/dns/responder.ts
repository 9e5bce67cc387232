import type { Located } from '../../protocol/geography.ts';
import type { RoutingTable } from '../../protocol/routing.ts';
import { addressBytes } from './address.ts';
import { Answer } from './answer.ts';
import { COOKIE_BYTES, type Cookies } from './cookie.ts';
import { nameKey } from './name.ts';
import { DROP, FAMILY_NONE, FAMILY_V4, HEADER_BYTES, Query, RCODE } from './query.ts';
import type { RateLimit } from './rate-limit.ts';
import { TYPE } from './rdata.ts';
import type { Found, Resolution } from './resolution.ts';
import { type RecordSet, recordSet, type Zones } from './zone.ts';

/** Links of a chain of aliases that are followed within our zones. */
const MAX_CHAIN = 8;
/** Addresses of one PoP in an answer: more would only lengthen it. */
const MAX_ADDRESSES = 8;
const TYPE_DS = 43;
const TYPE_IXFR = 251;
const TYPE_AXFR = 252;
const TYPE_ANY = 255;
const CLASS_IN = 1;
/** RFC 8482 §4.2: what a question for everything gets. */
const ANY_ANSWER = recordSet(TYPE.HINFO, 3600, [Buffer.from('\u0007RFC8482\u0000', 'latin1')]);
const FLAG_AA = 0x0400;

export type Transport = 'udp' | 'tcp';

export interface ResponderOptions {
  /** TTL of answers that name a PoP, seconds. */
  readonly ttlSeconds: number;
  /** Largest answer by UDP, bytes; what the client offers counts up to this. */
  readonly maxUdpBytes: number;
  /** Sent to who asks for it (RFC 5001). */
  readonly nsid?: string | undefined;
  /** Told to TCP clients that ask (RFC 7828), in ms. */
  readonly tcpIdleMs: number;
}

export interface ResponderDeps {
  readonly zones: Zones;
  readonly resolution: Resolution;
  readonly table: () => RoutingTable;
  /** Region of an address of 4 or 16 bytes, of which `prefixLength` bits are known. */
  readonly regionOf: (address: Uint8Array, prefixLength: number) => Pick<Located, 'region' | 'scope'>;
  readonly cookies: Cookies | undefined;
  readonly rateLimit: RateLimit | undefined;
  /** Unix ms. */
  readonly now: () => number;
}

/** What became of a packet, counted by who owns the socket. Indices: `Tally`. */
export const TALLY = {
  malformed: 24,
  dropped: 25,
  limited: 26,
  truncated: 27,
  subnet: 28,
} as const;
export const TALLY_SIZE = 32;

/**
 * Answers one packet at a time, with no lock and next to no allocation: the question is copied as it came (which
 * keeps its case, against forgery), records are copied from prepared wire forms, owners are pointers.
 */
export class Responder {
  /** Answers by response code, and the counts named in `TALLY`. Read and reset by the owner. */
  readonly tally = new Float64Array(TALLY_SIZE);
  readonly #options: ResponderOptions;
  readonly #deps: ResponderDeps;
  readonly #query = new Query();
  readonly #answer = new Answer();
  readonly #nsid: Uint8Array | undefined;
  #table: RoutingTable | undefined;
  /** Prepared address records of the table's PoPs: index × 2, plus 1 for IPv6. */
  #addresses: (RecordSet | undefined)[] = [];
  #turn = 0;
  #scope = 0;

  constructor(options: ResponderOptions, deps: ResponderDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#nsid = options.nsid ? Buffer.from(options.nsid, 'utf8').subarray(0, 128) : undefined;
  }

  /** The answer to a packet from `client` (4 or 16 bytes), or nothing if it deserves none. Never throws on input. */
  respond(bytes: Uint8Array, client: Uint8Array, transport: Transport): Uint8Array | undefined {
    const query = this.#query;
    const { tally } = this;
    const parsed = query.parse(bytes);
    if (parsed === DROP) {
      tally[TALLY.malformed]! += 1;
      return undefined;
    }
    if (parsed === RCODE.FORMERR) tally[TALLY.malformed]! += 1;
    const nowMs = this.#deps.now();
    const limit = transport === 'tcp' ? 0xffff : Math.min(query.udpSize, this.#options.maxUdpBytes);
    const answer = this.#answer;
    answer.begin(query, limit, this.#optBytes(transport));
    this.#scope = 0;
    let trusted = transport === 'tcp';
    if (parsed === RCODE.NOERROR) {
      const { cookies } = this.#deps;
      if (cookies && query.cookieLength > 0) {
        trusted ||= cookies.valid(
          bytes,
          query.cookieAt,
          query.cookieLength,
          client,
          Math.floor(nowMs / 1000),
        );
      }
      if (query.questionEnd > HEADER_BYTES) this.#fill(client, nowMs);
    } else answer.rcode = parsed;
    if (!trusted && this.#deps.rateLimit) {
      const verdict = this.#deps.rateLimit.judge(client, answer.rcode !== RCODE.NOERROR, nowMs);
      if (verdict !== 'send') {
        tally[TALLY.limited]! += 1;
        if (verdict === 'drop') return undefined;
        answer.truncated = true;
      }
    }
    if (answer.truncated) {
      tally[TALLY.truncated]! += 1;
      answer.empty();
    }
    if (query.edns) this.#writeOpt(client, nowMs, parsed === RCODE.NOERROR, transport);
    tally[answer.rcode]! += 1;
    return answer.finish();
  }

  #fill(client: Uint8Array, nowMs: number): void {
    const query = this.#query;
    const answer = this.#answer;
    if (query.class !== CLASS_IN || query.type === TYPE_AXFR || query.type === TYPE_IXFR) {
      answer.rcode = RCODE.REFUSED;
      return;
    }
    if (query.type === 41) {
      answer.rcode = RCODE.FORMERR;
      return;
    }
    if (query.type >= 128 && query.type < TYPE_ANY) {
      answer.rcode = RCODE.NOTIMP;
      return;
    }
    let { key } = query;
    /** Where the name `key` stands in the answer. */
    let owner = HEADER_BYTES;
    for (let link = 0; ; link += 1) {
      const found = this.#deps.resolution.find(key, nowMs);
      if (found.kind === 'outside') {
        if (link === 0) answer.rcode = RCODE.REFUSED;
        return;
      }
      if (found.kind === 'referral') {
        const { cut } = found;
        const atCut = cut!.key === key;
        if (!(atCut && query.type === TYPE_DS)) {
          this.#refer(found, owner + key.length - cut!.key.length, link);
          return;
        }
      }
      answer.flags |= FLAG_AA;
      const soaOwner = owner + key.length - found.zone!.key.length;
      if (found.kind === 'absent') {
        answer.rcode = RCODE.NXDOMAIN;
        answer.authority(found.zone!.negative, soaOwner);
        return;
      }
      const { type } = query;
      if (type === TYPE_ANY) {
        answer.records(ANY_ANSWER, owner);
        return;
      }
      if (type === TYPE.TXT && found.text) {
        const own = found.sets?.get(TYPE.TXT);
        answer.records(found.text, owner);
        if (own) answer.records(own, owner);
        return;
      }
      const alias =
        type === TYPE.CNAME || found.kind === 'referral' ? undefined : found.sets?.get(TYPE.CNAME);
      if (alias) {
        const dataAt = answer.records(alias, owner);
        if (dataAt < 0 || link >= MAX_CHAIN) return;
        owner = dataAt;
        key = nameKey(alias.rdata[0]!);
        continue;
      }
      const set = found.kind === 'referral' ? undefined : found.sets?.get(type);
      if (set) {
        answer.records(set, owner);
        return;
      }
      if (found.site !== undefined && (type === TYPE.A || type === TYPE.AAAA)) {
        const verdict = this.#route(found, client, owner);
        if (verdict === 'answered') return;
        if (verdict === 'failed') {
          answer.empty();
          answer.flags &= ~FLAG_AA;
          answer.rcode = RCODE.SERVFAIL;
          return;
        }
      }
      answer.authority(found.zone!.negative, soaOwner);
      return;
    }
  }

  /** Addresses of the PoP for this client: written, or there is none of this family, or there is none at all. */
  #route(found: Found, client: Uint8Array, owner: number): 'answered' | 'none' | 'failed' {
    const { table: current, regionOf } = this.#deps;
    const query = this.#query;
    const table = current();
    if (table !== this.#table) {
      this.#table = table;
      this.#addresses = [];
      this.#deps.resolution.forget();
    }
    const subnet = query.hasSubnet && query.subnetSource > 0 && query.subnetFamily !== FAMILY_NONE;
    const address = !subnet ? client : query.subnetFamily === FAMILY_V4 ? query.subnetV4 : query.subnetV6;
    const { region, scope } = regionOf(address, subnet ? query.subnetSource : address.length * 8);
    if (subnet) this.#scope = scope;
    const family = query.type === TYPE.A ? 'v4' : 'v6';
    this.#turn = (this.#turn + 1) & 0x3fff_ffff;
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
    this.#addresses[slot] ??= recordSet(
      query.type,
      this.#options.ttlSeconds,
      table.pops[pop]!.addresses[family].slice(0, MAX_ADDRESSES).flatMap((text) => {
        const bytes = addressBytes(text);
        return bytes?.length === (family === 'v4' ? 4 : 16) ? [bytes] : [];
      }),
    );
    this.#answer.records(this.#addresses[slot], owner);
    return 'answered';
  }

  /** Name servers of a zone below ours, with the addresses of those that lie in it (RFC 1034 §4.3.2). */
  #refer(found: Found, owner: number, link: number): void {
    const answer = this.#answer;
    const cut = found.cut!;
    const servers = cut.sets.get(TYPE.NS)!;
    const dataAt = answer.authority(servers, owner);
    if (dataAt < 0 || link > 0) return;
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

  #optBytes(transport: Transport): number {
    const query = this.#query;
    if (!query.edns) return 0;
    let length = 11;
    if (query.hasSubnet) length += 8 + ((query.subnetSource + 7) >> 3);
    if (query.cookieLength > 0 && this.#deps.cookies) length += 4 + COOKIE_BYTES;
    if (query.nsid && this.#nsid) length += 4 + this.#nsid.length;
    if (query.keepalive && transport === 'tcp') length += 6;
    return length;
  }

  /** The OPT record (RFC 6891 §6): our size, the upper bits of the code, the DO bit as it came, options asked for. */
  #writeOpt(client: Uint8Array, nowMs: number, withOptions: boolean, transport: Transport): void {
    const query = this.#query;
    const answer = this.#answer;
    answer.optStart(this.#options.maxUdpBytes, query.dnssecOk);
    if (withOptions) {
      if (query.hasSubnet) {
        const address = query.subnetFamily === FAMILY_V4 ? query.subnetV4 : query.subnetV6;
        answer.optSubnet(query.subnetFamily, query.subnetSource, this.#scope, address);
      }
      const { cookies } = this.#deps;
      if (cookies && query.cookieLength > 0) {
        const at = answer.option(10, COOKIE_BYTES);
        cookies.write(answer.out, at, query.bytes, query.cookieAt, client, Math.floor(nowMs / 1000));
      }
      if (query.nsid && this.#nsid) answer.out.set(this.#nsid, answer.option(3, this.#nsid.length));
      if (query.keepalive && transport === 'tcp') {
        // In units of 100 ms.
        const units = Math.min(0xffff, Math.floor(this.#options.tcpIdleMs / 100));
        const at = answer.option(11, 2);
        answer.out[at] = units >> 8;
        answer.out[at + 1] = units & 255;
      }
    }
    answer.optEnd();
  }
}
