import type { Puller } from '../actors/puller.ts';
import type { LocalReplicas } from '../actors/replica-index.ts';
import { siteAllows } from '../protocol/charter.ts';
import type { Key16, PopId } from '../protocol/ids.ts';
import type { Clock, Peers } from '../protocol/ports.ts';
import { rendezvous } from '../protocol/rendezvous.ts';
import { boundedCache } from './bounded-cache.ts';
import type { PeerFill } from './http/context.ts';

export interface PeerFillDeps {
  readonly puller: Puller;
  readonly peers: Peers;
  readonly replicas: LocalReplicas;
  /** This PoP's own name. */
  readonly name: string;
  readonly clock: Clock;
  /** Whether purges are reconciled with the peers. */
  reconciled(): boolean;
  nameOf(pop: PopId): string | undefined;
}

/** How long a resource that the home PoP could not store is fetched past it, real ms. */
const PASS_MS = 60_000;
const PASSED_MAX = 10_000;

/**
 * Where a miss at the edge goes before the origin: to a PoP that holds the resource, else to its home PoP, which
 * fetches for the whole cluster, so that the origin is asked once.
 */
export function peerFill(deps: PeerFillDeps): PeerFill {
  const { puller, peers, replicas, name, nameOf } = deps;
  /** Resources of which the home PoP brought nothing: asking it again would cost two origin requests, not one. */
  const passed = boundedCache<Key16, true>(PASSED_MAX, PASS_MS);
  return {
    async fill({ key, key16, site }, signal) {
      const connected = peers.connected();
      if (connected.length === 0 || !siteAllows(site, name)) return undefined;
      // What a peer holds may have been purged here before the restart, or while this PoP was cut off.
      if (site.cutOff === 'revalidate' && !deps.reconciled()) return undefined;
      const holders = replicas.holders(key16, connected).map(({ pop }) => pop);
      if (holders.length > 0) {
        const found = await puller.pull({ key16, source: 'client', signal }, [...new Set(holders)]);
        if (found) return found;
      }
      if (site.shield === 'off' || passed.has(key16)) return undefined;
      const allowed = connected.filter((pop) => siteAllows(site, nameOf(pop) ?? ''));
      const [home] = rendezvous(key16, [peers.self, ...allowed]);
      if (home === undefined || home === peers.self) return undefined;
      const obtained = await puller.pull(
        { key16, source: 'client', obtain: { key, site: site.id }, signal },
        [home],
      );
      if (!obtained) passed.set(key16, true);
      return obtained;
    },
  };
}
