import { Agreement } from '../protocol/agreement.ts';
import type {
  AgreementEffect,
  AgreementInput,
  AgreementOptions,
  AgreementTable,
  AgreementWrite,
  Decided,
  Equivocation,
} from '../protocol/agreement-steps.ts';
import { coded, codeOf, type PresageError } from '../protocol/errors.ts';
import type { PopId } from '../protocol/ids.ts';
import type { Database, Gossip, Peers, Streams, TableSpec, TableWrite, Verdict } from '../protocol/ports.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';

/** How long a peer may take to accept a message, ms: a snapshot over a slow path. */
const SEND_DEADLINE_MS = 10_000;

/** One table for all of it, so that what belongs together is written in one batch with one fsync. */
const RECORDS: TableSpec<Uint8Array> = {
  name: 'agreement',
  prefix: 20,
  encode: (value) => value,
  decode: (bytes) => new Uint8Array(bytes),
};

export type AgreementMessage =
  | { readonly type: 'status'; readonly reply: Reply<AgreementStatus> }
  /** To be carried by this PoP's proposals until decided: a leave, a ban. */
  | { readonly type: 'operation'; readonly operation: Uint8Array }
  /** What this PoP asks to be let in with while it is no member. */
  | { readonly type: 'joining'; readonly operation: Uint8Array | undefined }
  | { readonly type: 'failed'; readonly error: PresageError };

export interface AgreementStatus {
  /** The last height decided, 0 before the first. */
  readonly height: number;
  readonly roster: readonly PopId[];
  /** Whether this PoP votes at the active height. */
  readonly voting: boolean;
  readonly degraded: boolean;
  readonly diverged: boolean;
}

export interface AgreementDeps {
  readonly options: Omit<AgreementOptions, 'records' | 'decode' | 'defects'>;
  readonly database: Database;
  readonly gossip: Gossip;
  readonly streams: Streams;
  readonly peers: Peers;
  /** A height is decided and durable; after a restart the last one comes again. */
  decided(decided: Decided): void;
  degraded?(degraded: boolean): void;
  equivocation?(equivocation: Equivocation): void;
}

/** Agrees with the other members on what all proposed. */
export function agreementSpec(deps: AgreementDeps): ActorSpec<AgreementMessage> {
  return {
    name: 'agreement',
    mailbox: { capacity: 256, overflow: 'refuse' },
    create: async (context) => {
      const records = await readRecords(deps.database);
      return new AgreementActor(deps, context, new Agreement({ ...deps.options, records }));
    },
  };
}

async function readRecords(database: Database): Promise<Record<AgreementTable, Map<string, Uint8Array>>> {
  const records = { own: new Map(), body: new Map(), header: new Map(), snapshot: new Map() };
  for await (const [key, value] of database.table(RECORDS).entries()) {
    const slash = key.indexOf('/');
    const table = key.slice(0, slash);
    if (table === 'own' || table === 'body' || table === 'header' || table === 'snapshot') {
      records[table].set(key.slice(slash + 1), value);
    }
  }
  return records;
}

class AgreementActor implements Behaviour<AgreementMessage> {
  readonly #deps: AgreementDeps;
  readonly #context: ActorContext<AgreementMessage>;
  readonly #machine: Agreement;
  readonly #unwatch: () => void;
  readonly #writes = new Set<Promise<void>>();
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(deps: AgreementDeps, context: ActorContext<AgreementMessage>, machine: Agreement) {
    this.#deps = deps;
    this.#context = context;
    this.#machine = machine;
    deps.gossip.subscribe('agree', (author, bytes) => this.#gossiped(author, bytes));
    deps.streams.handle('agreeSync', async (from, bytes) => {
      this.#step({ type: 'direct', from, bytes });
      return new Uint8Array(0);
    });
    this.#step({ type: 'start' });
    this.#unwatch = deps.peers.watch((peer, up) => up && this.#step({ type: 'peer', peer }));
  }

  receive(message: AgreementMessage): void {
    switch (message.type) {
      case 'status': {
        const { height, roster, voting, degraded, diverged } = this.#machine;
        message.reply.ok({ height, roster, voting, degraded, diverged });
        return;
      }
      case 'operation':
      case 'joining':
        this.#step(message);
        return;
      case 'failed':
        throw message.error;
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    this.#unwatch();
    await Promise.allSettled(this.#writes);
  }

  #gossiped(author: PopId, bytes: Uint8Array): Verdict {
    if (this.#stopped) return { verdict: 'ignore', code: 'ACTOR_STOPPED' };
    try {
      const { verdict, effects } = this.#machine.heard(author, bytes, this.#context.clock.monotonic());
      for (const effect of effects) this.#carryOut(effect);
      return verdict;
    } catch (error) {
      this.#fail(error);
      return { verdict: 'ignore', code: 'ACTOR_FAILED' };
    }
  }

  /** Steps are synchronous, so that they may come from network, disk and timers without waiting their turn. */
  #step(input: AgreementInput): void {
    if (this.#stopped) return;
    try {
      for (const effect of this.#machine.step(input, this.#context.clock.monotonic())) this.#carryOut(effect);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#stopped = true;
    this.#context.self.tell({ type: 'failed', error: coded(error, 'ACTOR_FAILED') });
  }

  #carryOut(effect: AgreementEffect): void {
    const { gossip, streams } = this.#deps;
    const { metrics, log, clock } = this.#context;
    switch (effect.type) {
      case 'publish':
        gossip.publish('agree', effect.bytes).catch((error: unknown) => {
          metrics.count('gossip_failures_total', { topic: 'agree', code: codeOf(error) });
        });
        return;
      case 'send':
        streams
          .call(effect.to, 'agreeSync', effect.bytes, { deadlineMs: SEND_DEADLINE_MS })
          .catch((error: unknown) => {
            metrics.count('agreement_send_failures_total', { code: codeOf(error) });
          });
        return;
      case 'persist':
        this.#write(effect.token, effect.writes);
        return;
      case 'timer': {
        this.#cancel?.();
        const delay = Math.max(0, effect.at - clock.monotonic());
        this.#cancel = clock.after(delay, () => this.#step({ type: 'tick' }));
        return;
      }
      case 'decided':
        metrics.gauge('agreement_height', effect.decided.header.height);
        metrics.count('agreement_decisions_total');
        this.#deps.decided(effect.decided);
        return;
      case 'degraded':
        metrics.gauge('agreement_degraded', effect.degraded ? 1 : 0);
        log.warn(effect.degraded ? 'no decision for three epochs' : 'decisions are made again', {
          height: effect.height,
        });
        this.#deps.degraded?.(effect.degraded);
        return;
      case 'diverged':
        metrics.gauge('agreement_diverged', 1);
        log.error('the others decided a state that was not computed here; this PoP votes no more', {
          height: effect.height,
        });
        return;
      case 'equivocation':
        log.warn('a PoP proposed two things', { peer: effect.equivocation.pop });
        this.#deps.equivocation?.(effect.equivocation);
        return;
      case 'fault':
        metrics.count('errors_total', { code: effect.code });
        log.debug('agreement: a fault', { peer: effect.from, code: effect.code });
    }
  }

  #write(token: number, writes: readonly AgreementWrite[]): void {
    const batch = writes.map(({ table, key, value }): TableWrite<Uint8Array> => {
      const path = `${table}/${key}`;
      return value ? { type: 'put', key: path, value } : { type: 'del', key: path };
    });
    const writing = this.#deps.database
      .table(RECORDS)
      .batch(batch, { sync: true })
      .then(
        () => this.#step({ type: 'persisted', token }),
        (error: unknown) => {
          this.#context.log.error('votes could not be written', { code: codeOf(error, 'STORE_IO') });
          this.#step({ type: 'not-persisted', token, code: codeOf(error, 'STORE_IO') });
        },
      );
    this.#writes.add(writing);
    writing.finally(() => this.#writes.delete(writing));
  }
}
