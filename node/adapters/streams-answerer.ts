import type { Stream } from '@libp2p/interface';
import { coded, type ErrorCode, PresageError } from '../../protocol/errors.ts';
import type { LaneSpec } from './streams.ts';
import { REFUSAL_BYTES } from './streams-caller.ts';
import { BUSY, CALL, CANCEL, frameReader, frameWriter, REFUSED, REPLY } from './streams-frame.ts';

/**
 * Calls that one lane may have in work, in multiples of the protocol's concurrency: a caller counts a call as done
 * when it gave up or has the answer, which is a moment before this side does.
 */
const LANE_FACTOR = 2;
/** Answers that may wait for a slow reader beyond the calls in work, before its requests are no longer read. */
const PENDING_FRAMES = 64;

export interface AnswererDeps {
  /** A place among all calls of this protocol; `undefined` when all are taken. */
  readonly enter: () => (() => void) | undefined;
  /** Calls the handler; `undefined` while there is none. */
  readonly answer: (request: Uint8Array) => Promise<Uint8Array> | undefined;
  readonly heard: (bytes: number) => void;
  readonly answered: (result: ErrorCode | 'OK') => void;
  readonly violation: (error: PresageError) => void;
}

/** The answering side of one lane: reads requests with bounds, answers in whatever order the handler finishes. */
export function serveLane(stream: Stream, spec: LaneSpec, deps: AnswererDeps): void {
  const working = new Map<number, { cancelled: boolean }>();
  let open = true;
  const fail = (thrown: unknown) => {
    if (!open) return;
    open = false;
    stream.abort(coded(thrown, 'WIRE_SCHEMA'));
  };
  const writer = frameWriter(stream, fail);
  const full = () => writer.pending > LANE_FACTOR * spec.concurrency + PENDING_FRAMES;
  // Pausing inside `resume()` would be undone by libp2p 3.3, so the decision is made after the event.
  const balance = () => {
    if (!open || stream.readStatus === 'closed' || stream.readStatus === 'closing') return;
    if (full()) stream.pause();
    else stream.resume();
  };
  const send = (call: number, kind: number, payload: Uint8Array, sent?: () => void) => {
    if (!open) return sent?.();
    writer.push(call, kind, payload, () => {
      sent?.();
      queueMicrotask(balance);
    });
    queueMicrotask(balance);
  };

  const work = async (call: number, request: Uint8Array, leave: () => void) => {
    const state = { cancelled: false };
    working.set(call, state);
    const done = () => {
      working.delete(call);
      leave();
    };
    let result: ErrorCode | 'OK' = 'OK';
    try {
      const answer = deps.answer(request);
      if (answer === undefined) {
        result = 'PEER_BUSY';
        send(call, BUSY, new Uint8Array(), done);
      } else {
        const reply = await answer;
        if (reply.length > spec.maxReplyBytes) {
          throw new PresageError('WIRE_TOO_LARGE', `an answer of ${reply.length} bytes`);
        }
        if (state.cancelled) done();
        else send(call, REPLY, reply, done);
      }
    } catch (thrown) {
      const error = coded(thrown);
      result = error.code;
      // What was not foreseen may tell of our insides: only its code leaves.
      const text = error.code === 'INTERNAL' ? error.code : `${error.code} ${error.message}`;
      send(call, REFUSED, Buffer.from(text).subarray(0, REFUSAL_BYTES), done);
    } finally {
      deps.answered(result);
    }
  };
  const reader = frameReader({
    limit: (kind) => (kind === CALL ? spec.maxRequestBytes : kind === CANCEL ? 0 : undefined),
    begin: () => true,
    end: (call, kind, payload) => {
      if (kind === CANCEL) {
        const state = working.get(call);
        if (state) state.cancelled = true;
        return;
      }
      if (working.has(call)) throw new PresageError('WIRE_SCHEMA', 'a call number is used twice');
      const leave = working.size < LANE_FACTOR * spec.concurrency ? deps.enter() : undefined;
      if (leave === undefined) {
        deps.answered('PEER_BUSY');
        send(call, BUSY, new Uint8Array());
      } else void work(call, payload, leave);
    },
  });
  stream.addEventListener('message', (event) => {
    if (!open) return;
    deps.heard(event.data.byteLength);
    try {
      reader.push(event.data);
    } catch (thrown) {
      deps.violation(coded(thrown, 'WIRE_SCHEMA'));
      fail(thrown);
    }
  });
  stream.addEventListener('close', () => {
    open = false;
  });
  stream.addEventListener('remoteCloseWrite', () => {
    stream.close().catch(fail);
  });
}
