/** Timers of agreement, real ms. None of them matters to safety. */

/** An epoch's length is kept within these. */
export const EPOCH_MIN_MS = 1_000;
export const EPOCH_MAX_MS = 60_000;
/** Without a beat a PoP proposes so many epochs after its last start: late enough not to come before a beat. */
export const FALLBACK_EPOCHS = 1.5;
/** A beat so soon after the last start, in epochs, belongs to the height that others have begun already. */
export const BEAT_EPOCHS = 0.5;
/** How long proposals that are late may still be waited for. */
export const graceMs = (epochMs: number): number => Math.min(2_000, epochMs / 5);
/** How long a round waits for the value that the coin favours. */
export const auxMs = (round: number): number => Math.min(300 * (round + 1), 10_000);
/** As many times a PoP speaks at a height where all goes well; what it says after that is gathered for ever longer. */
const SPEECHES = 4;
/** Up to so many PoPs there is little to save by gathering, and what is said sooner is decided sooner. */
const FEW = 8;
const FEW_COALESCE_MS = 25;
const FEW_COALESCE_MAX_MS = 1_000;
/** What more PoPs say is gathered for that much for each of them, since each speech is work for every other. */
const COALESCE_PER_POP_MS = 5;
const COALESCE_MIN_MS = 100;
const COALESCE_LEAST_MAX_MS = 300;
/** And for this share of the time in which the others answer: whoever answers late is not waiting. */
const PACE_SHARE = 1 / 4;
const COALESCE_MAX_MS = 3_000;
/**
 * What is said within that time goes out in one piece. Where proposals come in slowly, one by one, each would bring
 * about another vote of everybody, which slows all of them further: so a PoP that has spoken `told` times at a height
 * already takes its time, and in a larger cluster so does one that was last answered after `paceMs`.
 */
export const coalesceMs = (size: number, told: number, paceMs: number): number => {
  const growth = 1.5 ** Math.max(0, told - SPEECHES);
  if (size <= FEW) return Math.min(FEW_COALESCE_MAX_MS, FEW_COALESCE_MS * growth);
  const least = Math.min(COALESCE_LEAST_MAX_MS, Math.max(COALESCE_MIN_MS, COALESCE_PER_POP_MS * size));
  return Math.min(COALESCE_MAX_MS, Math.max(least, paceMs * PACE_SHARE) * growth);
};
/** Between two runs of the rules: in a large roster they cost more than a message, and nothing is told meanwhile. */
export const pauseMs = (size: number): number => (size > 64 ? 50 : 0);
/** Everything said at the height is said again after that time, then at ever longer intervals. */
export const RESEND_MS = 2_000;
export const RESEND_MAX_MS = 15_000;
/** A resend is work for every other PoP: the more there are, the longer one waits that are slow. */
const SLOW_RESEND_MS = 6_000;
const SLOW_RESEND_PER_POP_MS = 250;
/** In a larger cluster not before the others can have answered, nor before what is gathered is told. */
export const resendMs = (size: number, paceMs: number): number => {
  if (size <= FEW) return RESEND_MS;
  const most = Math.min(RESEND_MAX_MS, Math.max(SLOW_RESEND_MS, SLOW_RESEND_PER_POP_MS * size));
  return Math.min(most, Math.max(RESEND_MS, 2 * paceMs));
};
/** Resends of different PoPs drift apart by this share. */
export const RESEND_JITTER = 0.2;
/** A body is asked for again, of another PoP. */
export const BODY_RETRY_MS = 2_000;
/** A PoP that speaks at a height just left is on its way; later it is sent the decision. */
export const LAGGARD_MS = 3_000;
/** Between two requests for decisions. */
export const SYNC_MS = 300;
/** A PoP outside the roster asks again to be let in, and for what was decided. */
export const JOIN_MS = 2_000;
/** A JOIN older than that counts no more. */
export const JOIN_FRESH_MS = 5_000;
/** A write that the disk refused is tried again. */
export const WRITE_RETRY_MS = 1_000;
/** Epochs without a decision after which a PoP says that it is degraded. */
export const DEGRADED_EPOCHS = 3;
