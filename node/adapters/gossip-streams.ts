import type { Connection, PeerId } from '@libp2p/interface';

interface Asked {
  readonly peerId: PeerId;
  readonly connection: Connection;
}

/** What of gossipsub 17 decides when it opens its streams; private, though its public type does not say so. */
export interface StreamOpener {
  start(): Promise<void>;
  outboundInflightQueue?: { push(asked: Asked): unknown } | undefined;
  createOutboundStream(peerId: PeerId, connection: Connection): Promise<void>;
}

/**
 * Has gossipsub open its streams to all peers at once. By itself it opens one after another, each of which takes a
 * round trip, and ten seconds to a peer that does not answer: a PoP that joins a cluster of sixty on other continents
 * would hear no gossip from the last of them for so long that their connections were taken for broken. Streams to the
 * same peer still follow each other, since the second of them is only opened if the first has failed.
 */
export function openingAtOnce<Components, Service>(
  factory: (components: Components) => Service,
): (components: Components) => Service {
  return (components) => {
    const pubsub = factory(components);
    hasten(pubsub as unknown as StreamOpener);
    return pubsub;
  };
}

/** Each start makes a new queue, before anything of it is awaited. A gossipsub that has none is left as it is. */
export function hasten(opener: StreamOpener): void {
  const start = opener.start.bind(opener);
  opener.start = () => {
    const started = start();
    const queue = opener.outboundInflightQueue;
    if (!queue) return started;
    const underWay = new Map<string, Promise<void>>();
    queue.push = ({ peerId, connection }) => {
      const peer = peerId.toString();
      const opened = (underWay.get(peer) ?? Promise.resolve())
        .then(() => opener.createOutboundStream(peerId, connection))
        .catch(() => undefined)
        .finally(() => {
          if (underWay.get(peer) === opened) underWay.delete(peer);
        });
      underWay.set(peer, opened);
    };
    return started;
  };
}
