import type { MessageStream, StreamMuxerFactory } from '@libp2p/interface';
import { yamux } from '@libp2p/yamux';

type Yamux = ReturnType<ReturnType<typeof yamux>>;

/** Frames that wait to leave together: TLS cuts what is longer into records of that size in any case. */
const RECORD_BYTES = 16 * 1024;
/** A window is updated when so much of it is used: by many small messages or one piece of a transfer. */
const UPDATE_BYTES = 32 * 1024;

/**
 * Yamux with three things mended that yamux 8.0 leaves to its connection or does too often.
 *
 * A stream that is opened while its connection closes sends its first frame from a microtask, and the error of that
 * send would end the process: here it ends the connection. Each frame would leave as a TLS record and a write of its
 * own, which costs more than all else where messages are small: here the frames of one turn of the event loop leave
 * together. And every frame of data is answered by a window update, however short it was: here small ones share one.
 */
export function guardedYamux(init: Parameters<typeof yamux>[0]): () => Yamux {
  const create = yamux(init);
  return () => {
    const factory: Yamux = create();
    const createStreamMuxer = factory.createStreamMuxer.bind(factory);
    factory.createStreamMuxer = (connection: Parameters<StreamMuxerFactory['createStreamMuxer']>[0]) => {
      const flush = gather(connection);
      const muxer = createStreamMuxer(connection);
      rarelyUpdating(muxer as unknown as StreamMaker);
      const close = muxer.close.bind(muxer);
      // The transport below is closed next, and would not wait for what was gathered.
      muxer.close = (options) => close(options).finally(flush);
      return muxer;
    };
    return factory;
  };
}

/** Has a connection gather what is sent in one turn of the event loop, and not throw; returns what sends it at once. */
function gather(connection: MessageStream): () => boolean {
  const send = connection.send.bind(connection);
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  const flush = (): boolean => {
    const [first, ...others] = waiting;
    waiting = [];
    bytes = 0;
    if (first === undefined) return true;
    try {
      // In one piece: @libp2p/tls writes each piece of a list by itself and waits in between.
      return send(others.length === 0 ? first : Buffer.concat([first, ...others]));
    } catch (error) {
      connection.abort(error instanceof Error ? error : new Error(String(error)));
      return false;
    }
  };
  connection.send = (data) => {
    const piece = data instanceof Uint8Array ? data : data.subarray();
    waiting.push(piece);
    bytes += piece.length;
    if (bytes >= RECORD_BYTES) return flush();
    if (waiting.length === 1) setImmediate(flush);
    return !connection.writableNeedsDrain;
  };
  return flush;
}

/** What of a yamux stream decides whether an update of its window is due. */
interface Windowed {
  state: number;
  readonly recvWindow: number;
  readonly recvWindowCapacity: number;
  sendWindowUpdate(): void;
}
interface StreamMaker {
  _newStream(id: number, state: number, direction: string): Windowed;
}
/** States of a stream in which a window update may wait: `SYNSent` and `Established`. In others it carries a flag. */
const SYN_SENT = 1;
const ESTABLISHED = 3;

function rarelyUpdating(muxer: StreamMaker): void {
  const make = muxer._newStream.bind(muxer);
  muxer._newStream = (id, state, direction) => {
    const stream = make(id, state, direction);
    const update = stream.sendWindowUpdate.bind(stream);
    stream.sendWindowUpdate = () => {
      const mayWait = stream.state === ESTABLISHED || stream.state === SYN_SENT;
      if (!mayWait || stream.recvWindow - stream.recvWindowCapacity >= UPDATE_BYTES) update();
    };
    return stream;
  };
}
