import { PresageError } from '../../protocol/errors.ts';
import {
  isKey16,
  type Key16,
  key16Of,
  type PopId,
  type ResourceKey,
  type SiteId,
} from '../../protocol/ids.ts';
import type { Stamp } from '../../protocol/replica.ts';
import type { Daemon } from '../compose.ts';
import { canonicalHost, canonicalTarget, hostName } from '../http/key.ts';

/** A resource as the operator named it, found. */
export interface Resource {
  readonly key16: Key16;
  /** Absent where the name is not known here. */
  readonly key: ResourceKey | undefined;
  readonly site: SiteId | undefined;
}

/** Host and path of a URL or canonical key. Fails with `RPC_PARAMS`. */
export function splitUrl(text: string): { host: string; target: string } {
  const match = /^(?:(https?):\/\/)?([^/?#]+)([^#]*)/i.exec(text);
  if (!match?.[2])
    throw new PresageError('RPC_PARAMS', `${text} is neither a URL nor a canonical key (host/path)`);
  const rest = match[3] ?? '';
  const port = match[1]?.toLowerCase() === 'https' ? 443 : 80;
  return { host: canonicalHost(match[2], port), target: rest.startsWith('/') ? rest : `/${rest}` };
}

/** The resource of a URL, a canonical key or a key16. Fails with `RPC_PARAMS` or `HTTP_UNKNOWN_SITE`. */
export function resourceOf({ names, sites }: Pick<Daemon, 'names' | 'sites'>, text: string): Resource {
  if (isKey16(text)) {
    const name = names.get(text);
    return { key16: text, key: name?.key, site: name?.site };
  }
  const { host, target } = splitUrl(text);
  const site = sites.ofHost(hostName(host));
  if (!site) throw new PresageError('HTTP_UNKNOWN_SITE', `no site serves ${host}`);
  const { key } = canonicalTarget(host, target, site.normalise);
  return { key16: key16Of(key, site.secret), key, site: site.id };
}

/** Key and key16 of a row; the key16 stands for a name that is not known here. */
export const named = ({ names, store }: Pick<Daemon, 'names' | 'store'>, key16: Key16) => ({
  key: names.get(key16)?.key ?? store.replicas.get(key16)[0]?.key ?? key16,
  key16,
});

export const popName = ({ identity, network }: Pick<Daemon, 'identity' | 'network'>, pop: PopId): string =>
  pop === identity.self ? identity.name : (network?.certificateOf(pop)?.name ?? pop);

export const stampText = ({ time, counter, pop }: Stamp): string => `${time}.${counter}@${pop}`;
