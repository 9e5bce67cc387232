import type { Key16, ResourceKey, SiteId } from './ids.ts';
import type { SiteScopes } from './purge.ts';

/** What a purge is matched against. */
export interface Purgeable {
  readonly key: ResourceKey;
  readonly key16: Key16;
  readonly site: SiteId;
  readonly tags: readonly string[];
}

/** A resource with its hashed scopes; made once per replica, since hashing costs some microseconds. */
export interface PurgeHandle {
  readonly key: ResourceKey;
  /** Absent when the site is not in the charter: then nothing but its URL can be matched. */
  readonly site: SiteScopes | undefined;
  /** The key16 and the hash of each tag. */
  readonly scopes: readonly string[];
}
