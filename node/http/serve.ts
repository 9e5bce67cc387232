import type { IncomingMessage, ServerResponse } from 'node:http';
import { siteAllows } from '../../protocol/charter.ts';
import { coded, codeOf, PresageError } from '../../protocol/errors.ts';
import { type BodySource, type Draft, send } from './answer.ts';
import { type Answered, nothingUsed, setsCookie } from './answered.ts';
import { parseRanges } from './caching/ranges.ts';
import { variantOf } from './caching/vary.ts';
import type { EdgeContext, Resolved } from './context.ts';
import type { FillRequest, Growing } from './fill.ts';
import type { Fills } from './fills.ts';
import { forwardRange } from './forward-range.ts';
import { WINDOW_BYTES } from './growing.ts';
import type { Lookup, Selected } from './lookup.ts';
import type { OriginResponse } from './origin.ts';
import type { Part } from './parts.ts';
import { forwarded, pass, passedHead, passInterim } from './pass.ts';
import { refuse } from './refusal.ts';
import type { EdgeRequest } from './request.ts';
import type { StoredResponse } from './stored.ts';
import { underWay, useOf } from './use.ts';

/** A range that begins this far beyond the bytes that have come is fetched by itself. */
const AHEAD_MAX_BYTES = 4 * 1024 * 1024;
/** Times that a request looks again after a shared answer turned out not to be for it. */
const ATTEMPTS_MAX = 3;

/** Answers GET and HEAD: from the store where it may, else from peers or the origin. */
export class Server {
  readonly #context: EdgeContext;
  readonly #lookup: Lookup;
  readonly #fills: Fills;

  constructor(context: EdgeContext, lookup: Lookup, fills: Fills) {
    this.#context = context;
    this.#lookup = lookup;
    this.#fills = fills;
  }

  async answer(
    message: IncomingMessage,
    request: EdgeRequest,
    response: ServerResponse,
    resolved: Resolved,
  ): Promise<Answered> {
    const { deps, options, pop } = this.#context;
    if (!siteAllows(resolved.site, options.name)) {
      // A client that DNS did not send here: it is served, and nothing is kept.
      const status = `${pop}; fwd=bypass; detail=not-allowed`;
      return forwardRange(this.#context, message, request, response, resolved, status, false);
    }
    const now = deps.demand.now();
    let selected = this.#lookup.select(resolved, request.lines);
    if (!selected?.stored.fresh(now)) {
      const other = this.#lookup.represented(resolved, request.lines, now);
      if (other && useOf(other, request, now, options.clientDirectives) === 'fresh') selected = other;
    }
    if (selected) {
      const use = useOf(selected, request, now, options.clientDirectives);
      if (use === 'while-revalidating') this.#refresh(request, resolved, selected);
      if (use !== 'revalidate') {
        const fresh = selected.stored.fresh(now);
        const sent = await this.#sendStored(
          request,
          response,
          selected.stored,
          now,
          fresh ? 'hit' : 'hit; detail=stale',
        );
        if (sent) return { ...sent, hit: fresh ? 'hit' : 'stale' };
        selected = undefined;
      }
    }
    const part = selected ? undefined : this.#context.parts.find(resolved, request);
    if (
      part &&
      useOf({ stored: part.stored, standing: 'valid' }, request, now, options.clientDirectives) === 'fresh'
    )
      return this.#sendPart(request, response, part, now);
    if (request.directives.has('only-if-cached')) {
      const error = new PresageError('ORIGIN_TIMEOUT', 'Nothing stored answers this only-if-cached request');
      return nothingUsed(
        refuse(response, error, pop, `${pop}; fwd=request; detail=only-if-cached`, 504),
        'miss',
      );
    }
    const why = !selected
      ? this.#lookup.known(resolved)
        ? 'vary-miss'
        : 'uri-miss'
      : selected.stored.fresh(now)
        ? 'request'
        : 'stale';
    if (request.method === 'HEAD') {
      const status = `${pop}; fwd=${why}`;
      return forwardRange(
        this.#context,
        message,
        request,
        response,
        resolved,
        status,
        false,
        selected?.stored,
      );
    }
    return this.#fetch(message, request, response, resolved, selected, why);
  }

  async #fetch(
    message: IncomingMessage,
    request: EdgeRequest,
    response: ServerResponse,
    resolved: Resolved,
    selected: Selected | undefined,
    why: string,
  ): Promise<Answered> {
    const { deps, options, pop } = this.#context;
    let askPeers = true;
    let alone = false;
    for (let attempt = 0; ; attempt++) {
      const unshared = this.#fills.unshared(resolved.key16);
      const particular = unshared || this.#fills.varies(resolved.key16) || !request.directives.empty;
      if (particular && !selected && attempt === 0) {
        // What was just received is about to be stored: its validator, or that it fits what the client asks of its
        // variant or age, saves asking.
        const ending = this.#fills.ending(resolved.key16);
        if (ending) {
          await ending.done;
          selected = this.#lookup.select(resolved, request.lines);
          const now = deps.demand.now();
          if (selected && useOf(selected, request, now, options.clientDirectives) === 'fresh') {
            const sent = await this.#sendStored(request, response, selected.stored, now, 'hit');
            if (sent) return { ...sent, hit: 'hit' };
            selected = undefined;
          }
        }
      }
      const partial = request.conditional || request.range !== undefined;
      if ((unshared && partial && !selected) || attempt === ATTEMPTS_MAX) {
        return forwardRange(this.#context, message, request, response, resolved, `${pop}; fwd=${why}`);
      }
      const wanted = this.#wanted(request, resolved, selected, unshared || alone, response);
      wanted.askPeers &&= askPeers;
      const { fill, leader } = this.#fills.join(wanted);
      const { ending: whole, answered: late } = fill;
      const outcome = await fill.outcome;
      const collapsed = leader ? '' : '; collapsed';
      switch (outcome.kind) {
        case 'stored': {
          const stored = this.#context.stored(outcome.replica, resolved.site.private);
          const standing = deps.index.standing(outcome.replica);
          const now = deps.demand.now();
          const ready = standing === 'valid' && (outcome.how === 'revalidated' || stored.fresh(now));
          selected =
            stored.selectedBy(request.lines) && standing !== 'gone' ? { stored, standing } : undefined;
          if (selected && ready) {
            const detail = outcome.how === 'peer' ? 'detail=peer; stored' : 'fwd-status=304';
            const status = `fwd=${why}; ${detail}${collapsed}`;
            const sent = await this.#sendStored(request, response, stored, now, status);
            if (sent) return { ...sent, hit: outcome.how };
            selected = undefined;
          }
          // What the peers have is stale, or another variant: the origin has to confirm or to send it.
          askPeers = false;
          break;
        }
        case 'growing': {
          if (!leader) {
            if (variantOf(outcome.names, request.lines) !== outcome.variant) break;
            if (!outcome.body.joinable || deps.demand.now() - outcome.bornAt >= outcome.lifetimeMs) {
              this.#fills.withdraw(fill);
              break;
            }
            const aged = { stored: underWay(outcome.bornAt, outcome.lifetimeMs), standing: 'valid' } as const;
            if (late && useOf(aged, request, deps.demand.now(), options.clientDirectives) !== 'fresh') {
              alone = true;
              break;
            }
          }
          if (farAhead(request, outcome)) {
            const passed = `${pop}; fwd=${why}; detail=range-ahead`;
            return forwardRange(this.#context, message, request, response, resolved, passed);
          }
          const part = whole ? 'hit' : leader ? 'leader' : 'miss';
          const status = whole
            ? 'hit; detail=storing'
            : `fwd=${why}${collapsed}; fwd-status=${outcome.status}; stored`;
          const answered = await this.#sendGrowing(request, response, resolved, outcome, part, status);
          if (answered) return answered;
          // The bytes that this request needs were given up before it could read them.
          this.#fills.withdraw(fill);
          break;
        }
        case 'unshared':
          if (!leader) break;
          if (request.range !== undefined && wasteful(outcome.response)) {
            // The client asked for less than the whole, and the whole is of no use to anyone.
            outcome.response.body.destroy();
            break;
          }
          return {
            ...nothingUsed(
              await pass(
                this.#context,
                request,
                response,
                resolved,
                outcome.response,
                `${pop}; fwd=${why}; fwd-status=${outcome.response.status}; detail=${outcome.why}`,
              ),
              'pass',
            ),
            setsCookie: setsCookie(outcome.response.headers),
          };
        case 'failed': {
          // A purge may have come while the origin was failing.
          if (wanted.standIn && selected && deps.index.standing(selected.stored.replica) === 'valid') {
            const now = deps.demand.now();
            const { status: code } = outcome.error.data;
            const forwardStatus = typeof code === 'number' ? `; fwd-status=${code}` : '';
            const status = `fwd=stale${forwardStatus}; detail=${outcome.error.code}`;
            const sent = await this.#sendStored(request, response, selected.stored, now, status);
            if (sent) return { ...sent, hit: 'stale' };
            selected = undefined;
            break;
          }
          return nothingUsed(refuse(response, outcome.error, pop, `${pop}; fwd=${why}`), 'miss');
        }
      }
    }
  }

  #wanted(
    request: EdgeRequest,
    resolved: Resolved,
    selected: Selected | undefined,
    unshared: boolean,
    response: ServerResponse | undefined,
  ): FillRequest & { askPeers: boolean } {
    const { deps, options } = this.#context;
    const solo = request.authorised || unshared || request.directives.has('no-store');
    return {
      resolved,
      lines: request.lines,
      headers: forwarded(this.#context, request, resolved, true),
      authorised: request.authorised,
      directives: request.directives,
      stored: selected?.stored,
      standIn:
        selected?.standing === 'valid' &&
        selected.stored.mayStandIn(deps.demand.now(), options.staleIfErrorSeconds),
      source: 'client',
      askPeers: !selected && !solo,
      solo,
      ...(response && {
        interim: (status, headers) => {
          if (!response.headersSent && !response.destroyed) passInterim(response, status, headers);
        },
      }),
    };
  }

  /** Renews a stale response while it is being served; nobody waits for it. */
  #refresh(request: EdgeRequest, resolved: Resolved, selected: Selected): void {
    const { fill, leader } = this.#fills.join(this.#wanted(request, resolved, selected, false, undefined));
    if (!leader) return;
    void fill.outcome.then((outcome) => {
      if (outcome.kind === 'unshared') outcome.response.body.destroy();
    });
  }

  /** Sends a stored response; `undefined` if its content is not to be had, and then nothing was sent. */
  async #sendStored(
    request: EdgeRequest,
    response: ServerResponse,
    stored: StoredResponse,
    now: number,
    status: string,
  ): Promise<Omit<Answered, 'hit'> | undefined> {
    const { deps } = this.#context;
    const { replica } = stored;
    const body: BodySource = {
      size: replica.size,
      whole: deps.blobs.peek(replica.content),
      read: (start, end) => deps.blobs.read(replica.content, start, end),
    };
    const draft = this.#draft(stored, now, status, body);
    try {
      const sent = await send(request, response, draft, deps.clock.now());
      stored.usedAt = now;
      deps.index.touch(replica);
      return { ...sent, size: replica.size, used: stored, setsCookie: stored.setsCookie };
    } catch (error) {
      const code = codeOf(error);
      deps.metrics.count('presage_edge_lost_content_total', { code });
      // A disk that refuses for now loses nothing.
      if (code.startsWith('CONTENT_')) await deps.index.drop(replica.key16, replica.variant);
      return undefined;
    }
  }

  #draft(stored: StoredResponse, now: number, status: string, body: BodySource): Draft {
    const age = Math.floor(stored.ageMs(now) / 1000);
    const ttl = Math.floor(stored.lifetimeMs / 1000) - age;
    const cacheStatus = `${this.#context.pop}; ${status}; ttl=${ttl}`;
    return {
      status: stored.replica.status,
      stored: stored.headers,
      head: stored.head(age, cacheStatus),
      shortHead: stored.shortHead(age, cacheStatus),
      body,
      patienceMs: this.#context.options.clientTimeoutMs,
    };
  }

  async #sendPart(
    request: EdgeRequest,
    response: ServerResponse,
    { stored, read }: Part,
    now: number,
  ): Promise<Answered> {
    const { size } = stored.replica;
    const draft = this.#draft(stored, now, 'hit; detail=part', { size, whole: undefined, read });
    const sent = await send(request, response, draft, this.#context.deps.clock.now());
    return { ...sent, hit: 'hit', size, used: undefined, setsCookie: stored.setsCookie };
  }

  async #sendGrowing(
    request: EdgeRequest,
    response: ServerResponse,
    resolved: Resolved,
    growing: Growing,
    part: 'leader' | 'miss' | 'hit',
    status: string,
  ): Promise<Answered | undefined> {
    const { deps, pop } = this.#context;
    const cacheStatus = `${pop}; ${status}`;
    const fields = part === 'leader' ? growing.received : growing.headers;
    const age = Math.max(0, Math.floor((deps.demand.now() - growing.bornAt) / 1000));
    const head = without(
      passedHead(this.#context, resolved, fields, cacheStatus),
      part === 'leader' ? ['content-length'] : ['content-length', 'age'],
    );
    if (part !== 'leader') head.push('age', String(age));
    const draft: Draft = {
      status: growing.status,
      stored: growing.headers,
      head,
      shortHead: head,
      body: {
        size: growing.length,
        whole: undefined,
        read: (start, end) => growing.body.read(start, end),
        trailers: () => growing.body.trailers,
      },
      patienceMs: this.#context.options.clientTimeoutMs,
    };
    const size = () => growing.length ?? growing.body.length;
    try {
      const sent = await send(request, response, draft, deps.clock.now());
      return {
        ...sent,
        hit: part === 'hit' ? 'hit' : 'miss',
        size: size(),
        used: undefined,
        setsCookie: setsCookie(growing.headers),
      };
    } catch (error) {
      const failure = coded(error);
      if (failure.code.startsWith('CONTENT_')) return undefined;
      return nothingUsed(refuse(response, failure, pop, cacheStatus), 'miss');
    }
  }
}

function without(head: readonly string[], names: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at < head.length; at += 2)
    if (!names.includes(head[at]!)) kept.push(head[at]!, head[at + 1]!);
  return kept;
}

/** Whether a range lies so far beyond what has come that waiting for it would take longer than asking for it. */
function farAhead(request: EdgeRequest, growing: Growing): boolean {
  if (request.range === undefined || growing.length === undefined || growing.status !== 200) return false;
  const [first] = parseRanges(request.range, growing.length) ?? [];
  return first !== undefined && first.start - growing.body.length > AHEAD_MAX_BYTES;
}

/** Whether the whole of an answer is large against what a client wants who asked for a range. */
const wasteful = (answer: OriginResponse): boolean =>
  answer.status === 200 && (answer.length === undefined || answer.length > WINDOW_BYTES);
