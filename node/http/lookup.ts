import { PresageError } from '../../protocol/errors.ts';
import { key16Of } from '../../protocol/ids.ts';
import type { Standing } from '../../protocol/replica.ts';
import { boundedCache } from '../bounded-cache.ts';
import { SIGNATURE } from './access/signed-url.ts';
import type { RequestLines } from './caching/vary.ts';
import type { EdgeContext, Resolved } from './context.ts';
import { canonicalHost, canonicalTarget, hostName } from './key.ts';
import type { StoredResponse } from './stored.ts';

/** Request targets whose key is remembered. */
const ALIASES_MAX = 16_384;
/** Longer targets are worked out each time, so that the memory of the aliases stays small. */
const ALIAS_LENGTH_MAX = 512;

/** A stored response that fits a request. */
export interface Selected {
  readonly stored: StoredResponse;
  readonly standing: Standing;
}

/** From a request to its site, key and stored response. */
export class Lookup {
  readonly #context: EdgeContext;
  readonly #aliases = boundedCache<string, Resolved>(ALIASES_MAX);

  constructor(context: EdgeContext) {
    this.#context = context;
  }

  /** Throws `HTTP_MALFORMED`, `HTTP_TOO_LARGE` or `HTTP_UNKNOWN_SITE`. */
  resolve(authority: string, target: string, secure = false): Resolved {
    const alias = `${secure ? 's' : 'p'}${authority}\n${target}`;
    const known = this.#aliases.get(alias);
    if (known && this.stands(known)) return known;
    const asked = canonicalHost(authority, secure ? 443 : 80);
    const host = this.#context.deps.hostOf?.(asked) ?? asked;
    const name = hostName(host);
    const site = this.#context.deps.site(name);
    if (!site) throw new PresageError('HTTP_UNKNOWN_SITE', `No site is configured for ${host}`);
    const { path, key, hasQuery, signed } = canonicalTarget(host, target, site.normalise);
    const resolved = { site, host, name, key, key16: key16Of(key, site.secret), path, hasQuery, signed };
    // Each client's signed URL is another: remembering them would push out those that come again.
    if (alias.length <= ALIAS_LENGTH_MAX && !target.includes(SIGNATURE)) this.#aliases.set(alias, resolved);
    return resolved;
  }

  /** A new edition of the charter brings new site objects; what was resolved under an old one is worked out anew. */
  stands({ name, site }: Resolved): boolean {
    return this.#context.deps.site(name) === site;
  }

  /** The newest stored response that the request selects (RFC 9111 §4.1), unless it may never be served again. */
  select(resolved: Resolved, lines: RequestLines): Selected | undefined {
    const { index } = this.#context.deps;
    let best: Selected | undefined;
    for (const replica of index.get(resolved.key16)) {
      if (best && best.stored.replica.receivedAt >= replica.receivedAt) continue;
      const stored = this.#context.stored(replica, resolved.site.private);
      if (!stored.selectedBy(lines)) continue;
      const standing = index.standing(replica);
      if (standing === 'gone') continue;
      best = { stored, standing };
    }
    return best;
  }

  /**
   * A fresh stored response of another URL that stands for this one, as its No-Vary-Search says. What was ever purged
   * by this URL itself is not answered from others.
   */
  represented({ key, key16, site }: Resolved, lines: RequestLines, now: number): Selected | undefined {
    const { representatives, deps } = this.#context;
    if (representatives.empty) return undefined;
    for (const candidate of representatives.of(key, key16)) {
      for (const replica of deps.index.get(candidate.key16)) {
        const stored = this.#context.stored(replica, site.private);
        if (stored.variance?.id !== candidate.variance.id || !stored.fresh(now) || !stored.selectedBy(lines))
          continue;
        if (deps.index.standing(replica) !== 'valid') continue;
        if (deps.index.standing({ ...replica, key, key16 }) === 'valid') return { stored, standing: 'valid' };
      }
    }
    return undefined;
  }

  /** Whether anything at all is stored for the key: tells a missing variant from a missing resource. */
  known(resolved: Resolved): boolean {
    return this.#context.deps.index.get(resolved.key16).length > 0;
  }
}
