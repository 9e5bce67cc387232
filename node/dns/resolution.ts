import type { Key16, SiteId } from '../../protocol/ids.ts';
import { key16OfLabel } from './label.ts';
import { keyText, type NameKey, parentAt } from './name.ts';
import { TYPE } from './rdata.ts';
import type { RecordSet } from './record-set.ts';
import type { Texts } from './texts.ts';
import type { Node, Zone, Zones } from './zone.ts';

/** Names whose site is remembered; the memory is dropped whole when full, so that random names cost no more. */
const REMEMBERED_SITES = 8192;

/** What a name stands for. The fields hold until the next look-up. */
export interface Found {
  readonly kind: 'name' | 'absent' | 'referral' | 'outside';
  readonly zone: Zone | undefined;
  readonly sets: ReadonlyMap<number, RecordSet> | undefined;
  /** At a referral the node where authority ends. */
  readonly cut: Node | undefined;
  /** If a PoP is the answer to questions for addresses. */
  readonly site: SiteId | undefined;
  readonly key16: Key16 | undefined;
  readonly rank: number;
  readonly text: RecordSet | undefined;
}

type Fields = { -readonly [K in keyof Found]: Found[K] };

/** Finds what names stand for: records, sites, resources of `<label>.r.<site zone>`, wildcards, other zones. */
export class Resolution {
  readonly #zones: Zones;
  readonly #texts: Texts;
  readonly #siteOfName: (name: string) => SiteId | undefined;
  readonly #sites = new Map<NameKey, SiteId | null>();
  readonly #found: Fields = {
    kind: 'outside',
    zone: undefined,
    sets: undefined,
    cut: undefined,
    site: undefined,
    key16: undefined,
    rank: 0,
    text: undefined,
  };

  constructor(zones: Zones, texts: Texts, siteOfName: (name: string) => SiteId | undefined) {
    this.#zones = zones;
    this.#texts = texts;
    this.#siteOfName = siteOfName;
  }

  /** Forgets what was remembered of sites, because the charter may have changed. */
  forget(): void {
    this.#sites.clear();
  }

  /** `nowMs` is for records that expire. The result is overwritten by the next call. */
  find(key: NameKey, nowMs: number): Found {
    const found = this.#found;
    found.site = found.key16 = found.text = found.sets = found.cut = undefined;
    found.rank = 0;
    if (this.#resource(key, nowMs)) return found;
    const node = this.#zones.node(key);
    if (node) {
      found.zone = node.zone;
      if (node.cut) return this.#referral(node.cut);
      found.kind = 'name';
      found.sets = node.sets;
      if (node.routed) {
        found.site = node.routed.site;
        found.rank = node.routed.rank;
      } else if (!node.sets.has(TYPE.A) && !node.sets.has(TYPE.AAAA) && !node.sets.has(TYPE.CNAME)) {
        found.site = this.#siteOf(key);
      }
    } else this.#search(key);
    if (this.#texts.size > 0 && (found.kind === 'name' || found.kind === 'absent')) {
      found.text = this.#texts.get(key, nowMs);
      if (found.text || this.#texts.isAbove(key, nowMs)) {
        found.kind = 'name';
        // A name that exists is none that a wildcard stands for (RFC 4592 §2.2.1).
        if (!node) found.sets = undefined;
      }
    }
    return found;
  }

  /** The name of a resource, found by its form: the common case, which one look-up decides. */
  #resource(key: NameKey, nowMs: number): boolean {
    if (key.charCodeAt(0) !== 26 || key.charCodeAt(28) !== LETTER_R || key.charCodeAt(27) !== 1) return false;
    const above = this.#zones.node(key.slice(27));
    if (!above?.resources || (this.#texts.size > 0 && this.#texts.get(key, nowMs))) return false;
    const key16 = key16OfLabel(key, 1);
    if (!key16) return false;
    const found = this.#found;
    found.kind = 'name';
    found.zone = above.zone;
    found.site = above.zone.site;
    found.key16 = key16;
    return true;
  }

  /** A name that is not in the zones: below a site, a wildcard or nothing. */
  #search(key: NameKey): void {
    const found = this.#found;
    let at = 0;
    let above: Node | undefined;
    while (!above && key.charCodeAt(at) !== 0) {
      at = parentAt(key, at);
      above = this.#zones.node(key.slice(at));
    }
    if (!above) {
      found.kind = 'outside';
      found.zone = undefined;
      return;
    }
    const { zone } = above;
    found.zone = zone;
    if (above.cut) {
      this.#referral(above.cut);
      return;
    }
    if (zone.site !== undefined && at === 27 && above.key.length === zone.key.length + 2) {
      const key16 = above.key.charCodeAt(1) === LETTER_R ? key16OfLabel(key, 1) : undefined;
      if (key16) {
        found.kind = 'name';
        found.site = zone.site;
        found.key16 = key16;
        return;
      }
    }
    found.site = this.#siteOf(key);
    const wildcard = this.#zones.node(`\u0001*${above.key}`);
    if (found.site === undefined && wildcard) {
      found.sets = wildcard.sets;
      found.site = wildcard.routed?.site;
    }
    found.kind = found.site !== undefined || wildcard ? 'name' : 'absent';
  }

  #referral(cut: Node): Found {
    this.#found.kind = 'referral';
    this.#found.cut = cut;
    this.#found.sets = cut.sets;
    return this.#found;
  }

  #siteOf(key: NameKey): SiteId | undefined {
    const known = this.#sites.get(key);
    if (known !== undefined) return known ?? undefined;
    const site = this.#siteOfName(keyText(key));
    if (this.#sites.size >= REMEMBERED_SITES) this.#sites.clear();
    this.#sites.set(key, site ?? null);
    return site;
  }
}

const LETTER_R = 0x72;
