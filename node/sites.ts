import type { Charter, Site } from '../protocol/charter.ts';
import type { ResourceKey, SiteId } from '../protocol/ids.ts';

/** Finds sites by host name and by id; built once for a charter. */
export class Sites {
  readonly #byHost = new Map<string, Site>();
  readonly #byId = new Map<SiteId, Site>();
  readonly #fallback: Site | undefined;

  constructor(charter: Pick<Charter, 'sites'>) {
    for (const site of charter.sites) {
      this.#byId.set(site.id, site);
      for (const host of site.hosts) if (host !== '*') this.#byHost.set(host, site);
    }
    this.#fallback = charter.sites.find((site) => site.hosts.includes('*'));
  }

  /** The site that serves a host name; a port is ignored. */
  ofHost(host: string): Site | undefined {
    const bare = host.startsWith('[') ? host.slice(0, host.indexOf(']') + 1) : (host.split(':', 1)[0] ?? '');
    return this.#byHost.get(bare.toLowerCase()) ?? this.#fallback;
  }

  /** The site that a canonical key belongs to. */
  ofKey(key: ResourceKey): Site | undefined {
    const slash = key.indexOf('/');
    return this.ofHost(slash < 0 ? key : key.slice(0, slash));
  }

  ofId(id: SiteId): Site | undefined {
    return this.#byId.get(id);
  }
}
