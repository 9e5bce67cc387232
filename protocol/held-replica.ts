import type { ContentHash, Key16, ResourceKey, SiteId } from './ids.ts';
import type { PurgeHandle } from './invalidation.ts';
import type { Fence, Replica, ReplicaSource, Stamp, Standing } from './replica.ts';
import { type VariantId, variantHash, variantId } from './versions.ts';

/** A replica in the catalogue, with what the catalogue remembers of it so that a look-up costs one comparison. */
export class HeldReplica implements Replica {
  readonly key: ResourceKey;
  readonly key16: Key16;
  readonly site: SiteId;
  readonly variant: string;
  readonly status: number;
  readonly headers: Replica['headers'];
  readonly content: ContentHash;
  readonly size: number;
  readonly requestedAt: number;
  readonly receivedAt: number;
  readonly fence: Fence;
  readonly tags: readonly string[];
  readonly version: Stamp;
  readonly source: ReplicaSource;
  readonly group: number;
  readonly rules: number;

  readonly id: VariantId;
  readonly handle: PurgeHandle;
  /** Position of the last purge that it was checked against, and what the check said. */
  checkedAt = -1;
  purged: Standing = 'valid';
  /** Peers were told that it waits for the origin's word. */
  withdrawn = false;
  /** A newer version with other content is known. */
  outdated = false;
  /** It has left the catalogue. */
  dropped = false;
  /** It is subject to eviction; one that was replaced is not. */
  shelved = false;
  /** Uses since it was stored, and the last of them, demand ms. */
  uses = 0;
  usedAt: number;

  constructor(replica: Replica, handle: PurgeHandle, demandNow: number) {
    this.key = replica.key;
    this.key16 = replica.key16;
    this.site = replica.site;
    this.variant = replica.variant;
    this.status = replica.status;
    this.headers = replica.headers;
    this.content = replica.content;
    this.size = replica.size;
    this.requestedAt = replica.requestedAt;
    this.receivedAt = replica.receivedAt;
    this.fence = replica.fence;
    this.tags = replica.tags;
    this.version = replica.version;
    this.source = replica.source;
    this.group = replica.group;
    this.rules = replica.rules;
    this.id = variantId(replica.key16, variantHash(replica.variant));
    this.handle = handle;
    this.usedAt = demandNow;
  }
}

/** The plain record of a replica, without what the catalogue remembers of it. */
export function plainReplica(replica: Replica): Replica {
  const { key, key16, site, variant, status, headers, content, size, requestedAt, receivedAt } = replica;
  const { fence, tags, version, source, group, rules } = replica;
  return {
    key,
    key16,
    site,
    variant,
    status,
    headers,
    content,
    size,
    requestedAt,
    receivedAt,
    fence,
    tags,
    version,
    source,
    group,
    rules,
  };
}
