import { PresageError } from '../../protocol/errors.ts';
import type { PopId } from '../../protocol/ids.ts';
import type { Gossip, Peers, Streams } from '../../protocol/ports.ts';

/**
 * The network of a cluster of one: nobody hears, nobody answers. It lets a PoP without a certificate run the same
 * actors as any other, without loading libp2p.
 */
export function soloNetwork(self: PopId): { gossip: Gossip; streams: Streams; peers: Peers } {
  return {
    gossip: { publish: async () => undefined, subscribe: () => undefined },
    streams: {
      call: async () => {
        throw new PresageError('PEER_UNKNOWN', 'this PoP is alone');
      },
      handle: () => undefined,
    },
    peers: { self, connected: () => [], roundTripMs: () => undefined, watch: () => () => undefined },
  };
}
