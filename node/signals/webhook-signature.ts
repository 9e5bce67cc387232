import { createHmac, timingSafeEqual } from 'node:crypto';
import { PresageError } from '../../protocol/errors.ts';

/** How far the sender's clock may be off, and how long a signature can be replayed at most, ms. */
export const WINDOW_MS = 300_000;
/** Signatures remembered, which bounds the calls of a window. */
const REMEMBERED_MAX = 20_000;

/** HMAC-SHA-256 of timestamp, a dot and the body, as it stands in the header: `sha256=` and 64 hex digits. */
export function signatureOf(secret: Uint8Array, timestamp: string, body: Uint8Array): string {
  return `sha256=${createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex')}`;
}

/** Checks signatures of calls, each of which is good once and for a few minutes. */
export class SignatureCheck {
  readonly #secret: Uint8Array;
  readonly #seen = new Map<string, number>();

  constructor(secret: Uint8Array) {
    this.#secret = secret;
  }

  /**
   * @param now Unix time, ms
   * @throws PresageError `SIGNAL_SIGNATURE`, `MAILBOX_FULL`
   */
  check(timestamp: unknown, signature: unknown, body: Uint8Array, now: number): void {
    if (typeof timestamp !== 'string' || !/^\d{1,12}$/.test(timestamp) || typeof signature !== 'string')
      throw new PresageError('SIGNAL_SIGNATURE', 'X-Presage-Timestamp or X-Presage-Signature is missing');
    const expected = Buffer.from(signatureOf(this.#secret, timestamp, body));
    const given = Buffer.from(signature);
    if (given.length !== expected.length || !timingSafeEqual(given, expected))
      throw new PresageError('SIGNAL_SIGNATURE', 'the signature does not verify');
    if (Math.abs(Number(timestamp) * 1000 - now) > WINDOW_MS)
      throw new PresageError('SIGNAL_SIGNATURE', 'the timestamp is not of now');
    for (const [old, until] of this.#seen) {
      if (until > now) break;
      this.#seen.delete(old);
    }
    if (this.#seen.has(signature)) throw new PresageError('SIGNAL_SIGNATURE', 'the call was made before');
    if (this.#seen.size >= REMEMBERED_MAX) throw new PresageError('MAILBOX_FULL', 'too many calls');
    this.#seen.set(signature, now + 2 * WINDOW_MS);
  }
}
