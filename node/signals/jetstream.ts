import * as v from 'valibot';
import { PresageError } from '../../protocol/errors.ts';
import { type Connector, type ConnectorDeps, ConnectorState, jittered } from './connector.ts';
import { LinkTally } from './link-tally.ts';

export interface JetstreamOptions {
  /** Such as `wss://jetstream2.us-east.bsky.network/subscribe`. */
  readonly url: string;
  /** Real ms between deliveries of what was counted. */
  readonly everyMs?: number;
}

const EVERY_MS = 10_000;
/** First wait before it connects again; doubles to the second. */
const RETRY_MS = 1_000;
const RETRY_MS_MAX = 60_000;
/** Posts come many times a second: a connection as silent as this is dead. */
const SILENCE_MS = 60_000;
/** A post and its links; the server is asked to leave out what is longer. */
const MESSAGE_MAX = 64 * 1024;
/** After a loss it begins so much before the last post, for times are those of another machine. */
const OVERLAP_US = 2_000_000;
/** What was missed for longer is let go. */
const MISSED_US_MAX = 300_000_000;
/** Links of one post that are looked at. */
const LINKS_MAX = 8;
const URL_MAX = 2048;

const uri = v.pipe(v.string(), v.maxLength(URL_MAX));
/** `app.bsky.feed.post` in a commit as Jetstream gives it; what else stands in it is of no concern. */
const post = v.object({
  kind: v.literal('commit'),
  did: v.pipe(v.string(), v.maxLength(256)),
  time_us: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  commit: v.object({
    operation: v.literal('create'),
    collection: v.literal('app.bsky.feed.post'),
    record: v.object({
      embed: v.optional(v.unknown()),
      facets: v.optional(v.unknown()),
    }),
  }),
});
const external = v.object({ external: v.object({ uri }) });
const facets = v.pipe(
  v.array(
    v.object({
      features: v.pipe(v.array(v.unknown()), v.maxLength(LINKS_MAX)),
    }),
  ),
  v.maxLength(64),
);
const link = v.object({ $type: v.literal('app.bsky.richtext.facet#link'), uri });

/** Links of a post: the card that it shows, and those in its text. */
export function linksOf(record: { readonly embed?: unknown; readonly facets?: unknown }): string[] {
  const found = new Set<string>();
  const card = v.safeParse(external, record.embed);
  if (card.success) found.add(card.output.external.uri);
  const parts = v.safeParse(facets, record.facets);
  for (const { features } of parts.success ? parts.output : []) {
    for (const feature of features) {
      const one = v.safeParse(link, feature);
      if (one.success) found.add(one.output.uri);
    }
  }
  return [...found].slice(0, LINKS_MAX);
}

/** A new post, as far as it is of concern. */
export interface Post {
  readonly did: string;
  /** When Jetstream had it, Unix µs. */
  readonly timeUs: number;
  readonly links: readonly string[];
}

/** A message of Jetstream; undefined where it is no new post. Fails with `INPUT_MALFORMED` if it is not JSON. */
export function readPost(data: string): Post | undefined {
  let message: unknown;
  try {
    message = JSON.parse(data);
  } catch (error) {
    throw new PresageError('INPUT_MALFORMED', 'not JSON', {}, error);
  }
  const parsed = v.safeParse(post, message);
  if (!parsed.success) return undefined;
  const { did, time_us, commit } = parsed.output;
  return { did, timeUs: time_us, links: linksOf(commit.record) };
}

/**
 * Listens to Bluesky's Jetstream (JSON over WebSocket) for new posts, and counts the accounts that link to sites of
 * ours. The strength of a link is how many have done so of late. A connection that is lost or silent is opened again,
 * from a little before where it ended.
 */
export function listenJetstream(options: JetstreamOptions, deps: ConnectorDeps): Connector {
  const { clock, random, log, metrics } = deps;
  const state = new ConnectorState('jetstream');
  const tally = new LinkTally();
  let socket: WebSocket | undefined;
  let cursor: number | undefined;
  let heardAt = clock.monotonic();
  let unheard = 0;
  let closed = false;
  let cancelRetry = (): void => undefined;

  const received = (data: unknown): void => {
    heardAt = clock.monotonic();
    if (typeof data !== 'string' || data.length > MESSAGE_MAX) {
      malformed();
      return;
    }
    // Most posts link to nothing: those need not be parsed.
    if (!data.includes('"uri"') && cursor !== undefined) return;
    let read: Post | undefined;
    try {
      read = readPost(data);
    } catch {
      malformed();
      return;
    }
    if (read === undefined) return;
    const { did, timeUs, links } = read;
    cursor = Math.max(cursor ?? 0, timeUs);
    for (const url of links) {
      unheard += 1;
      if (deps.concerns(url)) tally.add(url, did, heardAt);
    }
  };
  const malformed = (): void => metrics.count('errors_total', { code: 'INPUT_MALFORMED' });

  const connect = (): void => {
    if (closed) return;
    heardAt = clock.monotonic();
    const opened = new WebSocket(addressOf(options.url, cursor, clock.now() * 1000));
    socket = opened;
    opened.addEventListener('open', () => {
      state.answered(clock.now(), 0);
      log.info('listening to a source of signals', { source: state.source });
    });
    opened.addEventListener('message', ({ data }) => {
      if (socket === opened) received(data);
    });
    // An error is followed by a close.
    opened.addEventListener('error', () => undefined);
    opened.addEventListener('close', ({ code }) => {
      if (closed || socket !== opened) return;
      lost(`closed with ${code}`);
    });
  };
  const lost = (reason: string): void => {
    socket = undefined;
    state.failed('SIGNAL_SOURCE');
    metrics.count('errors_total', { code: 'SIGNAL_SOURCE' });
    if (state.inRow === 1) log.warn('a source of signals was lost', { source: state.source, reason });
    const wait = Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.min(10, state.inRow - 1));
    cancelRetry = clock.after(jittered(wait, random), connect);
  };

  const tick = (): void => {
    if (closed) return;
    cancelTick = clock.after(options.everyMs ?? EVERY_MS, tick);
    if (socket?.readyState === WebSocket.OPEN) {
      state.answered(clock.now(), unheard);
      unheard = 0;
    }
    const heard = tally.take(clock.monotonic());
    if (heard.length > 0) deps.take(state.source, heard);
    if (socket === undefined || clock.monotonic() - heardAt < SILENCE_MS) return;
    const silent = socket;
    lost('silent');
    silent.close();
  };
  let cancelTick = clock.after(options.everyMs ?? EVERY_MS, tick);
  connect();

  return {
    status: () => state.status(),
    close() {
      closed = true;
      cancelTick();
      cancelRetry();
      socket?.close();
    },
  };
}

function addressOf(base: string, cursor: number | undefined, nowUs: number): string {
  const url = new URL(base);
  url.searchParams.set('wantedCollections', 'app.bsky.feed.post');
  url.searchParams.set('maxMessageSizeBytes', String(MESSAGE_MAX));
  if (cursor !== undefined && nowUs - cursor < MISSED_US_MAX)
    url.searchParams.set('cursor', String(cursor - OVERLAP_US));
  return url.href;
}
