import type { PurgeTarget, SignedPurge } from './purge.ts';

/** A purge that is in force here. */
export interface PurgeEntry {
  readonly purge: SignedPurge;
  /** Position in the order in which this PoP applied purges; it does not outlive the process. */
  readonly ordinal: number;
}

/** The purges of one issuer for one scope: the highest hard one, and the highest soft one above it. */
export interface PurgeSlot {
  hard?: PurgeEntry;
  soft?: PurgeEntry;
}

/** The purge of a whole site. */
export const isWide = (target: PurgeTarget): boolean => target.kind === 'prefix' && target.length === 0;

export function* entriesOf(slot: PurgeSlot | undefined): Iterable<PurgeEntry> {
  if (slot?.hard) yield slot.hard;
  if (slot?.soft) yield slot.soft;
}

/** Whether `later`, whose scope holds that of `earlier`, says all that `earlier` says. */
export function supersedes(later: SignedPurge, earlier: SignedPurge): boolean {
  if (later.soft && !earlier.soft) return false;
  if (later.seq !== earlier.seq) return later.seq > earlier.seq;
  // One number for two purges is a fault of the issuer; the order by id keeps the set convergent all the same.
  return later.soft === earlier.soft && later.id > earlier.id;
}

/** Whether a purge already in the slot says all that `purge` says. */
export function dominated(purge: SignedPurge, slot: PurgeSlot | undefined): boolean {
  for (const entry of entriesOf(slot)) if (supersedes(entry.purge, purge)) return true;
  return false;
}
