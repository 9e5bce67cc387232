import { PresageError } from '../../protocol/errors.ts';
import type { Reply } from './actor.ts';

/**
 * What a mailbox does when it is full. `drop-oldest` is for data of which only the freshest matters; `refuse` is
 * for commands, whose sender then gets `MAILBOX_FULL`.
 */
export type Overflow = 'drop-oldest' | 'refuse';

export interface MailboxPolicy {
  readonly capacity: number;
  readonly overflow: Overflow;
}

/** A message and, for an ask, the reply that is owed. */
export interface Envelope<M> {
  readonly message: M;
  readonly reply: Reply<never> | undefined;
}

/** A bounded queue in a ring, with the overflow rule of its policy. */
export class Mailbox<M> {
  readonly #policy: MailboxPolicy;
  readonly #ring: (Envelope<M> | undefined)[];
  #head = 0;
  #length = 0;

  constructor(policy: MailboxPolicy) {
    if (policy.capacity < 1) throw new RangeError('a mailbox holds at least one message');
    this.#policy = policy;
    this.#ring = new Array<Envelope<M> | undefined>(policy.capacity);
  }

  get length(): number {
    return this.#length;
  }

  /** What was displaced or refused, with its reply already failed; `undefined` if all found room. */
  push(envelope: Envelope<M>): Envelope<M> | undefined {
    let displaced: Envelope<M> | undefined;
    if (this.#length === this.#policy.capacity) {
      displaced = this.#policy.overflow === 'refuse' ? envelope : this.take();
      displaced?.reply?.fail(new PresageError('MAILBOX_FULL'));
      if (displaced === envelope) return displaced;
    }
    this.#ring[(this.#head + this.#length) % this.#policy.capacity] = envelope;
    this.#length += 1;
    return displaced;
  }

  take(): Envelope<M> | undefined {
    if (this.#length === 0) return undefined;
    const envelope = this.#ring[this.#head];
    this.#ring[this.#head] = undefined;
    this.#head = (this.#head + 1) % this.#policy.capacity;
    this.#length -= 1;
    return envelope;
  }
}
