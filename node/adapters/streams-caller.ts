import type { Connection, Stream } from '@libp2p/interface';
import { coded, PresageError } from '../../protocol/errors.ts';
import type { CallOptions, Clock } from '../../protocol/ports.ts';
import type { LaneSpec } from './streams.ts';
import {
  BUSY,
  CALL,
  CANCEL,
  type FrameReader,
  type FrameWriter,
  frameReader,
  frameWriter,
  REFUSED,
  REPLY,
} from './streams-frame.ts';

/** Calls that may wait for a place in a lane's window; more are refused with `PEER_BUSY` at once. */
const WAITING_CALLS = 1024;
/** A refusal is an error code and a sentence. */
export const REFUSAL_BYTES = 512;
/** A lane on which a frame has begun and nothing has followed for so long is given up, real ms. */
const STALL_MS = 3_000;
/** Frames that may wait for a peer that does not read, in multiples of the concurrency; each call makes two at most. */
const UNSENT_FACTOR = 4;
/** Real ms for opening a lane: two round trips. */
const OPEN_MS = 5_000;

interface Outstanding {
  readonly request: Uint8Array;
  resolve(reply: Uint8Array): void;
  reject(error: PresageError): void;
}

interface Lane {
  readonly stream: Stream;
  readonly writer: FrameWriter;
  readonly reader: FrameReader;
  /** Monotonic ms of the last byte. */
  heardAt: number;
}

/** The calling side of one (connection, protocol): one long-lived stream, several calls outstanding. */
export interface Caller {
  call(request: Uint8Array, options: CallOptions): Promise<Uint8Array>;
  close(error: PresageError): void;
}

export function createCaller(
  connection: Connection,
  spec: LaneSpec,
  deps: {
    readonly clock: Clock;
    readonly heard: (bytes: number) => void;
    readonly violation: (error: PresageError) => void;
  },
): Caller {
  const waiting = new Map<number, Outstanding>();
  const outstanding = new Map<number, Outstanding>();
  let lane: Lane | undefined;
  let opening = false;
  let nextCall = 1;
  let closed: PresageError | undefined;

  const failAll = (error: PresageError) => {
    const all = [...outstanding.values(), ...waiting.values()];
    outstanding.clear();
    waiting.clear();
    for (const entry of all) entry.reject(error);
  };
  const drop = (stream: Stream, error: PresageError) => {
    if (lane?.stream !== stream) return;
    lane = undefined;
    stream.abort(error);
    failAll(error);
  };
  const attach = (stream: Stream) => {
    const gone = (error: unknown) =>
      drop(stream, new PresageError('PEER_UNKNOWN', 'the stream to the peer was lost', {}, error));
    const reader = frameReader({
      limit: (kind) =>
        kind === REPLY
          ? spec.maxReplyBytes
          : kind === REFUSED
            ? REFUSAL_BYTES
            : kind === BUSY
              ? 0
              : undefined,
      begin: (call) => outstanding.has(call),
      end: (call, kind, payload) => {
        const entry = outstanding.get(call);
        outstanding.delete(call);
        if (kind === REPLY) entry?.resolve(payload);
        else if (kind === BUSY) entry?.reject(new PresageError('PEER_BUSY'));
        else entry?.reject(refusalError(payload));
        pump();
      },
    });
    const writer = frameWriter(stream, gone);
    const made: Lane = { stream, writer, reader, heardAt: deps.clock.monotonic() };
    lane = made;
    stream.addEventListener('message', (event) => {
      deps.heard(event.data.byteLength);
      made.heardAt = deps.clock.monotonic();
      try {
        reader.push(event.data);
      } catch (thrown) {
        const error = coded(thrown, 'WIRE_SCHEMA');
        deps.violation(error);
        drop(stream, error);
      }
    });
    stream.addEventListener('close', (event) => gone(event.error));
    // A peer that has closed its end answers nothing more.
    stream.addEventListener('remoteCloseWrite', () => gone(undefined));
    // Either may have happened before there was anybody to hear of it.
    if (stream.status !== 'open' || stream.remoteWriteStatus === 'closed') gone(undefined);
  };
  const open = async () => {
    opening = true;
    try {
      const stream = await connection.newStream(spec.id, { signal: AbortSignal.timeout(OPEN_MS) });
      if (closed) return stream.abort(closed);
      attach(stream);
      pump();
    } catch (error) {
      failAll(
        connection.status === 'open'
          ? new PresageError('PEER_REFUSED', `no ${spec.id} at the peer`, { code: 'PEER_REFUSED' }, error)
          : new PresageError('PEER_UNKNOWN', undefined, {}, error),
      );
    } finally {
      opening = false;
    }
  };
  /** The peer stopped in the middle of an answer, or no longer reads what it is asked. */
  const isStuck = ({ reader, writer, heardAt }: Lane) =>
    (reader.partial && deps.clock.monotonic() - heardAt > STALL_MS) ||
    writer.pending > UNSENT_FACTOR * spec.concurrency;
  /** Moves waiting calls into the window. */
  const pump = () => {
    if (waiting.size === 0) return;
    if (lane === undefined) {
      if (!opening) void open();
      return;
    }
    for (const [call, entry] of waiting) {
      if (outstanding.size >= spec.concurrency) return;
      waiting.delete(call);
      outstanding.set(call, entry);
      lane.writer.push(call, CALL, entry.request);
    }
  };

  return {
    call(request, { deadlineMs, signal }) {
      return new Promise((resolve, reject) => {
        if (closed) return reject(closed);
        if (signal?.aborted) return reject(new PresageError('CANCELLED'));
        if (waiting.size >= WAITING_CALLS)
          return reject(new PresageError('PEER_BUSY', 'too many calls wait'));
        const call = nextCall;
        nextCall = nextCall === 0xffff_ffff ? 1 : nextCall + 1;
        const giveUp = (error: PresageError) => {
          waiting.delete(call);
          if (outstanding.delete(call)) lane?.writer.push(call, CANCEL, new Uint8Array());
          settle();
          reject(error);
          if (lane && isStuck(lane)) drop(lane.stream, new PresageError('PEER_TIMEOUT', 'the lane is stuck'));
          pump();
        };
        const cancelTimer = deps.clock.after(deadlineMs, () => giveUp(new PresageError('PEER_TIMEOUT')));
        const onAbort = () => giveUp(new PresageError('CANCELLED'));
        signal?.addEventListener('abort', onAbort, { once: true });
        const settle = () => {
          cancelTimer();
          signal?.removeEventListener('abort', onAbort);
        };
        waiting.set(call, {
          request,
          resolve: (reply) => {
            settle();
            resolve(reply);
          },
          reject: (error) => {
            settle();
            reject(error);
          },
        });
        pump();
      });
    },
    close(error) {
      closed = error;
      const stream = lane?.stream;
      lane = undefined;
      stream?.abort(error);
      failAll(error);
    },
  };
}

/** `CODE sentence`, as the answering side wrote it; hostile, so only a short text is taken over. */
function refusalError(payload: Uint8Array): PresageError {
  const text = Buffer.from(payload).toString('utf8');
  const [code = 'INTERNAL'] = text.split(' ', 1);
  return new PresageError('PEER_REFUSED', `the peer refused: ${text}`, {
    code: /^[A-Z0-9_]{1,40}$/.test(code) ? code : 'INTERNAL',
  });
}
