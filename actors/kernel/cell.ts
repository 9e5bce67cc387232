import { coded, PresageError } from '../../protocol/errors.ts';
import type { Clock, Log, Metrics } from '../../protocol/ports.ts';
import type { ActorContext, ActorRef, ActorSpec, Behaviour, Reply } from './actor.ts';
import { type Envelope, Mailbox } from './mailbox.ts';

/** The world as the kernel sees it. `yieldTurn` lets the event loop serve I/O between batches of messages. */
export interface KernelDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  yieldTurn(): Promise<void>;
}

/** Messages handled before the event loop gets a turn. */
const BATCH = 64;

type State = 'new' | 'starting' | 'running' | 'failed' | 'stopping' | 'stopped';

/** An actor at run time: its mailbox, its current behaviour and its life cycle. Driven by its supervisor. */
export class Cell<M> implements ActorRef<M> {
  readonly name: string;
  readonly #spec: ActorSpec<M>;
  readonly #deps: KernelDeps;
  readonly #mailbox: Mailbox<M>;
  readonly #labels: { readonly actor: string };
  readonly #timers = new Set<() => void>();
  #behaviour: Behaviour<M> | undefined;
  #state: State = 'new';
  #pumping: Promise<void> | undefined;
  /** Set by the supervisor; hears of every failure while running. */
  onFailure: (error: PresageError) => void = () => undefined;

  constructor(spec: ActorSpec<M>, deps: KernelDeps) {
    this.name = spec.name;
    this.#spec = spec;
    this.#deps = deps;
    this.#mailbox = new Mailbox(spec.mailbox);
    this.#labels = { actor: spec.name };
  }

  get running(): boolean {
    return this.#state === 'running';
  }

  /** Messages that wait. */
  get backlog(): number {
    return this.#mailbox.length;
  }

  tell(message: M): boolean {
    return this.#enqueue({ message, reply: undefined });
  }

  ask<R>(build: (reply: Reply<R>) => M, deadlineMs: number): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      let settled = false;
      const settle = (finish: () => void) => {
        if (settled) return;
        settled = true;
        cancel();
        finish();
      };
      const cancel = this.#deps.clock.after(deadlineMs, () =>
        settle(() =>
          reject(new PresageError('ASK_TIMEOUT', `${this.name} did not answer in ${deadlineMs} ms`)),
        ),
      );
      const reply: Reply<R> = {
        ok: (value) => settle(() => resolve(value)),
        fail: (error) => settle(() => reject(error)),
      };
      this.#enqueue({ message: build(reply), reply: reply as Reply<never> });
    });
  }

  /** Creates a fresh behaviour and begins to work through the mailbox. Rejects if the factory throws. */
  async start(): Promise<void> {
    this.#state = 'starting';
    try {
      this.#behaviour = await this.#spec.create(this.#context());
    } catch (error) {
      this.#clearTimers();
      this.#state = 'failed';
      throw coded(error, 'ACTOR_FAILED');
    }
    this.#state = 'running';
    this.#pump();
  }

  /** Lets the current message finish, then stops the behaviour; what waits stays for the next start. */
  async suspend(deadlineMs: number): Promise<void> {
    if (this.#state === 'stopped' || this.#state === 'new') return;
    const wasRunning = this.#state === 'running';
    this.#state = 'stopping';
    this.#clearTimers();
    const behaviour = this.#behaviour;
    this.#behaviour = undefined;
    const finish = async () => {
      await this.#pumping;
      if (wasRunning) await behaviour?.stop?.();
    };
    await this.#within(finish(), deadlineMs);
  }

  /** `suspend`, then refuses what waits. Final. */
  async stop(deadlineMs: number): Promise<void> {
    if (this.#state === 'stopped') return;
    await this.suspend(deadlineMs);
    this.#state = 'stopped';
    for (let envelope = this.#mailbox.take(); envelope; envelope = this.#mailbox.take())
      this.#deadLetter(envelope);
  }

  #enqueue(envelope: Envelope<M>): boolean {
    if (this.#state === 'stopped') {
      this.#deadLetter(envelope);
      return false;
    }
    const displaced = this.#mailbox.push(envelope);
    if (displaced) this.#deps.metrics.count('mailbox_overflow_total', this.#labels);
    if (displaced === envelope) return false;
    this.#pump();
    return true;
  }

  #deadLetter(envelope: Envelope<M>): void {
    this.#deps.metrics.count('dead_letters_total', this.#labels);
    envelope.reply?.fail(new PresageError('ACTOR_STOPPED', `${this.name} has stopped`));
  }

  #pump(): void {
    if (this.#pumping || this.#state !== 'running' || this.#mailbox.length === 0) return;
    this.#pumping = this.#drain().finally(() => {
      this.#pumping = undefined;
      this.#pump();
    });
  }

  async #drain(): Promise<void> {
    // A turn of the microtask queue first, so that a sender is never re-entered from within its own `tell`.
    await Promise.resolve();
    for (let handled = 1; this.#state === 'running'; handled += 1) {
      const envelope = this.#mailbox.take();
      if (!envelope) return;
      try {
        const pending = this.#behaviour?.receive(envelope.message);
        if (pending) await pending;
      } catch (error) {
        this.#fail(error, envelope);
        return;
      }
      if (handled % BATCH === 0) await this.#deps.yieldTurn();
    }
  }

  #fail(thrown: unknown, envelope: Envelope<M>): void {
    const error = coded(thrown, 'ACTOR_FAILED');
    this.#deps.metrics.count('actor_failures_total', { ...this.#labels, code: error.code });
    this.#deps.log.error(`actor ${this.name} failed`, {
      code: error.code,
      error: error.message,
      stack: error.stack,
    });
    envelope.reply?.fail(error);
    if (this.#state !== 'running') return;
    this.#state = 'failed';
    this.#behaviour = undefined;
    this.#clearTimers();
    this.onFailure(error);
  }

  #context(): ActorContext<M> {
    const { clock, log, metrics } = this.#deps;
    return {
      self: this,
      clock,
      log: log.child({ actor: this.name }),
      metrics,
      schedule: (delayMs, message) => this.#timer(delayMs, message, false),
      every: (intervalMs, message) => this.#timer(intervalMs, message, true),
    };
  }

  #timer(delayMs: number, message: M, repeat: boolean): () => void {
    let cancel: () => void = () => undefined;
    const end = () => {
      cancel();
      this.#timers.delete(end);
    };
    const arm = () => {
      cancel = this.#deps.clock.after(delayMs, () => {
        if (repeat) arm();
        else this.#timers.delete(end);
        this.tell(message);
      });
    };
    this.#timers.add(end);
    arm();
    return end;
  }

  #clearTimers(): void {
    for (const end of [...this.#timers]) end();
  }

  async #within(work: Promise<void>, deadlineMs: number): Promise<void> {
    let cancel: () => void = () => undefined;
    const deadline = new Promise<'late'>((resolve) => {
      cancel = this.#deps.clock.after(deadlineMs, () => resolve('late'));
    });
    const outcome = await Promise.race([
      work.catch((error: unknown) => {
        this.#deps.log.error(`actor ${this.name} failed to stop`, { error: String(error) });
      }),
      deadline,
    ]);
    cancel();
    if (outcome === 'late') this.#deps.log.warn(`actor ${this.name} did not stop in ${deadlineMs} ms`);
  }
}
