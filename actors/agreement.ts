import type { MachineEffect, MachineVerdict } from '../forecasting/agreed-forecast.ts';
import type {
  AgreementInput,
  AgreementRecords,
  AgreementTable,
  AgreementWrite,
  Equivocation,
} from '../protocol/agreement-steps.ts';
import type { Decision } from '../protocol/decision.ts';
import { coded, codeOf, type PresageError } from '../protocol/errors.ts';
import { type Genesis, genesis8 } from '../protocol/genesis.ts';
import type { PopId } from '../protocol/ids.ts';
import type { Database, Gossip, Peers, Streams, TableSpec, TableWrite, Verdict } from '../protocol/ports.ts';
import { encodeOperation } from '../protocol/roster-operations.ts';
import type { ActorContext, ActorSpec, Behaviour, Reply } from './kernel/actor.ts';

/** How long a peer may take to accept a message, ms: a snapshot over a slow path. */
const SEND_DEADLINE_MS = 10_000;
/** Longest wait for the members to have taken this PoP's leave, ms. */
const LEAVE_MS = 1_500;
/** Heights within which a leave counts; later the PoP may be back. */
const LEAVE_HEIGHTS = 8;

/** One table for all of it, so that what belongs together is written in one batch with one fsync. */
const RECORDS: TableSpec<Uint8Array> = {
  name: 'agreement',
  prefix: 20,
  encode: (value) => value,
  decode: (bytes) => new Uint8Array(bytes),
};

export type AgreementMessage =
  /** There may be somebody to agree with now: see `agreementEntrySpec`. */
  | { readonly type: 'enter' }
  /** This PoP's next proposal is ready. */
  | { readonly type: 'propose' }
  /** To be carried by this PoP's proposals until decided: a charter, a list of revocations. */
  | { readonly type: 'operation'; readonly operation: Uint8Array; readonly purpose: string }
  /** This PoP is about to go; answered when the other members have been told. */
  | { readonly type: 'leave'; readonly reply: Reply<void> }
  | { readonly type: 'failed'; readonly error: PresageError };

/** The machine, wherever it runs. `now` is real, monotonic time, `at` Unix time, both in ms. */
export interface AgreementMachine {
  /** Begins with what the disk holds; again after a restart of the actor. */
  join(records: AgreementRecords): Promise<void>;
  step(input: AgreementInput, now: number, at: number): Promise<readonly MachineEffect[]>;
  heard(from: PopId, bytes: Uint8Array, now: number, at: number): Promise<MachineVerdict>;
}

export interface AgreementDeps {
  readonly self: PopId;
  /** Records of another cluster, or of an earlier generation of this one, are dropped. */
  readonly genesis: Genesis;
  readonly machine: AgreementMachine;
  readonly database: Database;
  readonly gossip: Gossip;
  readonly streams: Streams;
  readonly peers: Peers;
  /** What this PoP asks to be let in with while it is no member. */
  readonly joining: Uint8Array | undefined;
  /** This PoP's word that it goes, good for heights `from` to `to`. */
  leave(from: number, to: number): Uint8Array;
  /** A height is decided and durable; after a restart the last one comes again. */
  decided(decision: Decision): void;
  degraded(degraded: boolean): void;
}

/** Agrees with the other members on what all proposed. */
export function agreementSpec(deps: AgreementDeps): ActorSpec<AgreementMessage> {
  return {
    name: 'agreement',
    mailbox: { capacity: 256, overflow: 'refuse' },
    create: async (context) => {
      await deps.machine.join(await readRecords(deps));
      return new AgreementActor(deps, context);
    },
  };
}

type Records = Record<AgreementTable, Map<string, Uint8Array>>;

async function readRecords({ database, genesis }: AgreementDeps): Promise<Records> {
  const records: Records = { own: new Map(), body: new Map(), header: new Map(), snapshot: new Map() };
  const table = database.table(RECORDS);
  const foreign: string[] = [];
  for await (const [path, value] of table.entries()) {
    const [cluster, kind, ...key] = path.split('/');
    if (cluster !== genesis8(genesis)) foreign.push(path);
    else if (kind === 'own' || kind === 'body' || kind === 'header' || kind === 'snapshot') {
      records[kind].set(key.join('/'), value);
    }
  }
  await table.batch(foreign.map((key) => ({ type: 'del', key })));
  return records;
}

class AgreementActor implements Behaviour<AgreementMessage> {
  readonly #deps: AgreementDeps;
  readonly #context: ActorContext<AgreementMessage>;
  readonly #unwatch: () => void;
  /** Writes and sends under way. */
  readonly #writes = new Set<Promise<void>>();
  readonly #sends = new Set<Promise<void>>();
  #decision: Decision | undefined;
  #cancel: (() => void) | undefined;
  #stopped = false;

  constructor(deps: AgreementDeps, context: ActorContext<AgreementMessage>) {
    this.#deps = deps;
    this.#context = context;
    deps.gossip.subscribe('agree', (author, bytes) => this.#gossiped(author, bytes));
    deps.streams.handle('agreeSync', async (from, bytes) => {
      void this.#step({ type: 'direct', from, bytes });
      return new Uint8Array(0);
    });
    void this.#step({ type: 'joining', operation: deps.joining });
    void this.#step({ type: 'start' });
    this.#unwatch = deps.peers.watch((peer, up) => up && void this.#step({ type: 'peer', peer }));
  }

  receive(message: AgreementMessage): void | Promise<void> {
    switch (message.type) {
      case 'propose':
      case 'operation':
        void this.#step(message);
        return;
      case 'leave':
        return this.#leave(message.reply);
      case 'enter':
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

  /** A founder may go before anything has been decided. Who is no member has nothing to say. */
  async #leave(reply: Reply<void>): Promise<void> {
    const decision = this.#decision;
    if (!decision || decision.roster.includes(this.#deps.self)) {
      const from = (decision?.height ?? 0) + 1;
      await this.#step({ type: 'leaving', operation: this.#deps.leave(from, from + LEAVE_HEIGHTS) });
      let cancel: () => void = () => undefined;
      const late = new Promise<void>((resolve) => {
        cancel = this.#context.clock.after(LEAVE_MS, resolve);
      });
      await Promise.race([Promise.allSettled(this.#sends), late]);
      cancel();
    }
    reply.ok();
  }

  async #gossiped(author: PopId, bytes: Uint8Array): Promise<Verdict> {
    if (this.#stopped) return { verdict: 'ignore', code: 'ACTOR_STOPPED' };
    const { clock } = this.#context;
    try {
      const { machine } = this.#deps;
      const { verdict, effects } = await machine.heard(author, bytes, clock.monotonic(), clock.now());
      for (const effect of effects) this.#carryOut(effect);
      return verdict;
    } catch (error) {
      this.#fail(error);
      return { verdict: 'ignore', code: 'ACTOR_FAILED' };
    }
  }

  /** Steps come from network, disk and timers and do not wait their turn: the machine takes them as they were sent. */
  async #step(input: AgreementInput): Promise<void> {
    if (this.#stopped) return;
    const { clock } = this.#context;
    try {
      const effects = await this.#deps.machine.step(input, clock.monotonic(), clock.now());
      for (const effect of effects) this.#carryOut(effect);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#context.self.tell({ type: 'failed', error: coded(error, 'ACTOR_FAILED') });
  }

  #carryOut(effect: MachineEffect): void {
    if (this.#stopped) return;
    const { metrics, log, clock } = this.#context;
    switch (effect.type) {
      case 'publish':
        this.#deps.gossip.publish('agree', effect.bytes).catch((error: unknown) => {
          metrics.count('gossip_failures_total', { topic: 'agree', code: codeOf(error) });
        });
        metrics.count('agreement_bytes_total', { path: 'gossip' }, effect.bytes.length);
        return;
      case 'send':
        this.#send(effect.to, effect.bytes);
        return;
      case 'persist':
        this.#write(effect.token, effect.writes);
        return;
      case 'timer': {
        this.#cancel?.();
        const delay = Math.max(0, effect.at - clock.monotonic());
        this.#cancel = clock.after(delay, () => void this.#step({ type: 'tick' }));
        return;
      }
      case 'decided':
        this.#decision = effect.decision;
        metrics.gauge('agreement_height', effect.decision.height);
        metrics.count('agreement_decisions_total');
        this.#deps.decided(effect.decision);
        return;
      case 'degraded':
        metrics.gauge('agreement_degraded', effect.degraded ? 1 : 0);
        log.warn(effect.degraded ? 'no decision for three epochs' : 'decisions are made again', {
          height: effect.height,
        });
        this.#deps.degraded(effect.degraded);
        return;
      case 'diverged':
        metrics.gauge('agreement_diverged', 1);
        log.error('the others decided a state that was not computed here; this PoP votes no more', {
          height: effect.height,
        });
        return;
      case 'equivocation':
        this.#accuse(effect.equivocation);
        return;
      case 'fault':
        metrics.count('errors_total', { code: effect.code });
        log.debug('agreement: a fault', { peer: effect.from, code: effect.code });
    }
  }

  #accuse(equivocation: Equivocation): void {
    const { pop, height } = equivocation;
    this.#context.log.warn('a PoP proposed two things at one height', { peer: pop, height });
    const operation = encodeOperation({ kind: 'evidence', ...equivocation });
    void this.#step({ type: 'operation', operation, purpose: `evidence ${pop}` });
  }

  #send(to: PopId, bytes: Uint8Array): void {
    const { metrics } = this.#context;
    metrics.count('agreement_bytes_total', { path: 'stream' }, bytes.length);
    const sending = this.#deps.streams
      .call(to, 'agreeSync', bytes, { deadlineMs: SEND_DEADLINE_MS })
      .then(() => undefined)
      .catch((error: unknown) => {
        metrics.count('agreement_send_failures_total', { code: codeOf(error) });
      })
      .finally(() => this.#sends.delete(sending));
    this.#sends.add(sending);
  }

  #write(token: number, writes: readonly AgreementWrite[]): void {
    const batch = writes.map(({ table, key, value }): TableWrite<Uint8Array> => {
      const path = `${genesis8(this.#deps.genesis)}/${table}/${key}`;
      return value ? { type: 'put', key: path, value } : { type: 'del', key: path };
    });
    const writing = this.#deps.database
      .table(RECORDS)
      .batch(batch, { sync: true })
      .then(
        () => this.#step({ type: 'persisted', token }),
        (error: unknown) => {
          this.#context.log.error('votes could not be written', { code: codeOf(error, 'STORE_IO') });
          return this.#step({ type: 'not-persisted', token, code: codeOf(error, 'STORE_IO') });
        },
      )
      .finally(() => this.#writes.delete(writing));
    this.#writes.add(writing);
  }
}
