import type { Key16, ResourceKey } from '../../protocol/ids.ts';
import { boundedCache } from '../bounded-cache.ts';
import { essence, type SearchVariance } from './caching/search-variance.ts';

/** Paths whose responses stand for more URLs than their own. */
const PATHS_MAX = 4_096;
/** Rules of one path; of an origin that changes its mind more often the oldest are forgotten. */
const RULES_MAX = 4;
/** Stored responses that stand for others. */
const MEMBERS_MAX = 16_384;
/** Longer rules are not followed. */
const RULE_MAX = 1_024;
/** Longer keys stand for themselves, so that clients cannot fill memory with them. */
const KEY_MAX = 1_024;

/** A stored response that may stand for a URL, to be held against what it now says itself. */
export interface Candidate {
  readonly key16: Key16;
  readonly variance: SearchVariance;
}

/**
 * Which stored response stands for URLs that differ from its own in nothing but what its No-Vary-Search leaves out.
 * In memory only: after a restart it is learnt anew as responses are used.
 */
export class Representatives {
  readonly #rules = boundedCache<string, Map<string, SearchVariance>>(PATHS_MAX);
  /** The newest stored, by path, rule, and what of the query counts under it. */
  readonly #members = boundedCache<string, Key16>(MEMBERS_MAX);

  /** Whether there is none, which is so on nearly every site. */
  get empty(): boolean {
    return this.#rules.size === 0;
  }

  /** Notes that a response is stored under a key. */
  note(key: ResourceKey, key16: Key16, variance: SearchVariance): void {
    if (key.length > KEY_MAX || variance.id.length > RULE_MAX) return;
    const [path, query] = parted(key);
    const rules = this.#rules.get(path) ?? new Map<string, SearchVariance>();
    if (!rules.has(variance.id)) {
      const [oldest] = rules.keys();
      if (oldest !== undefined && rules.size >= RULES_MAX) rules.delete(oldest);
      rules.set(variance.id, variance);
      this.#rules.set(path, rules);
    }
    this.#members.set(`${path}\n${variance.id}\n${essence(query, variance)}`, key16);
  }

  /** Who may stand for a key, itself left out. */
  of(key: ResourceKey, key16: Key16): Candidate[] {
    const [path, query] = parted(key);
    const rules = key.length > KEY_MAX ? undefined : this.#rules.get(path);
    const found: Candidate[] = [];
    for (const variance of rules?.values() ?? []) {
      const member = this.#members.get(`${path}\n${variance.id}\n${essence(query, variance)}`);
      if (member !== undefined && member !== key16) found.push({ key16: member, variance });
    }
    return found;
  }
}

function parted(key: ResourceKey): [path: string, query: string] {
  const mark = key.indexOf('?');
  return mark < 0 ? [key, ''] : [key.slice(0, mark), key.slice(mark + 1)];
}
