import type { Connection, StreamHandler, StreamHandlerOptions } from '@libp2p/interface';
import type { Registrar } from '@libp2p/interface-internal';

/**
 * Wraps the factory of a libp2p service so that its stream handlers never see a stream of a peer that is not
 * admitted. libp2p's own means do not serve: the registrar's middleware of 3.3 calls handlers repeatedly, and the
 * connection gater decides before any stream exists.
 */
export function gated<Components extends { registrar: Registrar }, Service>(
  factory: (components: Components) => Service,
  accepts: (connection: Connection) => boolean,
  refused: () => void,
): (components: Components) => Service {
  return (components) => {
    const registrar = gatedRegistrar(components.registrar, accepts, refused);
    return factory(
      new Proxy(components, {
        get: (target, property) => (property === 'registrar' ? registrar : Reflect.get(target, property)),
      }),
    );
  };
}

function gatedRegistrar(
  registrar: Registrar,
  accepts: (connection: Connection) => boolean,
  refused: () => void,
): Registrar {
  const handle = (protocol: string, handler: StreamHandler, options?: StreamHandlerOptions) =>
    registrar.handle(
      protocol,
      (stream, connection) => {
        if (accepts(connection)) return handler(stream, connection);
        refused();
        stream.abort(new Error('not admitted'));
        return undefined;
      },
      options,
    );
  return new Proxy(registrar, {
    get(target, property) {
      if (property === 'handle') return handle;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}
