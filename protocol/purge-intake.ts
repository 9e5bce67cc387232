import { PresageError } from './errors.ts';
import type { InvalidatorOptions } from './invalidator-steps.ts';
import type { SealedPurge } from './messages/purge.ts';
import { openPurge, readPurge, type SignedPurge } from './purge.ts';

/**
 * Purges kept in all of issuers without a valid certificate. A PoP that has left the cluster has issued purges that
 * still hold, and peers hand them on; but a peer must not fill the memory in the name of PoPs that never were.
 */
const MAX_UNCERTIFIED = 16_384;

/** What became of purges that came from elsewhere. */
export interface Taken {
  /** Ids of all that are in force now, or superseded by what is. */
  readonly known: readonly string[];
  readonly fresh: readonly SignedPurge[];
  readonly superseded: readonly SignedPurge[];
}

type IntakeOptions = Pick<InvalidatorOptions, 'invalidations' | 'clock' | 'verify' | 'certified'>;

/** Where purges of other PoPs come in: opened, bounded, applied. */
export class PurgeIntake {
  readonly #options: IntakeOptions;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Opens a record. It comes by gossip, by push and by comparison; its signature is checked the first time. */
  open([body, signature]: SealedPurge): SignedPurge {
    const { invalidations, verify } = this.#options;
    const { issuer, id } = readPurge(body, signature);
    const known = invalidations.get(issuer, id);
    if (known && Buffer.compare(known.bytes, body) === 0) return known;
    return openPurge(body, signature, verify);
  }

  /** Puts purges in force; those that there is no room for are told to `fault` and left out. */
  take(purges: readonly SignedPurge[], now: number, fault: (error: unknown) => void): Taken {
    const known: string[] = [];
    const fresh: SignedPurge[] = [];
    const superseded: SignedPurge[] = [];
    for (const purge of purges) {
      try {
        this.#bound(purge);
        const applied = this.#options.invalidations.apply(purge);
        known.push(purge.id);
        if (applied.outcome !== 'applied') continue;
        fresh.push(purge);
        superseded.push(...applied.removed);
      } catch (error) {
        fault(error);
        continue;
      }
      // A wrong clock makes no purge wrong: it is applied, only its stamp is not adopted.
      try {
        this.#options.clock.observe(purge.stamp, now);
      } catch (error) {
        fault(error);
      }
    }
    return { known, fresh, superseded };
  }

  #bound(purge: SignedPurge): void {
    const { invalidations, certified } = this.#options;
    if (!certified || certified(purge.issuer) || invalidations.get(purge.issuer, purge.id)) return;
    let count = 0;
    for (const { issuer, count: held } of invalidations.digest()) if (!certified(issuer)) count += held;
    if (count < MAX_UNCERTIFIED) return;
    throw new PresageError('MAILBOX_FULL', 'too many purges of PoPs without a certificate');
  }
}
