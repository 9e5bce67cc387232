import { coded, codeOf, type PresageError } from '../protocol/errors.ts';
import type { HybridClock } from '../protocol/hybrid-clock.ts';
import type { PopId } from '../protocol/ids.ts';
import { INVALIDATOR_TICK_MS, Invalidator } from '../protocol/invalidator.ts';
import type { InvalidatorEffect, InvalidatorInput, PurgeOrder } from '../protocol/invalidator-steps.ts';
import type { Gossip, Peers, Streams, Verdict } from '../protocol/ports.ts';
import type { SignedPurge, Verify } from '../protocol/purge.ts';
import type { PurgeResult } from '../protocol/purge-waiters.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';
import type { PurgeLedger } from './purge-ledger.ts';

/** How long a peer may take for one call, ms: an fsync on a busy disk and a wide-area round trip. */
const CALL_DEADLINE_MS = 5_000;

export type InvalidatorMessage =
  /** Purges; answered when the purge is durable and, with `wait`, acknowledged by every connected peer or overdue. */
  | { readonly type: 'issue'; readonly order: PurgeOrder; readonly reply: Reply<PurgeResult> }
  | { readonly type: 'status'; readonly reply: Reply<InvalidatorStatus> }
  | { readonly type: 'tick' }
  | { readonly type: 'failed'; readonly error: PresageError };

export interface InvalidatorStatus {
  readonly purges: number;
  readonly reconciled: boolean;
  /** Purges of this PoP since it started. */
  readonly issued: number;
  /** Purges that came from others since it started. */
  readonly heard: number;
  /** Own purges that somebody waits to see acknowledged. */
  readonly waiting: number;
  /** Connected peers whose purges equal those known here, as far as was last compared. */
  readonly inStep: readonly PopId[];
}

export interface InvalidatorDeps {
  readonly ledger: PurgeLedger;
  readonly hybrid: HybridClock;
  readonly gossip: Gossip;
  readonly streams: Streams;
  readonly peers: Peers;
  /** Checks signatures alone: purges of a PoP whose certificate has expired still hold. */
  readonly verify: Verify;
  /** No peer is configured. */
  readonly alone: boolean;
  /** Whether a PoP has a valid certificate now; what is kept of others is bounded. */
  certified?(pop: PopId): boolean;
  /** PoPs known to the cluster, connected or not. */
  roster?(): readonly PopId[];
  /** Purges that have just come into force here, own ones among them. */
  applied(purges: readonly SignedPurge[]): void;
  reconciled?(reconciled: boolean): void;
}

/** Issues purges, spreads them, takes and acknowledges those of others, and reconciles with peers. */
export function invalidatorSpec(deps: InvalidatorDeps): ActorSpec<InvalidatorMessage> {
  return {
    name: 'invalidator',
    mailbox: { capacity: 4096, overflow: 'refuse' },
    create: (context) => new InvalidatorActor(deps, context),
  };
}

class InvalidatorActor implements Behaviour<InvalidatorMessage> {
  readonly #deps: InvalidatorDeps;
  readonly #context: ActorContext<InvalidatorMessage>;
  readonly #machine: Invalidator;
  readonly #issues = new Map<number, Reply<PurgeResult>>();
  readonly #requests = new Map<number, PromiseWithResolvers<Uint8Array>>();
  readonly #unwatch: () => void;
  readonly #writes = new Set<Promise<void>>();
  #stopped = false;
  #token = 0;
  #issued = 0;
  #heard = 0;

  constructor(deps: InvalidatorDeps, context: ActorContext<InvalidatorMessage>) {
    this.#deps = deps;
    this.#context = context;
    const { ledger, hybrid, gossip, streams, peers, verify, alone, roster } = deps;
    this.#machine = new Invalidator({
      ...{ invalidations: ledger.invalidations, clock: hybrid, verify, alone, damaged: ledger.damaged },
      unwritten: ledger.unwritten(),
      ...(deps.certified && { certified: (pop: PopId) => deps.certified?.(pop) ?? false }),
      ...(roster && { roster: () => roster.call(deps) }),
    });
    ledger.reconciled = this.#machine.reconciled;
    gossip.subscribe('purge', (author, bytes) => this.#gossiped(author, bytes));
    streams.handle('purge', (from, bytes) => this.#requested(from, bytes));
    this.#unwatch = peers.watch((peer, up) => this.#step({ type: 'peer', peer, up }));
    for (const peer of peers.connected()) this.#step({ type: 'peer', peer, up: true });
    context.every(INVALIDATOR_TICK_MS, { type: 'tick' });
  }

  receive(message: InvalidatorMessage): void {
    switch (message.type) {
      case 'issue': {
        const token = ++this.#token;
        this.#issues.set(token, message.reply);
        this.#step({ type: 'issue', token, order: message.order });
        return;
      }
      case 'tick':
        this.#step({ type: 'tick' });
        this.#context.metrics.gauge('purges', this.#deps.ledger.invalidations.size);
        return;
      case 'status':
        message.reply.ok({
          purges: this.#deps.ledger.invalidations.size,
          reconciled: this.#machine.reconciled,
          issued: this.#issued,
          heard: this.#heard,
          waiting: this.#machine.waiting,
          inStep: this.#machine.inStep(),
        });
        return;
      case 'failed':
        throw message.error;
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unwatch();
    await Promise.allSettled(this.#writes);
  }

  #gossiped(author: PopId, bytes: Uint8Array): Verdict {
    if (this.#stopped) return { verdict: 'ignore', code: 'ACTOR_STOPPED' };
    const { verdict, effects } = this.#machine.heard(author, bytes, this.#context.clock.now());
    this.#run(effects);
    return verdict;
  }

  #requested(from: PopId, bytes: Uint8Array): Promise<Uint8Array> {
    const answer = Promise.withResolvers<Uint8Array>();
    const token = ++this.#token;
    this.#requests.set(token, answer);
    this.#step({ type: 'request', token, from, bytes });
    return answer.promise;
  }

  /**
   * One step of the machine. Steps are synchronous, so that they may come from the network and the disk as well as
   * from the mailbox: a purge is in force without waiting its turn, and a finished write is never refused.
   */
  #step(input: InvalidatorInput): void {
    if (this.#stopped) return;
    try {
      this.#run(this.#machine.step(input, this.#context.clock.now()));
    } catch (error) {
      this.#stopped = true;
      this.#unwatch();
      this.#context.self.tell({ type: 'failed', error: coded(error, 'ACTOR_FAILED') });
    }
  }

  #run(effects: readonly InvalidatorEffect[]): void {
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: InvalidatorEffect): void {
    const { gossip, streams, ledger } = this.#deps;
    const { metrics } = this.#context;
    switch (effect.type) {
      case 'persist':
        this.#write(effect.token, effect.puts, effect.removes);
        return;
      case 'publish':
        gossip.publish('purge', effect.bytes).catch((error: unknown) => {
          metrics.count('gossip_failures_total', { topic: 'purge', code: codeOf(error) });
        });
        return;
      case 'call':
        streams.call(effect.peer, 'purge', effect.bytes, { deadlineMs: CALL_DEADLINE_MS }).then(
          (bytes) => this.#step({ type: 'answered', token: effect.token, bytes }),
          (error: unknown) => {
            metrics.count('purge_call_failures_total', { code: codeOf(error) });
            this.#step({ type: 'failed', token: effect.token });
          },
        );
        return;
      case 'reply':
        this.#takeRequest(effect.token)?.resolve(effect.bytes);
        return;
      case 'settled':
        this.#issued += 1;
        this.#takeIssue(effect.token)?.ok(effect.result);
        return;
      case 'refused':
        // Tokens of issues and of requests are drawn from one sequence.
        this.#takeRequest(effect.token)?.reject(effect.error);
        this.#takeIssue(effect.token)?.fail(effect.error);
        return;
      case 'applied':
        this.#heard += effect.purges.filter(({ issuer }) => issuer !== ledger.invalidations.self).length;
        metrics.count('purges_applied_total', {}, effect.purges.length);
        this.#deps.applied(effect.purges);
        return;
      case 'reconciled':
        ledger.reconciled = effect.reconciled;
        metrics.gauge('purges_reconciled', effect.reconciled ? 1 : 0);
        this.#context.log.info(effect.reconciled ? 'purges are reconciled' : 'cut off from all peers');
        this.#deps.reconciled?.(effect.reconciled);
        return;
      case 'fault':
        metrics.count('errors_total', { code: effect.code });
        this.#context.log.warn('a purge message was not taken as it was', {
          peer: effect.from,
          code: effect.code,
        });
    }
  }

  #write(token: number, puts: readonly SignedPurge[], removes: readonly SignedPurge[]): void {
    const writing = this.#deps.ledger.write(puts, removes).then(
      () => this.#step({ type: 'persisted', token }),
      (error: unknown) => {
        const code = codeOf(error, 'STORE_IO');
        this.#context.log.error('purges could not be written', { code, purges: puts.length });
        this.#step({ type: 'not-persisted', token, code });
      },
    );
    this.#writes.add(writing);
    writing.finally(() => this.#writes.delete(writing));
  }

  #takeRequest(token: number): PromiseWithResolvers<Uint8Array> | undefined {
    const request = this.#requests.get(token);
    this.#requests.delete(token);
    return request;
  }

  #takeIssue(token: number): Reply<PurgeResult> | undefined {
    const issue = this.#issues.get(token);
    this.#issues.delete(token);
    return issue;
  }
}
