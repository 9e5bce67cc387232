import { rm, writeFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { Level } from 'level';
import { PresageError } from '../../protocol/errors.ts';
import type {
  Database,
  Log,
  Metrics,
  Table,
  TableSpec,
  TableWrite,
  WriteOptions,
} from '../../protocol/ports.ts';

/** Prefix of the table that damaged records are moved to; no other table may have it. */
const QUARANTINE_PREFIX = 0xff;
/** Damaged records that are kept for inspection; what comes beyond is deleted. */
const QUARANTINE_RECORDS_MAX = 1000;
/** CRC-32 before each value, over key and value: LevelDB does not verify its block checksums on ordinary reads. */
const CHECKSUM_BYTES = 4;
/** Entries an iterator fetches from LevelDB at once. */
const ITERATOR_BATCH = 256;
/** How often, after a failed write, it is tried whether the disk takes writes again. */
const RECOVER_MS = 1000;
/** Written and removed to try it: more than LevelDB needs to recover its log into a table. */
const PROBE_BYTES = 8 << 20;

type Store = Level<string, Uint8Array>;
/** A static of classic-level that the types of `level` leave out. */
type Repairing = { repair(location: string): Promise<void> };
type Raw = { type: 'put'; key: string; value: Uint8Array } | { type: 'del'; key: string };

export interface LevelOptions {
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Opens the database in `directory`, creating it if absent. Group commit is LevelDB's own: concurrent `sync` writes
 * share an fsync. Damage that LevelDB notices at opening is repaired, with a warning.
 * Fails with `STORE_LOCKED`, `STORE_CORRUPT` (beyond repair) or `STORE_IO`.
 */
export async function openLevel(directory: string, { log, metrics }: LevelOptions): Promise<Database> {
  const store: Store = new Level(directory, { keyEncoding: 'utf8', valueEncoding: 'view' });
  try {
    await store.open();
  } catch (error) {
    if (levelCode(error) !== 'LEVEL_CORRUPTION') throw storeError(error, directory);
    log.warn('the database is damaged; repairing it, some recent records may be lost', {
      directory,
      reason: reasonOf(error),
    });
    metrics.count('errors_total', { code: 'STORE_CORRUPT' });
    try {
      await (Level as unknown as Repairing).repair(directory);
      await store.open();
    } catch (failure) {
      throw new PresageError(
        'STORE_CORRUPT',
        `the database in ${directory} cannot be repaired: ${reasonOf(failure)}. ` +
          'Move the directory away; the PoP then fetches its state anew.',
        { directory },
        failure,
      );
    }
    log.warn('the database is repaired', { directory });
  }
  return new LevelDatabase(store, directory, log, metrics);
}

class LevelDatabase implements Database {
  readonly #store: Store;
  readonly #directory: string;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #tables = new Map<number, string>();
  /** Writes under way; a quarantine move and a reopening wait for them. */
  readonly #writes = new Set<Promise<void>>();
  /** While set, nothing new begins. */
  #pause: Promise<void> | undefined;
  /** The failure of a write, until the store has been opened afresh. */
  #broken: PresageError | undefined;
  #triedAt = 0;
  #quarantined: number | undefined;
  #closed = false;

  constructor(store: Store, directory: string, log: Log, metrics: Metrics) {
    this.#store = store;
    this.#directory = directory;
    this.#log = log;
    this.#metrics = metrics;
  }

  table<V>(spec: TableSpec<V>): Table<V> {
    const { name, prefix } = spec;
    const taken = this.#tables.get(prefix);
    const valid = Number.isInteger(prefix) && prefix >= 0 && prefix < QUARANTINE_PREFIX;
    if (!valid || (taken !== undefined && taken !== name)) {
      throw new PresageError(
        'INTERNAL',
        `table ${name}: prefix ${prefix} ${valid ? `is that of ${taken}` : 'is invalid'}`,
      );
    }
    this.#tables.set(prefix, name);
    return new LevelTable(spec, this);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#pause;
    await Promise.allSettled(this.#writes);
    await this.#store.close();
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    while (this.#pause) await this.#pause;
    this.#refuseClosed();
    try {
      return await this.#store.get(key);
    } catch (error) {
      throw storeError(error, this.#directory);
    }
  }

  async *entries(range: { gte: string; lt: string; reverse: boolean; limit: number }) {
    while (this.#pause) await this.#pause;
    this.#refuseClosed();
    const iterator = this.#store.iterator(range);
    try {
      for (;;) {
        const batch = await iterator.nextv(ITERATOR_BATCH);
        if (batch.length === 0) return;
        yield* batch;
      }
    } catch (error) {
      throw storeError(error, this.#directory);
    } finally {
      await iterator.close();
    }
  }

  async write(writes: readonly Raw[], sync: boolean): Promise<void> {
    if (this.#broken) await this.#recover();
    while (this.#pause) await this.#pause;
    this.#refuseClosed();
    if (this.#broken) throw this.#broken;
    // Nothing may await from here until the write is on the list.
    const writing = this.#store.batch([...writes], { sync });
    const settled = writing.then(
      () => undefined,
      () => undefined,
    );
    this.#writes.add(settled);
    try {
      await writing;
    } catch (error) {
      const failure = storeError(error, this.#directory);
      this.#metrics.count('errors_total', { code: failure.code });
      if (!this.#closed && !this.#broken) {
        this.#broken = failure;
        this.#triedAt = performance.now();
        this.#log.error('the database cannot be written; reads go on', { error: failure });
      }
    } finally {
      this.#writes.delete(settled);
    }
    // What was written behind a torn record in LevelDB's log would be lost at the next start.
    if (this.#broken) throw this.#broken;
  }

  /**
   * Sets a damaged record aside. Writes to the key that came since are respected: the record is read again when no
   * write is under way, and moved only if it is still the damaged one.
   */
  async quarantine(table: string, key: string, damaged: Uint8Array, error: unknown): Promise<void> {
    this.#metrics.count('errors_total', { code: 'STORE_CORRUPT' });
    this.#log.error('a record is damaged; it was set aside and counts as absent', {
      table,
      key: key.slice(2, 100),
      reason: reasonOf(error),
    });
    if (this.#broken) return;
    await this.#alone(async () => {
      const current = await this.#store.get(key);
      if (!current || Buffer.compare(current, damaged) !== 0) return;
      this.#quarantined ??= await this.#countQuarantined();
      const keep = this.#quarantined < QUARANTINE_RECORDS_MAX;
      if (keep) this.#quarantined += 1;
      await this.#store.batch([
        ...(keep ? [{ type: 'put' as const, key: prefixed(QUARANTINE_PREFIX, key), value: damaged }] : []),
        { type: 'del' as const, key },
      ]);
    }).catch((failure: unknown) =>
      this.#log.error('a damaged record could not be set aside', { table, reason: reasonOf(failure) }),
    );
  }

  async #countQuarantined(): Promise<number> {
    const range = { gte: prefixed(QUARANTINE_PREFIX, ''), lt: prefixed(QUARANTINE_PREFIX + 1, '') };
    return (await this.#store.keys({ ...range, limit: QUARANTINE_RECORDS_MAX }).all()).length;
  }

  #refuseClosed(): void {
    if (this.#closed) throw new PresageError('CANCELLED', 'the database is closed');
  }

  /**
   * A failed write leaves a torn record in LevelDB's log, behind which nothing is safe. Nothing more is written until
   * the disk takes writes again and the store has been opened afresh, which begins a new log; reads go on meanwhile.
   */
  async #recover(): Promise<void> {
    if (performance.now() - this.#triedAt < RECOVER_MS) return;
    this.#triedAt = performance.now();
    const probe = `${this.#directory}.probe`;
    try {
      await writeFile(probe, Buffer.alloc(PROBE_BYTES), { flush: true });
    } catch {
      return;
    } finally {
      await rm(probe, { force: true }).catch(() => undefined);
    }
    await this.#alone(async () => {
      if (!this.#broken) return;
      try {
        await this.#store.close();
        await this.#store.open();
        this.#broken = undefined;
        this.#log.info('the database can be written again', { directory: this.#directory });
      } catch (error) {
        this.#broken = storeError(error, this.#directory);
      }
    });
  }

  /** Runs `work` while no write is under way and nothing new begins. */
  async #alone(work: () => Promise<void>): Promise<void> {
    while (this.#pause) await this.#pause;
    this.#refuseClosed();
    const done = (async () => {
      await Promise.allSettled(this.#writes);
      await work();
    })();
    this.#pause = done.then(
      () => undefined,
      () => undefined,
    );
    try {
      await done;
    } finally {
      this.#pause = undefined;
    }
  }
}

class LevelTable<V> implements Table<V> {
  readonly name: string;
  readonly #spec: TableSpec<V>;
  readonly #database: LevelDatabase;

  constructor(spec: TableSpec<V>, database: LevelDatabase) {
    this.name = spec.name;
    this.#spec = spec;
    this.#database = database;
  }

  async get(key: string): Promise<V | undefined> {
    const full = prefixed(this.#spec.prefix, key);
    const stored = await this.#database.get(full);
    return stored && (await this.#open(full, stored));
  }

  async *entries(
    range: { gte?: string; lt?: string; reverse?: boolean; limit?: number } = {},
  ): AsyncIterable<[string, V]> {
    const { prefix } = this.#spec;
    const limit = range.limit ?? -1;
    const raw = this.#database.entries({
      gte: prefixed(prefix, range.gte ?? ''),
      lt: range.lt === undefined ? prefixed(prefix + 1, '') : prefixed(prefix, range.lt),
      reverse: range.reverse ?? false,
      // A damaged record does not count against the limit, so that it is counted here.
      limit: -1,
    });
    if (limit === 0) return;
    let count = 0;
    for await (const [full, stored] of raw) {
      const value = await this.#open(full, stored);
      if (value === undefined) continue;
      yield [full.slice(2), value];
      count += 1;
      if (count === limit) return;
    }
  }

  put(key: string, value: V, options?: WriteOptions): Promise<void> {
    return this.batch([{ type: 'put', key, value }], options);
  }

  del(key: string, options?: WriteOptions): Promise<void> {
    return this.batch([{ type: 'del', key }], options);
  }

  async batch(writes: readonly TableWrite<V>[], { sync = false }: WriteOptions = {}): Promise<void> {
    if (writes.length === 0) return;
    const raw = writes.map((write): Raw => {
      const key = prefixed(this.#spec.prefix, write.key);
      return write.type === 'del'
        ? { type: 'del', key }
        : { type: 'put', key, value: this.#seal(key, write.value) };
    });
    await this.#database.write(raw, sync);
  }

  #seal(key: string, value: V): Uint8Array {
    const bytes = this.#spec.encode(value);
    const sealed = Buffer.allocUnsafe(CHECKSUM_BYTES + bytes.length);
    sealed.set(bytes, CHECKSUM_BYTES);
    sealed.writeUInt32BE(crc32(bytes, crc32(key)), 0);
    return sealed;
  }

  /** The value of a stored record; a damaged one is set aside and gives `undefined`. */
  async #open(key: string, stored: Uint8Array): Promise<V | undefined> {
    try {
      const view = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
      const bytes = view.subarray(CHECKSUM_BYTES);
      if (view.length < CHECKSUM_BYTES || view.readUInt32BE(0) !== crc32(bytes, crc32(key))) {
        throw new PresageError('STORE_CORRUPT', 'the checksum does not match');
      }
      return this.#spec.decode(bytes);
    } catch (error) {
      await this.#database.quarantine(this.name, key, stored, error);
      return undefined;
    }
  }
}

/** Two hex digits, then the key: the order of keys within a table is kept. */
const prefixed = (prefix: number, key: string): string =>
  (prefix > QUARANTINE_PREFIX ? 'g' : prefix.toString(16).padStart(2, '0')) + key;

const causes = (error: unknown): unknown[] =>
  error instanceof Error && error.cause !== undefined ? [error, ...causes(error.cause)] : [error];

const levelCode = (error: unknown): string =>
  String((causes(error).at(-1) as { code?: unknown } | undefined)?.code ?? '');

const reasonOf = (error: unknown): string => {
  const last = causes(error).at(-1);
  return last instanceof Error ? last.message : String(last);
};

function storeError(error: unknown, directory: string): PresageError {
  if (error instanceof PresageError) return error;
  const reason = reasonOf(error);
  if (levelCode(error) === 'LEVEL_LOCKED') {
    return new PresageError(
      'STORE_LOCKED',
      `${directory} is in use by another process`,
      { directory },
      error,
    );
  }
  if (levelCode(error) === 'LEVEL_CORRUPTION')
    return new PresageError('STORE_CORRUPT', reason, { directory }, error);
  const code = /no space left|ENOSPC|disk quota|file too large/i.test(reason) ? 'STORE_FULL' : 'STORE_IO';
  return new PresageError(code, `${directory}: ${reason}`, { directory }, error);
}
