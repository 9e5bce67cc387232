import type { Names } from '../../actors/names.ts';
import type { Signal } from '../../forecasting/signals.ts';
import { codeOf, type ErrorCode, PresageError } from '../../protocol/errors.ts';
import {
  isRegionId,
  type Key16,
  key16Of,
  type RegionId,
  type ResourceKey,
  type SiteId,
} from '../../protocol/ids.ts';
import type { Clock, DemandClock, Metrics } from '../../protocol/ports.ts';
import { canonicalHost, canonicalTarget, hostName } from '../http/key.ts';
import type { Sites } from '../sites.ts';
import type { HeardUrl } from './connector.ts';

/** Signals of one source in a minute; what comes beyond is refused. */
const PER_MINUTE = 600;
const MINUTE_MS = 60_000;
/** Sources told apart. */
const SOURCES_MAX = 64;
/** Signals remembered, so that what a source repeats is taken once. */
const REMEMBERED_MAX = 20_000;
/** … unless it has grown by this factor since. */
const GROWTH = 2;
/** How far ahead a signal may date itself, demand ms; what lies beyond is an announcement. */
const AHEAD_MS = 300_000;
/** No source's scale needs more. */
const STRENGTH_MAX = 1e9;

/** A resource that a URL names. */
export interface SignalledResource {
  readonly key16: Key16;
  readonly key: ResourceKey;
  readonly site: SiteId;
}

export interface SignalIntakeDeps {
  readonly sites: Pick<Sites, 'ofHost'>;
  readonly names: Pick<Names, 'get' | 'learn'>;
  regions(): readonly RegionId[];
  /** Demand ms for which a signal is in force. */
  horizonMs(): number;
  readonly clock: Clock;
  readonly demand: DemandClock;
  readonly metrics: Metrics;
  deliver(signals: readonly Signal[]): void;
}

/** What became of a URL: `taken`, `repeated`, or why it was refused. */
export type SignalVerdict = 'taken' | 'repeated' | ErrorCode;

/** What a source has sent, for `status`. */
export interface SourceCounts {
  readonly source: string;
  readonly taken: number;
  readonly repeated: number;
  readonly refused: number;
  /** Real time of the last one taken, ms. */
  readonly lastAt: number | undefined;
}

interface Source {
  taken: number;
  repeated: number;
  refused: number;
  lastAt: number | undefined;
  /** Signals that it may still send, as of `filledAt`, monotonic ms. */
  tokens: number;
  filledAt: number;
}

/**
 * Where signals of all sources come in: maps URLs to resources of configured sites, bounds what each source may send,
 * leaves out what it repeats, and counts the rest. Never throws.
 */
export class SignalIntake {
  readonly #deps: SignalIntakeDeps;
  readonly #sources = new Map<string, Source>();
  readonly #remembered = new Map<string, { strength: number; until: number }>();

  constructor(deps: SignalIntakeDeps) {
    this.#deps = deps;
  }

  /**
   * The resource that an absolute URL names. Fails with `INPUT_MALFORMED`, `HTTP_MALFORMED`, `HTTP_TOO_LARGE`,
   * `HTTP_FORBIDDEN` for one that bears a signature, or `HTTP_UNKNOWN_SITE`.
   */
  resolve(text: string): SignalledResource {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url === undefined || !/^https?:$/.test(url.protocol) || url.host === '')
      throw new PresageError('INPUT_MALFORMED', 'a signal needs an absolute http(s) URL');
    const host = canonicalHost(url.host, url.protocol === 'https:' ? 443 : 80);
    const { sites, names } = this.#deps;
    const site = sites.ofHost(hostName(host));
    if (site === undefined) throw new PresageError('HTTP_UNKNOWN_SITE', `no site serves ${host}`);
    const { key, signed } = canonicalTarget(host, `${url.pathname}${url.search}`, site.normalise);
    if (signed) throw new PresageError('HTTP_FORBIDDEN', 'the URL bears a signature');
    const key16 = key16Of(key, site.secret);
    // A site for every host name would make the whole web ours: there it must have been asked for here before.
    if (!site.hosts.includes(hostName(host)) && names.get(key16) === undefined)
      throw new PresageError('HTTP_UNKNOWN_SITE', `no site serves ${host} by name`);
    return { key16, key, site: site.id };
  }

  /** Whether a URL is of a site of ours. */
  concerns(url: string): boolean {
    try {
      this.resolve(url);
      return true;
    } catch {
      return false;
    }
  }

  /** Takes in what a source says; what became of each URL, in order. */
  take(source: string, heard: readonly HeardUrl[]): SignalVerdict[] {
    const { clock, metrics } = this.#deps;
    const known = this.#source(source);
    const signals: Signal[] = [];
    const verdicts = heard.map((one): SignalVerdict => {
      const verdict = known === undefined ? 'MAILBOX_FULL' : this.#judge(source, known, one, signals);
      const outcome = verdict === 'taken' || verdict === 'repeated' ? verdict : 'refused';
      metrics.count('signals_total', { outcome, code: outcome === 'refused' ? verdict : '' });
      if (known !== undefined) {
        known[outcome] += 1;
        if (outcome === 'taken') known.lastAt = clock.now();
      }
      return verdict;
    });
    if (signals.length > 0) this.#deps.deliver(signals);
    return verdicts;
  }

  /** By name. */
  counts(): SourceCounts[] {
    return [...this.#sources]
      .map(([source, { taken, repeated, refused, lastAt }]) => ({ source, taken, repeated, refused, lastAt }))
      .sort((a, b) => (a.source < b.source ? -1 : 1));
  }

  #judge(source: string, counts: Source, one: HeardUrl, signals: Signal[]): SignalVerdict {
    const { names, demand, horizonMs, regions } = this.#deps;
    try {
      const { url, strength, at, region } = one;
      const now = Math.floor(demand.now());
      if (!(strength > 0 && strength <= STRENGTH_MAX)) return 'INPUT_MALFORMED';
      if (at !== undefined && !(at > now - horizonMs() && at <= now + AHEAD_MS)) return 'INPUT_MALFORMED';
      if (region !== undefined && !(isRegionId(region) && regions().includes(region)))
        return 'INPUT_MALFORMED';
      const resource = this.resolve(url);
      if (this.#repeats(`${source} ${resource.key16} ${region ?? ''}`, strength, now)) return 'repeated';
      if (counts.tokens < 1) return 'MAILBOX_FULL';
      counts.tokens -= 1;
      names.learn(resource.key16, { key: resource.key, site: resource.site });
      this.#remember(`${source} ${resource.key16} ${region ?? ''}`, strength, now);
      signals.push({
        ...{ source, key16: resource.key16, strength, at: at ?? now },
        ...(region !== undefined && { region: region as RegionId }),
      });
      return 'taken';
    } catch (error) {
      return codeOf(error, 'INPUT_MALFORMED');
    }
  }

  #repeats(id: string, strength: number, now: number): boolean {
    const known = this.#remembered.get(id);
    return known !== undefined && now < known.until && strength < GROWTH * known.strength;
  }

  #remember(id: string, strength: number, now: number): void {
    this.#remembered.delete(id);
    this.#remembered.set(id, { strength, until: now + this.#deps.horizonMs() });
    if (this.#remembered.size <= REMEMBERED_MAX) return;
    const oldest = this.#remembered.keys().next();
    if (!oldest.done) this.#remembered.delete(oldest.value);
  }

  /** A source with its tokens filled up to now; none where there are too many sources. */
  #source(name: string): Source | undefined {
    const now = this.#deps.clock.monotonic();
    let known = this.#sources.get(name);
    if (known === undefined) {
      if (this.#sources.size >= SOURCES_MAX) return undefined;
      known = { taken: 0, repeated: 0, refused: 0, lastAt: undefined, tokens: PER_MINUTE, filledAt: now };
      this.#sources.set(name, known);
    }
    const filled = ((now - known.filledAt) / MINUTE_MS) * PER_MINUTE;
    known.tokens = Math.min(PER_MINUTE, known.tokens + filled);
    known.filledAt = now;
    return known;
  }
}
