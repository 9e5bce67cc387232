import { LRUCache } from 'lru-cache';
import type { NameKey } from '../name.ts';
import { TYPE } from '../rdata.ts';
import { type RecordSet, recordSet } from '../record-set.ts';
import { canonicalRecords, labelsOf } from './canonical.ts';
import { nsecRdata } from './denial.ts';
import { ALGORITHM, type ZoneKey } from './key.ts';

/** Signatures remembered for one zone, some 1 KB each. What is asked for often is signed once a day. */
const REMEMBERED_SIGNATURES = 16_384;
/** Denials remembered; random names are denied once each, and soon forgotten. */
const REMEMBERED_DENIALS = 4_096;
/** Since when signatures hold, before they are made, seconds: the clocks of those who verify may be late. */
const BACKDATED_SECONDS = 3 * 3_600;
/** How long they hold, and after which time they are made anew: far before a TTL could outlive them. */
const VALID_SECONDS = 4 * 86_400;
const RENEW_SECONDS = 86_400;
/** TTL of the zone's keys. */
const KEY_TTL_SECONDS = 3_600;

interface Signature {
  readonly set: RecordSet;
  readonly renewAt: number;
}

/** Signs the answers of one zone as they are given, and denies by minimal lies (RFC 9824). */
export class ZoneSigner {
  readonly dnskey: RecordSet;
  /** What the parent should hold, for parents that look (RFC 7344). */
  readonly cds: RecordSet;
  readonly cdnskey: RecordSet;
  /** The DS records of this zone. */
  readonly ds: RecordSet;
  /** Signatures made so far. */
  made = 0;
  readonly #apex: NameKey;
  readonly #key: ZoneKey;
  readonly #negativeTtl: number;
  readonly #signatures = new LRUCache<string, Signature>({ max: REMEMBERED_SIGNATURES });
  readonly #denials = new LRUCache<string, RecordSet>({ max: REMEMBERED_DENIALS });

  /** The first key signs; others are published for a change of keys. `negativeTtl` is that of denials, seconds. */
  constructor(apex: NameKey, keys: readonly [ZoneKey, ...ZoneKey[]], negativeTtl: number) {
    this.#apex = apex;
    [this.#key] = keys;
    this.#negativeTtl = negativeTtl;
    const rdata = keys.map(({ dnskey }) => dnskey);
    const ds = keys.map((key) => key.ds(apex));
    this.dnskey = recordSet(TYPE.DNSKEY, KEY_TTL_SECONDS, rdata);
    this.cdnskey = recordSet(TYPE.CDNSKEY, KEY_TTL_SECONDS, rdata);
    this.cds = recordSet(TYPE.CDS, KEY_TTL_SECONDS, ds);
    this.ds = recordSet(TYPE.DS, KEY_TTL_SECONDS, ds);
  }

  /** The signature over a set at a name, as the answer gives it: its own owner, no wildcard. Made if it is not remembered. */
  rrsig(set: RecordSet, owner: NameKey, nowSeconds: number): RecordSet {
    const cacheKey = `${set.number} ${owner}`;
    const known = this.#signatures.get(cacheKey);
    if (known && nowSeconds < known.renewAt) return known.set;
    this.made += 1;
    const head = Buffer.alloc(18);
    head.writeUInt16BE(set.type, 0);
    head[2] = ALGORITHM;
    head[3] = labelsOf(owner);
    head.writeUInt32BE(set.ttl, 4);
    // Times are of 32 bits and compared as serial numbers (RFC 4034 §3.1.5).
    head.writeUInt32BE((nowSeconds + VALID_SECONDS) >>> 0, 8);
    head.writeUInt32BE((nowSeconds - BACKDATED_SECONDS) >>> 0, 12);
    head.writeUInt16BE(this.#key.tag, 16);
    const unsigned = Buffer.concat([head, Buffer.from(this.#apex, 'latin1')]);
    const signature = this.#key.sign(Buffer.concat([unsigned, canonicalRecords(set, owner)]));
    const made = recordSet(TYPE.RRSIG, set.ttl, [Buffer.concat([unsigned, signature])]);
    this.#signatures.set(cacheKey, { set: made, renewAt: nowSeconds + RENEW_SECONDS });
    return made;
  }

  /** Whether the signature is remembered, and costs nothing. */
  remembers(set: RecordSet, owner: NameKey, nowSeconds: number): boolean {
    const known = this.#signatures.peek(`${set.number} ${owner}`);
    return known !== undefined && nowSeconds < known.renewAt;
  }

  /** The NSEC record at a name that has records of these types and no others. */
  nsec(owner: NameKey, types: readonly number[]): RecordSet {
    const cacheKey = `${types.join(' ')} ${owner}`;
    const known = this.#denials.get(cacheKey);
    if (known) return known;
    const made = recordSet(TYPE.NSEC, this.#negativeTtl, [nsecRdata(owner, types)]);
    this.#denials.set(cacheKey, made);
    return made;
  }
}
