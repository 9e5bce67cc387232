import * as v from 'valibot';
import { CERTIFICATE_BYTES, type Certificate } from './certificate.ts';
import { type ErrorCode, PresageError } from './errors.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, text } from './wire/schemas.ts';

/**
 * `/presage/admit/1`, the one protocol that an unknown peer gets: CERT, CERT, OK, OK. The dialler opens. Either
 * side *accepts* the other (takes its streams) once it has verified its certificate, and *trusts itself accepted*
 * (opens streams) only on the other's OK; opening earlier would be refused. A side that refuses says why, once.
 */
export const ADMIT_PROTOCOL = '/presage/admit/1';
export const ADMIT_FRAME_BYTES = CERTIFICATE_BYTES + 16;
/** Real time within which both OKs have to be there. */
export const ADMIT_DEADLINE_MS = 5_000;
/** Inbound connections that may wait for admission at a time: what a stranger can hold open. */
export const ADMIT_WAITING = 32;

const CERT = 0;
const OK = 1;
const REFUSED = 2;
const schema = v.union([
  v.strictTuple([v.literal(CERT), bytes(CERTIFICATE_BYTES)]),
  v.strictTuple([v.literal(OK)]),
  v.strictTuple([v.literal(REFUSED), text(32)]),
]);

/** What a step of the exchange brings about, in order. */
export interface AdmissionStep {
  readonly send: readonly Uint8Array[];
  /** The peer's certificate has just been verified: its streams may be taken from now on. */
  readonly accepted?: Certificate;
  /** The peer has accepted us: streams may be opened from now on. */
  readonly confirmed?: true;
}

/** One side of one exchange. Synchronous; throws a `PresageError` when the exchange has failed. */
export interface Admission {
  start(): AdmissionStep;
  receive(frame: Uint8Array): AdmissionStep;
}

/**
 * @param certificate the own one, as sent
 * @param check verifies the peer's certificate, its identity and its standing; throws `ADMIT_*`
 */
export function admission(
  role: 'dialler' | 'listener',
  certificate: Uint8Array,
  check: (certificate: Uint8Array) => Certificate,
): Admission {
  let state: 'certificate' | 'ok' | 'done' = 'certificate';
  const hello = encode([CERT, certificate]);
  const ok = encode([OK]);
  return {
    start: () => ({ send: role === 'dialler' ? [hello] : [] }),
    receive(bytesOfFrame) {
      const frame = decode(bytesOfFrame, {
        name: 'admission',
        maxBytes: ADMIT_FRAME_BYTES,
        depth: 1,
        elements: 3,
        schema,
      });
      if (frame[0] === REFUSED) {
        throw new PresageError('PEER_REFUSED', `the peer refused admission: ${frame[1]}`, { code: frame[1] });
      }
      if (state === 'certificate' && frame[0] === CERT) {
        const accepted = check(frame[1]);
        state = 'ok';
        return { send: [role === 'dialler' ? ok : hello], accepted };
      }
      if (state === 'ok' && frame[0] === OK) {
        state = 'done';
        return { send: role === 'dialler' ? [] : [ok], confirmed: true };
      }
      throw new PresageError('WIRE_SCHEMA', 'an admission frame out of turn');
    },
  };
}

/** The last word of a side that refuses. */
export const refusal = (code: ErrorCode): Uint8Array => encode([REFUSED, code]);
