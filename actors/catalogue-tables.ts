import * as v from 'valibot';
import type { CatalogueWrite } from '../protocol/catalogue-change.ts';
import type { PopId, ResourceKey, SiteId } from '../protocol/ids.ts';
import { idBytes } from '../protocol/ids.ts';
import type { Database, Table, TableSpec, TableWrite } from '../protocol/ports.ts';
import type { Replica } from '../protocol/replica.ts';
import type { Note } from '../protocol/tags.ts';
import type { Version } from '../protocol/versions.ts';
import { decode, encode } from '../protocol/wire/codec.ts';
import { bytes, contentHash, key16, popId, rows, text, uint } from '../protocol/wire/schemas.ts';

/** What the edge caps the header section of a response at, with room for the frame. */
const MAX_RECORD_BYTES = 1 << 20;
const MAX_FIELDS = 2_000;
const MAX_TAGS = 4_000;
const MAX_FENCE = 4_096;

const SOURCES = ['client', 'plan', 'speculative'] as const;
const TIERS = ['memory', 'disk'] as const;

const stamp = v.strictTuple([uint(), uint(2 ** 32 - 1), popId]);
const short = v.pipe(
  bytes(8),
  v.transform((b) => Buffer.from(b).toString('hex')),
);
const fence = rows(v.strictTuple([popId, uint()]), MAX_FENCE);
const REPLICA = v.strictTuple([
  v.literal(1),
  text(65_536),
  key16,
  text(256),
  text(65_536),
  uint(999),
  rows(v.strictTuple([text(65_536), text(1 << 20)]), MAX_FIELDS),
  contentHash,
  uint(),
  v.number(),
  v.number(),
  fence,
  rows(text(4_096), MAX_TAGS),
  stamp,
  uint(SOURCES.length - 1),
  uint(),
  uint(),
]);
const VERSION = v.strictTuple([v.literal(1), contentHash, uint(), short, stamp]);
const NOTE = v.strictTuple([
  v.literal(1),
  v.nullable(text(65_536)),
  v.nullable(text(256)),
  v.pipe(v.number(), v.safeInteger()),
  v.nullable(uint(TIERS.length - 1)),
  rows(text(4_096), MAX_TAGS),
  v.number(),
]);

const spec = <S extends v.GenericSchema>(name: string, schema: S) => ({
  ...{ name, schema, maxBytes: MAX_RECORD_BYTES, depth: 4, elements: 40_000 },
});

const packStamp = ({ time, counter, pop }: Replica['version']) => [time, counter, pop];
const unpackStamp = ([time, counter, pop]: readonly [number, number, PopId]) => ({ time, counter, pop });

export const REPLICAS: TableSpec<Replica> = {
  name: 'replicas',
  prefix: 1,
  encode: (r) =>
    encode([
      1,
      r.key,
      idBytes(r.key16),
      r.site,
      r.variant,
      r.status,
      r.headers,
      idBytes(r.content),
      r.size,
      r.requestedAt,
      r.receivedAt,
      [...r.fence],
      r.tags,
      packStamp(r.version),
      SOURCES.indexOf(r.source),
      r.group,
      r.rules,
    ]),
  decode: (data) => {
    const [, key, id, site, variant, status, headers, content, size, requestedAt, receivedAt, ...rest] =
      decode(data, spec('replica record', REPLICA));
    const [covered, tags, version, source, group, rules] = rest;
    return {
      key: key as ResourceKey,
      key16: id,
      site: site as SiteId,
      ...{ variant, status, headers, content, size, requestedAt, receivedAt, tags, group, rules },
      fence: new Map(covered),
      version: unpackStamp(version),
      source: SOURCES[source]!,
    };
  },
};

export const VERSIONS: TableSpec<Version> = {
  name: 'versions',
  prefix: 2,
  encode: (version) =>
    encode([
      1,
      idBytes(version.content),
      version.size,
      Buffer.from(version.validator, 'hex'),
      packStamp(version.stamp),
    ]),
  decode: (data) => {
    const [, content, size, validator, stamped] = decode(data, spec('version record', VERSION));
    return { content, size, validator, stamp: unpackStamp(stamped) };
  },
};

export const TAGS: TableSpec<Note> = {
  name: 'tags',
  prefix: 6,
  encode: (note) =>
    encode([
      1,
      note.key ?? null,
      note.site ?? null,
      note.priority,
      note.tier ? TIERS.indexOf(note.tier) : null,
      note.labels,
      note.updatedAt,
    ]),
  decode: (data) => {
    const [, key, site, priority, tier, labels, updatedAt] = decode(data, spec('tag record', NOTE));
    return {
      key: (key ?? undefined) as ResourceKey | undefined,
      site: (site ?? undefined) as SiteId | undefined,
      pulling: false,
      tier: tier === null ? undefined : TIERS[tier],
      ...{ priority, labels, updatedAt },
    };
  },
};

/** The catalogue's tables, and how its changes become durable. */
export class CatalogueTables {
  readonly replicas: Table<Replica>;
  readonly versions: Table<Version>;
  readonly tags: Table<Note>;
  /** Rows that wait, by table and key; a later one takes the place of an earlier. */
  #waiting = new Map<string, CatalogueWrite>();
  #next: Promise<void> | undefined;
  #current: Promise<void> = Promise.resolve();

  constructor(database: Database) {
    this.replicas = database.table(REPLICAS);
    this.versions = database.table(VERSIONS);
    this.tags = database.table(TAGS);
  }

  /**
   * Resolves after fsync. One batch at a time, so that an earlier state of a row never overwrites a later; all that
   * comes while a batch is written shares the next. Fails with `STORE_*`; the rows are then tried again with the
   * next batch.
   */
  write(writes: readonly CatalogueWrite[]): Promise<void> {
    if (writes.length === 0) return Promise.resolve();
    for (const write of writes) this.#waiting.set(write.table + write.key, write);
    this.#next ??= this.#current.then(
      () => this.#flush(),
      () => this.#flush(),
    );
    return this.#next;
  }

  async flush(): Promise<void> {
    await this.#next?.catch(() => undefined);
    await this.#current.catch(() => undefined);
  }

  #flush(): Promise<void> {
    const batch = this.#waiting;
    this.#waiting = new Map();
    this.#next = undefined;
    this.#current = this.#writeAll([...batch.values()]).catch((error: unknown) => {
      for (const [key, write] of batch) if (!this.#waiting.has(key)) this.#waiting.set(key, write);
      throw error;
    });
    return this.#current;
  }

  async #writeAll(writes: readonly CatalogueWrite[]): Promise<void> {
    const replicas: TableWrite<Replica>[] = [];
    const versions: TableWrite<Version>[] = [];
    const tags: TableWrite<Note>[] = [];
    for (const { table, key, value } of writes) {
      if (table === 'replicas') replicas.push(value ? { type: 'put', key, value } : { type: 'del', key });
      else if (table === 'versions')
        versions.push(value ? { type: 'put', key, value } : { type: 'del', key });
      else tags.push(value ? { type: 'put', key, value } : { type: 'del', key });
    }
    // A replica must never be found without its version.
    await this.versions.batch(versions, { sync: versions.length > 0 && replicas.length === 0 });
    await this.replicas.batch(replicas, { sync: true });
    await this.tags.batch(tags, { sync: true });
  }
}
