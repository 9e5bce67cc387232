import type { PresageError } from '../../protocol/errors.ts';
import type { Key16 } from '../../protocol/ids.ts';
import type { FetchTicket, Replica, ReplicaSource } from '../../protocol/replica.ts';
import type { Directives } from './caching/directives.ts';
import type { Fields } from './caching/fields.ts';
import type { NotStored } from './caching/storability.ts';
import type { RequestLines } from './caching/vary.ts';
import type { Resolved } from './context.ts';
import type { GrowingBody } from './growing.ts';
import type { OriginRequest, OriginResponse } from './origin.ts';
import type { StoredResponse } from './stored.ts';

/** What is to be brought into the store. */
export interface FillRequest {
  readonly resolved: Resolved;
  readonly lines: RequestLines;
  /** Fields for the origin, without conditions and ranges. */
  readonly headers: Fields;
  readonly authorised: boolean;
  readonly directives: Directives;
  /** The stored response that is to be validated. */
  readonly stored: StoredResponse | undefined;
  /** Whether a stored response stands in if the origin fails, so that its failure need not be passed on. */
  readonly standIn: boolean;
  readonly source: ReplicaSource;
  readonly askPeers: boolean;
  /** Not to be shared with other requests. */
  readonly solo: boolean;
  readonly ticket?: FetchTicket;
  /** How often a purge has overtaken it. */
  readonly anew?: number;
  readonly interim?: NonNullable<OriginRequest['interim']>;
}

/** What came of it. */
export type Outcome =
  /** It is in the store: a peer had it, or the origin said that the stored response still holds. */
  | { readonly kind: 'stored'; readonly replica: Replica; readonly how: 'peer' | 'revalidated' }
  /** It is on its way into the store and can be read at once. */
  | Growing
  /** It cannot be stored; whoever began the fill may pass it on, the others ask for themselves. */
  | {
      readonly kind: 'unshared';
      readonly response: OriginResponse;
      readonly why: NotStored | 'size' | 'framing';
    }
  | { readonly kind: 'failed'; readonly error: PresageError };

export interface Growing {
  readonly kind: 'growing';
  readonly status: number;
  /** As the origin sent them, for the client that began the fill. */
  readonly received: Fields;
  /** As they are stored, for all others. */
  readonly headers: Fields;
  readonly names: readonly string[];
  readonly variant: string;
  readonly body: GrowingBody;
  readonly length: number | undefined;
  /** Demand ms at which the response was made, as far as its age tells. */
  readonly bornAt: number;
  /** How long it may answer requests beside the one that brought it, ms from `bornAt`. */
  readonly lifetimeMs: number;
}

/** One request to a peer or the origin, and those who wait for it. */
export class Fill {
  readonly key16: Key16;
  /** Names under which others find it. */
  readonly names = new Set<string>();
  readonly outcome: Promise<Outcome>;
  /** The replica, once it is stored. */
  readonly done: Promise<Replica | undefined>;
  /** A change of the resource overtook the request: its answer is not to be stored. */
  tainted = false;
  /** The head of its answer has come: who asks from now on is given something older than the question. */
  answered = false;
  /** All bytes have come; what is left is to store them. */
  ending = false;
  /** Where it stands among the purges, and the tags of what came, once they are known. */
  ticket: FetchTicket;
  tags: readonly string[] | undefined;

  constructor(
    key16: Key16,
    ticket: FetchTicket,
    run: (fill: Fill) => { outcome: Promise<Outcome>; done: Promise<Replica | undefined> },
  ) {
    this.key16 = key16;
    this.ticket = ticket;
    const { outcome, done } = run(this);
    this.outcome = outcome;
    this.done = done;
  }
}
