import type { Stream } from '@libp2p/interface';
import { PresageError } from '../../protocol/errors.ts';

/**
 * Frames of a lane: `length (4, big endian) | call (4) | kind (1) | payload (length bytes)`. The cap of the kind is
 * enforced when the header has come, before anything is allocated for the payload.
 */
export const HEADER_BYTES = 9;

/** Kinds from the caller … */
export const CALL = 0;
export const CANCEL = 1;
/** … and from the one who answers. */
export const REPLY = 16;
export const BUSY = 17;
export const REFUSED = 18;

/** How much is handed to the stream at a time: a stored chunk. More would only sit in its write buffer. */
const SLICE_BYTES = 256 * 1024;
/** So much of a payload is copied behind its header, so that small frames leave in one record. */
const JOIN_BYTES = 64 * 1024;

/** Anything that libp2p hands over as data: one array, or a list of them. */
type Data = Uint8Array | Iterable<Uint8Array>;

export interface FrameSink {
  /** Largest payload of a kind, or `undefined` for a kind that may not come here. */
  limit(kind: number): number | undefined;
  /** Whether the payload is wanted; otherwise it is skipped without being stored. */
  begin(call: number, kind: number): boolean;
  end(call: number, kind: number, payload: Uint8Array): void;
}

export interface FrameReader {
  push(data: Data): void;
  /** Whether a frame has begun and not ended. */
  readonly partial: boolean;
}

/** Cuts what arrives into frames. `push` throws `WIRE_TOO_LARGE` or `WIRE_SCHEMA`: then the stream has to go. */
export function frameReader(sink: FrameSink): FrameReader {
  const header = Buffer.alloc(HEADER_BYTES);
  let headerBytes = 0;
  let payload: Uint8Array | undefined;
  let left = 0;
  let call = 0;
  let kind = 0;

  const open = () => {
    left = header.readUInt32BE(0);
    call = header.readUInt32BE(4);
    kind = header[8]!;
    const limit = sink.limit(kind);
    if (limit === undefined) throw new PresageError('WIRE_SCHEMA', `a frame of unknown kind ${kind}`);
    if (left > limit) throw new PresageError('WIRE_TOO_LARGE', `a frame of ${left} bytes, at most ${limit}`);
    payload = sink.begin(call, kind) ? new Uint8Array(Buffer.allocUnsafeSlow(left).buffer) : undefined;
  };
  const close = () => {
    headerBytes = 0;
    const whole = payload;
    payload = undefined;
    if (whole !== undefined) sink.end(call, kind, whole);
  };
  const piece = (bytes: Uint8Array) => {
    let at = 0;
    while (at < bytes.length) {
      if (headerBytes < HEADER_BYTES) {
        const take = Math.min(HEADER_BYTES - headerBytes, bytes.length - at);
        header.set(bytes.subarray(at, at + take), headerBytes);
        headerBytes += take;
        at += take;
        if (headerBytes < HEADER_BYTES) return;
        open();
      } else {
        const take = Math.min(left, bytes.length - at);
        payload?.set(bytes.subarray(at, at + take), payload.length - left);
        left -= take;
        at += take;
      }
      if (left === 0) close();
    }
  };
  return {
    push(data) {
      if (data instanceof Uint8Array) piece(data);
      else for (const bytes of data) piece(bytes);
    },
    get partial() {
      return headerBytes > 0;
    },
  };
}

/**
 * Resolves when the stream takes more data. libp2p 3.3 makes the promise behind `stream.onDrain()` only once, so
 * that from the second time on it resolves at once and back-pressure is lost; the event is sound.
 */
export async function drained(stream: Stream): Promise<void> {
  while (stream.writableNeedsDrain && stream.writeStatus === 'writable') {
    await new Promise<void>((resolve) => {
      const done = () => {
        stream.removeEventListener('drain', done);
        stream.removeEventListener('close', done);
        resolve();
      };
      stream.addEventListener('drain', done);
      stream.addEventListener('close', done);
    });
  }
  if (stream.writeStatus !== 'writable') throw new PresageError('PEER_UNKNOWN', 'the stream has closed');
}

interface Outgoing {
  readonly call: number;
  readonly kind: number;
  readonly payload: Uint8Array;
  readonly sent?: () => void;
}

export interface FrameWriter {
  /** Queues a frame; `sent` is called when the last byte was handed to the stream. */
  push(call: number, kind: number, payload: Uint8Array, sent?: () => void): void;
  /** Frames that wait or are being sent. */
  readonly pending: number;
}

/** Sends frames one after another, waiting whenever the stream's buffer is full. */
export function frameWriter(stream: Stream, failed: (error: unknown) => void): FrameWriter {
  const queue: Outgoing[] = [];
  let running = false;

  const write = async ({ call, kind, payload, sent }: Outgoing) => {
    await drained(stream);
    const first = Math.min(payload.length, JOIN_BYTES);
    const head = Buffer.allocUnsafe(HEADER_BYTES + first);
    head.writeUInt32BE(payload.length, 0);
    head.writeUInt32BE(call, 4);
    head[8] = kind;
    head.set(payload.subarray(0, first), HEADER_BYTES);
    if (!stream.send(head)) await drained(stream);
    for (let at = first; at < payload.length; at += SLICE_BYTES) {
      if (!stream.send(payload.subarray(at, at + SLICE_BYTES))) await drained(stream);
    }
    sent?.();
  };
  const run = async () => {
    running = true;
    try {
      for (let next = queue[0]; next !== undefined; next = queue[0]) {
        await write(next);
        queue.shift();
      }
    } catch (error) {
      queue.length = 0;
      failed(error);
    } finally {
      running = false;
    }
  };
  return {
    push(call, kind, payload, sent) {
      queue.push({ call, kind, payload, ...(sent && { sent }) });
      if (!running) void run();
    },
    get pending() {
      return queue.length;
    },
  };
}
