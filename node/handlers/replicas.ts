import type { HeldReplica } from '../../protocol/held-replica.ts';
import type { Daemon } from '../compose.ts';
import { labelOfKey16, resourceHost } from '../dns/label.ts';
import { StoredResponse } from '../http/stored.ts';
import type { LinkResult, Params, ReplicasResult, TagResult } from '../rpc/methods.ts';
import { currentPlan } from './questions.ts';
import { named, popName, resourceOf, stampText } from './resource.ts';

export function replicas(daemon: Daemon, params: Params<'replicas'>): ReplicasResult {
  const { store } = daemon;
  const { limit, after, prefix, source } = params;
  const all = [...store.replicas.catalogue.shelf]
    .filter((replica) => source === undefined || replica.source === source)
    .filter((replica) => prefix === undefined || replica.key.startsWith(prefix));
  const idOf = (replica: HeldReplica) => `${replica.key}\n${replica.variant}`;
  const page = all
    .filter((replica) => after === undefined || idOf(replica) > after)
    .sort((a, b) => (idOf(a) < idOf(b) ? -1 : 1))
    .slice(0, limit + 1);
  const shown = page.slice(0, limit);
  const last = shown.at(-1);
  return {
    replicas: shown.map((replica) => rowOf(daemon, replica)),
    next: page.length > limit && last ? idOf(last) : null,
    total: store.replicas.catalogue.shelf.size,
  };
}

function rowOf({ store }: Daemon, replica: HeldReplica): ReplicasResult['replicas'][number] {
  const { key, key16, variant, status, content, size, source, version, receivedAt, tags, uses } = replica;
  return {
    ...{ key, key16, variant, status, content, size, source },
    tier: store.blobs.peek(content) ? 'memory' : 'disk',
    standing: store.replicas.standing(replica),
    version: stampText(version),
    receivedAt: Math.floor(receivedAt),
    freshUntil: freshUntil(replica),
    tags: [...tags],
    hits: uses,
  };
}

function freshUntil(replica: HeldReplica): number | null {
  const { bornAt, lifetimeMs } = new StoredResponse(replica, undefined, '', false);
  return lifetimeMs > 0 ? Math.floor(bornAt + lifetimeMs) : null;
}

export async function tag(daemon: Daemon, text: string): Promise<TagResult> {
  const { store } = daemon;
  const { key16, key, site } = resourceOf(daemon, text);
  const noted = store.replicas.catalogue.tagOf(key16);
  const { plan } = await currentPlan(daemon);
  const own = plan.placements.find((one) => one.key16 === key16 && one.pop === daemon.identity.self);
  const replication = (
    {
      none: own ? 'planned' : 'none',
      pulling: 'pulling',
      speculative: 'speculative',
      mirrored: 'held',
      client: 'held',
    } as const
  )[noted.status];
  const version = noted.version ? stampText(noted.version) : null;
  const holders = new Map(
    store.replicas.catalogue.peers.holders(key16).map((holder) => [holder.pop, holder.content]),
  );
  return {
    key: noted.key ?? key ?? named(daemon, key16).key,
    key16,
    site: noted.site ?? site ?? null,
    replication,
    priority: own?.value ?? noted.priority,
    tier:
      noted.content === undefined ? null : store.blobs.peek(noted.content) ? 'memory' : (noted.tier ?? null),
    version,
    content: noted.content ?? null,
    size: noted.size ?? null,
    updatedAt: noted.updatedAt === 0 ? null : Math.floor(noted.updatedAt),
    holders: [...holders].map(([pop, content]) => ({
      pop,
      name: popName(daemon, pop),
      version: content === noted.content && version !== null ? version : 'another',
    })),
    labels: [...noted.labels],
  };
}

export function link(daemon: Daemon, url: string): LinkResult {
  const { key16, key, site } = resourceOf(daemon, url);
  const zone = site === undefined ? undefined : daemon.sites.ofId(site)?.zone?.replace(/\.$/, '');
  const name = zone === undefined ? null : resourceHost(key16, zone);
  const path = key === undefined ? undefined : key.slice(key.indexOf('/'));
  return {
    url,
    key: key ?? key16,
    key16,
    label: labelOfKey16(key16),
    name,
    link: name === null || path === undefined ? null : `http://${name.replace(/\.$/, '')}${path}`,
  };
}
