import { PresageError } from '../../protocol/errors.ts';
import type { PopId, SiteId } from '../../protocol/ids.ts';
import type { PurgeScope } from '../../protocol/purge.ts';
import type { PurgeResult as Purged } from '../../protocol/purge-waiters.ts';
import type { Daemon } from '../compose.ts';
import { hostName } from '../http/key.ts';
import type { Params, PurgeResult } from '../rpc/methods.ts';
import { popName, resourceOf, splitUrl } from './resource.ts';

interface Order {
  readonly site: SiteId;
  readonly scope: PurgeScope;
}

/** Time beside the wait for acknowledgements, real ms: a write with fsync on a busy disk. */
const SLACK_MS = 5_000;

export async function purge(daemon: Daemon, params: Params<'purge'>): Promise<PurgeResult> {
  const { clock, identity, store, peers, actors } = daemon;
  const startedAt = clock.monotonic();
  const { soft, wait, timeoutMs } = params;
  const { orders, target } = ordersOf(daemon, params);
  const before = store.replicas.catalogue.shelf.size;
  const results = await Promise.all(
    orders.map((order) => {
      const message = { ...order, soft, wait, waitMs: timeoutMs };
      return actors.invalidator.ask<Purged>(
        (reply) => ({ type: 'issue', order: message, reply }) as const,
        timeoutMs + SLACK_MS,
      );
    }),
  );
  const tookMs = clock.monotonic() - startedAt;
  const last = results.at(-1);
  if (!last) throw new PresageError('RPC_PARAMS', 'no site holds anything that this could mean');
  const everywhere = last.acknowledged.filter((pop) =>
    results.every((one) => one.acknowledged.includes(pop)),
  );
  const missing = [...new Set(results.flatMap((one) => one.missing))];
  const connected = new Set(peers.connected());
  const row = (pop: PopId) => ({ pop, name: popName(daemon, pop) });
  return {
    issuer: identity.self,
    seq: last.seq,
    target,
    soft,
    removed: Math.max(0, before - store.replicas.catalogue.shelf.size),
    acknowledged: [identity.self, ...everywhere.filter((pop) => pop !== identity.self)].map((pop) => ({
      ...row(pop),
      afterMs: Math.max(...results.map(({ afterMs }) => afterMs.get(pop) ?? 0)),
    })),
    missing: missing.map((pop) => ({
      ...row(pop),
      code: connected.has(pop) ? (wait ? 'PEER_TIMEOUT' : 'not-awaited') : 'PEER_UNKNOWN',
    })),
    complete: wait && missing.every((pop) => !connected.has(pop)),
    tookMs,
  };
}

/** A purge by tag has no host: it goes to every site. */
function ordersOf(
  daemon: Daemon,
  { url, tag, prefix }: Params<'purge'>,
): { orders: Order[]; target: string } {
  if (url !== undefined) {
    const { key, site } = resourceOf(daemon, url);
    if (key === undefined || site === undefined)
      throw new PresageError('RESOURCE_UNKNOWN', `${url}: its name is not known here`);
    return { orders: [{ site, scope: { kind: 'url', key } }], target: key };
  }
  if (tag !== undefined) {
    const orders = daemon.operator.charters.current().sites.map(({ id }) => ({
      site: id,
      scope: { kind: 'tag', tag } as const,
    }));
    return { orders, target: tag };
  }
  const { host, target } = splitUrl(prefix ?? '');
  const site = daemon.sites.ofHost(hostName(host));
  if (!site) throw new PresageError('HTTP_UNKNOWN_SITE', `no site serves ${host}`);
  const whole = `${host}${target}`;
  return { orders: [{ site: site.id, scope: { kind: 'prefix', prefix: whole } }], target: whole };
}
