import { coded, PresageError } from '../../protocol/errors.ts';
import type { Key16 } from '../../protocol/ids.ts';
import type { BlobWriter } from '../../protocol/ports.ts';
import type { FetchTicket, Replica } from '../../protocol/replica.ts';
import { boundedCache } from '../bounded-cache.ts';
import { bodiless } from './answer.ts';
import { ageValue } from './caching/freshness.ts';
import { policyOf } from './caching/policy.ts';
import { storability } from './caching/storability.ts';
import { renewed, revalidationFields } from './caching/validators.ts';
import { variantOf, varyNames } from './caching/vary.ts';
import type { EdgeContext } from './context.ts';
import { Fill, type FillRequest, type Growing, type Outcome } from './fill.ts';
import { GrowingBody } from './growing.ts';
import type { OriginResponse } from './origin.ts';
import { storedFields } from './stored-fields.ts';
import { tagsOf } from './tags.ts';

/** Resources whose Vary, or whose unfitness for the store, is remembered. */
const REMEMBERED = 16_384;
/** How long requests for a resource that could not be stored do not wait for each other, real ms. */
const UNSHARED_MS = 60_000;
/** Variants kept of one resource; the one used longest ago goes when one more comes, so that no client can fill memory with them. */
const VARIANTS_MAX = 32;
/** Longest description of a variant, characters; clients choose what stands in it. */
const VARIANT_LENGTH_MAX = 1024;
/** How often an answer that a purge has overtaken is asked for again; purges without pause must not hold clients up. */
const ANEW_MAX = 2;
/** Failures of an origin after which a stale response may stand in (RFC 5861 §4). */
const FAILURES = new Set([500, 502, 503, 504]);

/** All fills under way, one for each resource and variant. */
export class Fills {
  readonly #context: EdgeContext;
  readonly #running = new Map<string, Fill>();
  readonly #all = new Set<Fill>();
  readonly #unshared = boundedCache<Key16, true>(REMEMBERED, UNSHARED_MS);
  readonly #names = boundedCache<Key16, readonly string[]>(REMEMBERED);

  constructor(context: EdgeContext) {
    this.#context = context;
  }

  /** Whether the last answer for this resource said that it varies by fields of the request. */
  varies(key16: Key16): boolean {
    return (this.#names.get(key16)?.length ?? 0) > 0;
  }

  /** Whether the last answer for this resource could not be stored. */
  unshared(key16: Key16): boolean {
    return this.#unshared.has(key16);
  }

  /** Joins the fill that is under way, or begins one. */
  join(request: FillRequest): { readonly fill: Fill; readonly leader: boolean } {
    const { key16 } = request.resolved;
    const name = nameOf(key16, variantOf(this.#names.get(key16) ?? [], request.lines));
    const running = request.solo ? undefined : this.#running.get(name);
    if (running) {
      // Who asks after a purge was acknowledged must not be given what was asked for before it.
      if (!this.#context.deps.index.overtaken?.(running.ticket, running.tags)) {
        return { fill: running, leader: false };
      }
      this.withdraw(running);
    }
    const fill = this.#begin(request);
    this.#all.add(fill);
    if (!request.solo) this.#publish(fill, name);
    const ended = () => {
      this.#all.delete(fill);
      this.withdraw(fill);
    };
    fill.done.then(ended, ended);
    return { fill, leader: true };
  }

  /** Has an answer stored that the origin gave to another request than a fill's, unless a change overtakes it. */
  take(
    request: FillRequest,
    response: OriginResponse,
    times: { requestedAt: number; receivedAt: number },
  ): void {
    const { key, key16, site } = request.resolved;
    const ticket = request.ticket ?? this.#context.deps.index.begin(key, key16, site.id);
    const fill = new Fill(key16, ticket, (begun) => {
      const { promise: done, resolve } = Promise.withResolvers<Replica | undefined>();
      const outcome = Promise.resolve().then(() => {
        const judged = this.#judge(begun, request, response, ticket, times, resolve);
        if (judged.kind === 'growing') return judged;
        response.body.destroy();
        resolve(undefined);
        return judged;
      });
      return { outcome, done };
    });
    this.#all.add(fill);
    void fill.done.then(() => this.#all.delete(fill));
  }

  /** Answers that are under way for a resource are older than a change of it: they serve who waits, and end there. */
  taint(key16: Key16): void {
    for (const fill of this.#all) {
      if (fill.key16 !== key16) continue;
      fill.tainted = true;
      this.withdraw(fill);
    }
  }

  /** The fill of a resource whose answer is complete and on its way to the disk, if there is one. */
  ending(key16: Key16): Fill | undefined {
    for (const fill of this.#all) if (fill.ending && fill.key16 === key16) return fill;
    return undefined;
  }

  /** Waits for the answers that are complete and on their way to the disk: a restart finds what was served before it. */
  async stored(): Promise<void> {
    await Promise.allSettled([...this.#all].filter(({ ending }) => ending).map(({ done }) => done));
  }

  #publish(fill: Fill, name: string): void {
    fill.names.add(name);
    this.#running.set(name, fill);
  }

  /** Lets nobody join a fill any more. */
  withdraw(fill: Fill): void {
    for (const name of fill.names) if (this.#running.get(name) === fill) this.#running.delete(name);
    fill.names.clear();
  }

  get running(): number {
    return this.#all.size;
  }

  #begin(request: FillRequest): Fill {
    const { key, key16, site } = request.resolved;
    const ticket = request.ticket ?? this.#context.deps.index.begin(key, key16, site.id);
    return new Fill(key16, ticket, (fill) => {
      let settle: (replica: Promise<Replica | undefined> | undefined) => void = () => undefined;
      const done = new Promise<Replica | undefined>((resolve) => {
        settle = resolve;
      });
      const outcome = Promise.resolve()
        .then(() => this.#run(fill, request, settle))
        .catch((error): Outcome => ({ kind: 'failed', error: coded(error) }))
        .finally(() => settle(undefined));
      return { outcome, done };
    });
  }

  async #run(
    fill: Fill,
    request: FillRequest,
    settle: (stored: Promise<Replica | undefined>) => void,
  ): Promise<Outcome> {
    const { deps } = this.#context;
    if (request.askPeers) {
      const replica = await this.#askPeers(request);
      if (replica) {
        settle(Promise.resolve(replica));
        return { kind: 'stored', replica, how: 'peer' };
      }
    }
    const { resolved, stored } = request;
    const ticket = request.ticket ?? deps.index.begin(resolved.key, resolved.key16, resolved.site.id);
    const requestedAt = deps.demand.now();
    const response = await deps.origin.fetch({
      site: resolved.site,
      method: 'GET',
      path: resolved.path,
      host: resolved.host,
      headers: stored ? [...request.headers, ...revalidationFields(stored.headers)] : request.headers,
      ...(request.interim && { interim: request.interim }),
    });
    const times = { requestedAt, receivedAt: deps.demand.now() };
    if (response.status === 304 && stored) {
      response.body.destroy();
      const headers = renewed(stored.headers, storedFields(response, []));
      const replica = fill.tainted
        ? undefined
        : await deps.index.refresh(ticket, stored.replica, headers, times.requestedAt, times.receivedAt);
      if (replica) {
        settle(Promise.resolve(replica));
        return { kind: 'stored', replica, how: 'revalidated' };
      }
      // A purge has overtaken the validation; the whole is fetched under a new ticket.
      const { ticket: _overtaken, ...rest } = request;
      return this.#run(fill, { ...rest, stored: undefined, askPeers: false }, settle);
    }
    const anew = request.anew ?? 0;
    if (anew < ANEW_MAX && deps.index.overtaken?.(ticket, tagsOf(response.headers))) {
      // A purge has overtaken the request, and nobody has been given a byte of the answer: it is asked for again.
      response.body.destroy();
      fill.ticket = deps.index.begin(resolved.key, resolved.key16, resolved.site.id);
      const again = { ...request, ticket: fill.ticket, anew: anew + 1, stored: undefined, askPeers: false };
      return this.#run(fill, again, settle);
    }
    return this.#judge(fill, request, response, ticket, times, settle);
  }

  #judge(
    fill: Fill,
    request: FillRequest,
    response: OriginResponse,
    ticket: FetchTicket,
    times: { requestedAt: number; receivedAt: number },
    settle: (stored: Promise<Replica | undefined>) => void,
  ): Outcome {
    const { deps, options } = this.#context;
    const { key16 } = request.resolved;
    if (request.standIn && FAILURES.has(response.status)) {
      response.body.destroy();
      const reason = `The origin answered ${response.status}`;
      return {
        kind: 'failed',
        error: new PresageError('ORIGIN_UNREACHABLE', reason, { status: response.status }),
      };
    }
    const verdict = storability(
      {
        method: 'GET',
        authorised: request.authorised,
        requestDirectives: request.directives,
        status: response.status,
        headers: response.headers,
        policy: policyOf(response.headers),
      },
      options.heuristic,
      response.receivedAt,
    );
    const why = !verdict.store
      ? verdict.why
      : !response.framed && !bodiless(response.status)
        ? ('framing' as const)
        : (response.length ?? 0) > options.maxObjectBytes
          ? ('size' as const)
          : undefined;
    if (why !== undefined || !verdict.store) {
      // What only this client's own fields forbade says nothing of the resource: nobody may part others by asking oddly.
      const clientMade = why === 'authorization' || request.directives.has('no-store');
      if (response.status < 500 && !clientMade) this.#unshared.set(key16, true);
      return { kind: 'unshared', response, why: why ?? 'status' };
    }
    const headers = storedFields(response, verdict.omit);
    fill.tags = tagsOf(headers);
    const names = varyNames(headers);
    if (names === '*') return { kind: 'unshared', response, why: 'vary' };
    if (names.length > 0 || this.#names.has(key16)) this.#names.set(key16, names);
    const variant = variantOf(names, request.lines);
    if (variant.length > VARIANT_LENGTH_MAX) return { kind: 'unshared', response, why: 'vary' };
    const { lifetime } = verdict;
    if (lifetime === 0) {
      // Each request has to be validated on its own: nobody is served by waiting for another's answer.
      this.#unshared.set(key16, true);
      this.withdraw(fill);
    } else {
      this.#unshared.delete(key16);
      if (fill.names.size > 0) this.#publish(fill, nameOf(key16, variant));
    }
    const growing: Growing = {
      bornAt: times.receivedAt - ageValue(headers) * 1000,
      lifetimeMs: lifetime * 1000,
      kind: 'growing',
      status: response.status,
      received: response.headers,
      headers,
      names,
      variant,
      body: new GrowingBody(deps.blobs),
      length: response.length,
    };
    fill.answered = true;
    const stored = this.#pump(fill, request, response, growing, ticket, times);
    stored.catch(() => undefined);
    settle(stored.catch(() => undefined));
    return growing;
  }

  /** Reads the origin to the end, for the clients and for the store at once. */
  async #pump(
    fill: Fill,
    request: FillRequest,
    response: OriginResponse,
    growing: Growing,
    ticket: FetchTicket,
    times: { requestedAt: number; receivedAt: number },
  ): Promise<Replica | undefined> {
    const { deps } = this.#context;
    const { body } = growing;
    let writer: BlobWriter | undefined;
    const giveUp = async (error: unknown): Promise<void> => {
      this.#notStored(request, error);
      await writer?.abort().catch(() => undefined);
      writer = undefined;
      this.withdraw(fill);
      body.stored(undefined);
    };
    try {
      writer = await deps.blobs.create({ sealed: request.resolved.site.private });
    } catch (error) {
      await giveUp(error);
    }
    try {
      for await (const chunk of response.body as AsyncIterable<Buffer>) {
        body.push(chunk);
        if (writer) await writer.write(chunk).catch(giveUp);
        if (!writer && !(await body.room())) throw new PresageError('CANCELLED', 'Nobody reads any more');
      }
    } catch (error) {
      await writer?.abort().catch(() => undefined);
      body.fail(coded(error, 'ORIGIN_UNREACHABLE'));
      return undefined;
    }
    body.end(response.trailers());
    if (!writer) return undefined;
    if (fill.tainted && body.inMemory) {
      await giveUp(new PresageError('CONTENT_FENCED'));
      return undefined;
    }
    fill.ending = true;
    try {
      const { hash, size } = await writer.finish();
      body.stored(hash);
      const stored = await deps.index.store(ticket, {
        variant: growing.variant,
        status: growing.status,
        headers: growing.headers,
        content: hash,
        size,
        requestedAt: times.requestedAt,
        receivedAt: times.receivedAt,
        tags: tagsOf(growing.headers),
        source: request.source,
      });
      // It may stand for other URLs at once, before it is asked for by its own.
      if (stored) this.#context.stored(stored, request.resolved.site.private);
      await this.#limitVariants(request.resolved.key16);
      // Some reader needed the stored bytes; nobody else is to have them.
      if (fill.tainted && stored) await deps.index.drop(stored.key16, stored.variant);
      return fill.tainted ? undefined : stored;
    } catch (error) {
      await giveUp(error);
      return undefined;
    }
  }

  async #limitVariants(key16: Key16): Promise<void> {
    const { index } = this.#context.deps;
    const held = index.get(key16);
    if (held.length <= VARIANTS_MAX) return;
    const usedAt = (replica: Replica): number =>
      Math.max(this.#context.stored(replica).usedAt, replica.receivedAt);
    const least = [...held].sort((a, b) => usedAt(b) - usedAt(a)).slice(VARIANTS_MAX);
    for (const { variant } of least) await index.drop(key16, variant);
  }

  async #askPeers(request: FillRequest): Promise<Replica | undefined> {
    const { deps, options } = this.#context;
    const { key, key16, site } = request.resolved;
    const deadline = AbortSignal.timeout(options.peerTimeoutMs);
    try {
      return await deps.fill.fill(
        { key, key16, site, held: deps.index.get(key16), request: request.lines },
        deadline,
      );
    } catch (error) {
      deps.metrics.count('presage_edge_peer_failures_total', { code: coded(error).code });
      return undefined;
    }
  }

  #notStored(request: FillRequest, error: unknown): void {
    const failure = coded(error, 'STORE_IO');
    this.#context.deps.metrics.count('presage_edge_not_stored_total', { code: failure.code });
    this.#context.deps.log.warn('A response could not be stored', {
      key16: request.resolved.key16,
      code: failure.code,
      reason: failure.message,
    });
  }
}

const nameOf = (key16: Key16, variant: string): string => `${key16}\n${variant}`;
