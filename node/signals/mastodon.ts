import * as v from 'valibot';
import { codeOf, PresageError } from '../../protocol/errors.ts';
import { type Connector, type ConnectorDeps, ConnectorState, type HeardUrl, jittered } from './connector.ts';

export interface MastodonOptions {
  /** Base URL of the server, such as `https://mastodon.example`. */
  readonly server: string;
  /** Real ms between questions. */
  readonly everyMs?: number;
}

/** Mastodon computes trends every five minutes. */
const EVERY_MS = 300_000;
const FAILED_MS_MAX = 3_600_000;
const ANSWER_MS = 15_000;
/** Twenty preview cards with their texts take some 60 KB. */
const BODY_BYTES_MAX = 1 << 20;
/** The most that the API gives at once. */
const LINKS_MAX = 20;
const URL_MAX = 2048;
/** Days whose accounts are counted: today, which may have just begun, and the day before. */
const DAYS = 2;

const trend = v.object({
  url: v.pipe(v.string(), v.maxLength(URL_MAX)),
  history: v.optional(v.array(v.object({ accounts: v.pipe(v.string(), v.regex(/^\d{1,12}$/)) })), []),
});

/**
 * Asks a Mastodon server for its trending links (`GET /api/v1/trends/links`, Mastodon 3.5 and later, no token
 * needed), at most once in five minutes, with the entity tag of the last answer. The strength of a link is how many
 * accounts shared it today and yesterday.
 */
export function pollMastodon(
  { server, everyMs = EVERY_MS }: MastodonOptions,
  deps: ConnectorDeps,
): Connector {
  const { clock, random, log, metrics } = deps;
  const state = new ConnectorState(`mastodon:${new URL(server).host}`);
  const closing = new AbortController();
  let etag: string | undefined;
  let cancel = (): void => undefined;

  const ask = async (): Promise<void> => {
    let wait = everyMs;
    try {
      const answer = await fetchTrends(server, etag, closing.signal);
      etag = answer.etag;
      state.answered(clock.now(), answer.links.length);
      deps.take(state.source, answer.links);
    } catch (error) {
      if (closing.signal.aborted) return;
      state.failed(codeOf(error, 'SIGNAL_SOURCE'));
      metrics.count('errors_total', { code: codeOf(error, 'SIGNAL_SOURCE') });
      if (state.inRow === 1) log.warn('a source of signals fails', { source: state.source, error });
      const asked = error instanceof PresageError ? Number(error.data.retryAfterMs) : Number.NaN;
      wait = Math.min(FAILED_MS_MAX, Math.max(asked || 0, everyMs * 2 ** Math.min(10, state.inRow)));
    }
    if (!closing.signal.aborted) cancel = clock.after(jittered(wait, random), () => void ask());
  };
  void ask();

  return {
    status: () => state.status(),
    close() {
      closing.abort();
      cancel();
    },
  };
}

async function fetchTrends(server: string, etag: string | undefined, closing: AbortSignal) {
  const signal = AbortSignal.any([closing, AbortSignal.timeout(ANSWER_MS)]);
  const response = await fetch(`${server}/api/v1/trends/links?limit=${LINKS_MAX}`, {
    headers: { accept: 'application/json', ...(etag === undefined ? {} : { 'if-none-match': etag }) },
    // What is asked is what was configured, and nothing that an answer points to.
    redirect: 'error',
    signal,
  });
  if (response.status === 304) {
    await response.body?.cancel();
    return { etag, links: [] };
  }
  if (response.status !== 200) {
    await response.body?.cancel();
    const seconds = Number(response.headers.get('retry-after'));
    throw new PresageError('SIGNAL_SOURCE', `${server} answered with status ${response.status}`, {
      ...(seconds > 0 && { retryAfterMs: seconds * 1000 }),
    });
  }
  const parsed = v.safeParse(v.array(v.unknown()), parse(await bodyOf(response)));
  if (!parsed.success) throw new PresageError('SIGNAL_SOURCE', `${server} answered with no list of links`);
  const links: HeardUrl[] = [];
  for (const one of parsed.output.slice(0, LINKS_MAX)) {
    const link = v.safeParse(trend, one);
    if (!link.success) continue;
    const { url, history } = link.output;
    const accounts = history.slice(0, DAYS).reduce((sum, day) => sum + Number(day.accounts), 0);
    links.push({ url, strength: Math.max(1, accounts) });
  }
  return { etag: response.headers.get('etag') ?? undefined, links };
}

async function bodyOf(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body ?? []) {
    length += part.length;
    if (length > BODY_BYTES_MAX)
      throw new PresageError('WIRE_TOO_LARGE', `an answer of over ${BODY_BYTES_MAX} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new PresageError('SIGNAL_SOURCE', 'the answer is not JSON', {}, error);
  }
}
