import type { Charter, Site } from '../protocol/charter.ts';
import type { ResourceKey, SiteId } from '../protocol/ids.ts';

/** Finds sites by host name and by id, in the charter that is in force. */
export class Sites {
  #byHost = new Map<string, Site>();
  #byId = new Map<SiteId, Site>();
  #fallback: Site | undefined;

  constructor(charter: Pick<Charter, 'sites'>) {
    this.replace(charter);
  }

  /** From now on finds the sites of this charter, as a whole. */
  replace(charter: Pick<Charter, 'sites'>): void {
    this.#byHost = new Map();
    this.#byId = new Map();
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
