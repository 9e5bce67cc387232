import type { Daemon } from '../compose.ts';
import type { Handlers } from '../rpc/method.ts';
import { accuracy, announce, forecast, ingest, plan, signal, trending } from './demand.ts';
import { setText } from './dns.ts';
import { explain } from './explain.ts';
import { purge } from './purge.ts';
import { link, replicas, tag } from './replicas.ts';
import { config, type DoorAddresses, epochs, peersOf, status } from './status.ts';

/** What answers each method of the local RPC. */
export function handlersOf(daemon: Daemon, doors: { readonly addresses: DoorAddresses }): Handlers {
  return {
    status: () => status(daemon, doors.addresses),
    peers: () => peersOf(daemon),
    epochs: ({ limit }) => epochs(daemon, limit),
    trending: (params) => trending(daemon, params),
    forecast: (params) => forecast(daemon, params),
    plan: (params) => plan(daemon, params),
    explain: ({ resource }) => explain(daemon, resource),
    announce: (params) => announce(daemon, params),
    signal: (params) => signal(daemon, params),
    accuracy: ({ region }) => accuracy(daemon, region),
    replicas: (params) => replicas(daemon, params),
    tag: ({ resource }) => tag(daemon, resource),
    purge: (params) => purge(daemon, params),
    ingest: (params) => ingest(daemon, params),
    link: ({ url }) => link(daemon, url),
    config: () => config(daemon),
    'dns.set': (params) => setText(daemon, params),
  };
}
