import ipaddr from 'ipaddr.js';
import type { Charter } from './charter.ts';
import { PresageError } from './errors.ts';
import type { RegionId } from './ids.ts';

/** Networks of one charter: each takes at most 128 nodes of 12 bytes. */
const MAX_NETWORKS = 100_000;

/** Where an address is, and for how much of the address space around it that holds. */
export interface Located {
  readonly region: RegionId;
  /**
   * Shortest prefix length for which every address has this region: the scope of RFC 7871. It accounts for longer
   * networks of other regions within the matching one, so that a resolver never caches an answer over them.
   */
  readonly scope: number;
  readonly by: 'network' | 'country' | 'default';
}

/**
 * The country of an address of 4 or 16 bytes, upper-case ISO 3166 code or nothing, and the length of the prefix
 * that this was decided by. Implemented in `node/dns/geoip.ts`.
 */
export type CountryLookup = (address: Uint8Array) => {
  readonly country?: string | undefined;
  readonly prefixLength: number;
};

/** From client addresses to regions: the charter's networks (longest prefix first), then countries, then the default. */
export interface Geography {
  /**
   * `address` is 4 or 16 bytes in network order, of which the first `prefixLength` bits count (all by default).
   * IPv4-mapped IPv6 addresses count as IPv4; their scope is then that of the IPv4 address plus 96.
   */
  locate(address: Uint8Array, prefixLength?: number): Located;
  /** The same for the text of an address; text that is none gets the default region with scope 0. */
  locateText(address: string): Located;
}

/** Binary tries in flat arrays: walking one allocates nothing. */
class Trie {
  #children = new Int32Array(2 * 1024);
  #values = new Int32Array(1024).fill(-1);
  #nodes = 1;

  add(bytes: ArrayLike<number>, length: number, value: number): void {
    let node = 0;
    for (let depth = 0; depth < length; depth += 1) {
      const slot = node * 2 + bitAt(bytes, depth);
      if (this.#children[slot] === 0) this.#children[slot] = this.#grow();
      node = this.#children[slot]!;
    }
    this.#values[node] = value;
  }

  #grow(): number {
    if (this.#nodes === this.#values.length) {
      const children = new Int32Array(this.#children.length * 2);
      children.set(this.#children);
      const values = new Int32Array(this.#values.length * 2).fill(-1);
      values.set(this.#values);
      this.#children = children;
      this.#values = values;
    }
    this.#nodes += 1;
    return this.#nodes - 1;
  }

  /** Value of the longest match (−1 for none) × 256 + the depth below which nothing else is said. */
  find(bytes: Uint8Array): number {
    let node = 0;
    let value = this.#values[0]!;
    const bits = bytes.length * 8;
    let depth = 0;
    for (; depth < bits; depth += 1) {
      const left = this.#children[node * 2]!;
      const right = this.#children[node * 2 + 1]!;
      if (left === 0 && right === 0) break;
      node = bitAt(bytes, depth) === 0 ? left : right;
      if (node === 0) {
        depth += 1;
        break;
      }
      if (this.#values[node] !== -1) value = this.#values[node]!;
    }
    return value * 256 + depth;
  }
}

const bitAt = (bytes: ArrayLike<number>, bit: number) => (bytes[bit >> 3]! >> (7 - (bit & 7))) & 1;

/**
 * Builds the geography of a charter. Fails with `CONFIG_INVALID` on a network that is not CIDR. Networks with bits
 * below their prefix are taken by their prefix.
 */
export function createGeography(
  charter: Pick<Charter, 'networks' | 'countries' | 'defaultRegion'>,
  countryOf?: CountryLookup,
): Geography {
  if (charter.networks.length > MAX_NETWORKS) {
    throw new PresageError('CONFIG_INVALID', `${charter.networks.length} networks, at most ${MAX_NETWORKS}`);
  }
  const regions: RegionId[] = [];
  const indexOf = (region: RegionId) => {
    const known = regions.indexOf(region);
    return known >= 0 ? known : regions.push(region) - 1;
  };
  const tries = { v4: new Trie(), v6: new Trie() };
  for (const { cidr, region } of charter.networks) {
    const { bytes, length } = parseNetwork(cidr);
    (bytes.length === 4 ? tries.v4 : tries.v6).add(bytes, length, indexOf(region));
  }
  // Few distinct answers exist, so they are made once: location allocates nothing afterwards.
  const byNetwork: Located[] = [];
  const interned = new Map<string, Located[]>();
  const located = (by: Located['by'], region: RegionId, scope: number): Located => {
    let list = interned.get(region);
    if (!list) {
      list = [];
      interned.set(region, list);
    }
    const slot = scope * 3 + (by === 'network' ? 0 : by === 'country' ? 1 : 2);
    list[slot] ??= { region, scope, by };
    return list[slot];
  };

  const masked4 = new Uint8Array(4);
  const masked6 = new Uint8Array(16);
  const locate = (address: Uint8Array, prefixLength = address.length * 8): Located => {
    if (address.length !== 4 && address.length !== 16) return located('default', charter.defaultRegion, 0);
    const mapped = address.length === 16 && prefixLength >= 96 && isMapped(address);
    const bytes = address.length === 4 || mapped ? masked4 : masked6;
    const from = mapped ? 12 : 0;
    const bits = mapped ? prefixLength - 96 : prefixLength;
    for (let i = 0; i < bytes.length; i += 1) {
      const left = bits - i * 8;
      bytes[i] = left <= 0 ? 0 : left >= 8 ? address[from + i]! : address[from + i]! & (0xff00 >> left);
    }
    const extra = mapped ? 96 : 0;
    const found = (bytes.length === 4 ? tries.v4 : tries.v6).find(bytes);
    const value = Math.floor(found / 256);
    const depth = found - value * 256;
    if (value >= 0) {
      const slot = value * 256 + depth + extra;
      byNetwork[slot] ??= located('network', regions[value]!, depth + extra);
      return byNetwork[slot];
    }
    if (!countryOf) return located('default', charter.defaultRegion, depth === 0 ? 0 : depth + extra);
    const { country, prefixLength: decided } = countryOf(bytes);
    const region = country === undefined ? undefined : ownProperty(charter.countries, country);
    const scope = Math.min(Math.max(depth, decided), bytes.length * 8);
    return located(
      region ? 'country' : 'default',
      region ?? charter.defaultRegion,
      scope === 0 ? 0 : scope + extra,
    );
  };
  return {
    locate,
    locateText(text) {
      if (!isAddress(text)) return located('default', charter.defaultRegion, 0);
      return locate(Uint8Array.from(ipaddr.parse(text).toByteArray()));
    },
  };
}

const ownProperty = <V>(record: Readonly<Record<string, V>>, key: string): V | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;

/** Whether 16 bytes are `::ffff:a.b.c.d`. */
function isMapped(address: Uint8Array): boolean {
  for (let i = 0; i < 10; i += 1) if (address[i] !== 0) return false;
  return address[10] === 0xff && address[11] === 0xff;
}

/** Whether text is an address in full; the library would also take `10.1.3` and octal numbers. */
const isAddress = (text: string) => ipaddr.IPv4.isValidFourPartDecimal(text) || ipaddr.IPv6.isValid(text);

/** The bytes and length of a CIDR network; a bare address is a network of one. Fails with `CONFIG_INVALID`. */
export function parseNetwork(cidr: string): { readonly bytes: readonly number[]; readonly length: number } {
  const fail = () => new PresageError('CONFIG_INVALID', `not a network: ${cidr}`, { cidr });
  const [text = '', suffix, ...more] = cidr.trim().split('/');
  if (more.length > 0 || !isAddress(text) || text.includes('%')) throw fail();
  const bytes = ipaddr.parse(text).toByteArray();
  if (suffix !== undefined && !/^\d{1,3}$/.test(suffix)) throw fail();
  const length = suffix === undefined ? bytes.length * 8 : Number(suffix);
  if (length > bytes.length * 8) throw fail();
  return { bytes, length };
}
