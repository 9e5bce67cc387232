import type { MessageStream, StreamMuxerFactory } from '@libp2p/interface';
import { yamux } from '@libp2p/yamux';

type Yamux = ReturnType<ReturnType<typeof yamux>>;

/**
 * Yamux over connections whose `send` does not throw. In yamux 8.0 a stream that is opened while its connection
 * closes sends its first frame from a microtask, and the error of that send would end the process.
 */
export function guardedYamux(init: Parameters<typeof yamux>[0]): () => Yamux {
  const create = yamux(init);
  return () => {
    const factory: Yamux = create();
    const createStreamMuxer = factory.createStreamMuxer.bind(factory);
    factory.createStreamMuxer = (connection: Parameters<StreamMuxerFactory['createStreamMuxer']>[0]) =>
      createStreamMuxer(unthrowing(connection));
    return factory;
  };
}

function unthrowing<C extends MessageStream>(connection: C): C {
  const send = connection.send.bind(connection);
  connection.send = (data) => {
    try {
      // Header and data in one piece: @libp2p/tls writes each piece of a list by itself and waits in between.
      return send(data instanceof Uint8Array ? data : data.subarray());
    } catch (error) {
      connection.abort(error instanceof Error ? error : new Error(String(error)));
      return false;
    }
  };
  return connection;
}
