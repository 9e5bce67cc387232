import type { Names } from '../actors/names.ts';
import type { Charter } from '../protocol/charter.ts';
import { key16OfHost } from './dns/label.ts';
import { hostName } from './http/key.ts';

/**
 * Maps the name of a single resource, `<label>.r.<zone>` (see `presage link`), back to the host name under which it
 * is stored. Where the resource is not known here, the site's first host name stands in.
 */
export function resourceHosts(
  /** The charter in force at each request. */
  charter: () => Pick<Charter, 'sites'>,
  names: Pick<Names, 'get'>,
): (host: string) => string | undefined {
  let sites: Charter['sites'] | undefined;
  let zones: readonly { readonly zone: string; readonly host: string | undefined }[] = [];
  return (host) => {
    if (!host.includes('.r.')) return undefined;
    const now = charter().sites;
    if (now !== sites) {
      sites = now;
      zones = zonesOf(now);
    }
    for (const { zone, host: standIn } of zones) {
      const key16 = key16OfHost(hostName(host), zone);
      if (key16 === undefined) continue;
      const key = names.get(key16)?.key;
      return key === undefined ? standIn : key.slice(0, key.indexOf('/'));
    }
    return undefined;
  };
}

const zonesOf = (sites: Charter['sites']) =>
  sites.flatMap(({ zone, hosts }) =>
    zone === undefined ? [] : [{ zone: zone.replace(/\.$/, ''), host: hosts.find((name) => name !== '*') }],
  );
