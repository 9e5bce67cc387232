import type { PresageError } from '../../protocol/errors.ts';
import type { Clock, Log, Metrics } from '../../protocol/ports.ts';
import type { MailboxPolicy } from './mailbox.ts';

/** The answer that an ask waits for; the first of `ok` and `fail` counts. */
export interface Reply<R> {
  ok(value: R): void;
  fail(error: PresageError): void;
}

/** A handle to an actor. It outlives restarts, so it can be given out before the actor runs. */
export interface ActorRef<M> {
  readonly name: string;
  /** Queues a message. False if it was refused or the actor has stopped; either is counted. */
  tell(message: M): boolean;
  /**
   * Queues a message that owes an answer. Fails with `ASK_TIMEOUT` at the deadline (real ms), `MAILBOX_FULL`,
   * `ACTOR_STOPPED`, or what the actor failed it with.
   */
  ask<R>(message: (reply: Reply<R>) => M, deadlineMs: number): Promise<R>;
}

/** What an actor does: one message at a time; a promise is awaited before the next message. */
export interface Behaviour<M> {
  receive(message: M): void | Promise<void>;
  /** Last words: flush what must not be lost. Bounded by the stop deadline. */
  stop?(): void | Promise<void>;
}

/** What the kernel lends to a behaviour. Timers end with the behaviour. */
export interface ActorContext<M> {
  readonly self: ActorRef<M>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Tells `message` to this actor after `delayMs`; the result calls it off. */
  schedule(delayMs: number, message: M): () => void;
  /** Tells `message` every `intervalMs`, the first time after one interval; the result ends it. */
  every(intervalMs: number, message: M): () => void;
}

/** An actor by definition: a restart calls `create` again, so its state is fresh. */
export interface ActorSpec<M> {
  readonly name: string;
  readonly mailbox: MailboxPolicy;
  create(context: ActorContext<M>): Behaviour<M> | Promise<Behaviour<M>>;
}
