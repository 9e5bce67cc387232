import { PresageError } from '../../protocol/errors.ts';
import type { Clock, Database, Random, Table, TableSpec, TableWrite } from '../../protocol/ports.ts';

/** What a disk does, drawn anew for each seed: how long an fsync takes. */
export interface DiskConditions {
  readonly minMs: number;
  readonly maxMs: number;
}

/** Keys by the prefix of their table. */
type Rows = Map<number, Map<string, Uint8Array>>;
type Write = { readonly prefix: number; readonly key: string; readonly value: Uint8Array | undefined };

interface Commit {
  readonly writes: readonly Write[];
  readonly sync: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What one life of a PoP brings to its database. */
export interface DatabaseWorld {
  readonly clock: Pick<Clock, 'after'>;
  readonly random: Random;
  readonly conditions: () => DiskConditions;
  /** Whether the disk refuses writes now. */
  readonly refuses?: () => boolean;
  /** Called when an fsync has just succeeded, before anybody is told: a good moment to crash. */
  readonly synced?: () => void;
}

const apply = (rows: Rows, writes: readonly Write[]): void => {
  for (const { prefix, key, value } of writes) {
    let table = rows.get(prefix);
    if (!table) {
      table = new Map();
      rows.set(prefix, table);
    }
    if (value) table.set(key, value);
    else table.delete(key);
  }
};
const copyOf = (rows: Rows): Rows => new Map([...rows].map(([prefix, table]) => [prefix, new Map(table)]));
const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/**
 * A database on virtual time with the guarantees of LevelDB and no better ones: batches are atomic and take effect in
 * order, waiting writes share an fsync, and of what was not synced a crash leaves some beginning. It outlives the PoP.
 */
export class VirtualDatabase {
  #durable: Rows = new Map();
  #view: Rows = new Map();
  /** Committed, and lost by a crash unless an fsync comes before. */
  #unsynced: (readonly Write[])[] = [];
  #queue: Commit[] = [];
  #flushing = false;
  #life = 0;

  /** A deliberate defect: an fsync that answers before anything is on disk. */
  liesAboutSync = false;

  open(world: DatabaseWorld): Database {
    const life = ++this.#life;
    const names = new Map<number, string>();
    let closed = false;
    const commit = (writes: readonly Write[], sync: boolean) =>
      new Promise<void>((resolve, reject) => {
        if (life !== this.#life) return;
        if (closed) return reject(new PresageError('CANCELLED', 'the database is closed'));
        this.#queue.push({ writes, sync, resolve, reject });
        this.#flush(world, life);
      });
    return {
      table: <V>(spec: TableSpec<V>) => {
        const { prefix, name } = spec;
        const taken = names.get(prefix) ?? name;
        if (taken !== name || !(prefix >= 0 && prefix < 255))
          throw new PresageError('INTERNAL', `the prefix ${prefix} is not for ${name}`);
        names.set(prefix, name);
        const rows = () => {
          if (closed) throw new PresageError('CANCELLED', 'the database is closed');
          return this.#view.get(prefix);
        };
        return new VirtualTable(spec, rows, commit);
      },
      close: async () => {
        closed = true;
      },
    };
  }

  /** The power goes: memory is gone, and of what was written since the last fsync all but some beginning. */
  crash(random: Random): void {
    this.#life += 1;
    const kept = Math.floor(random.float() * (this.#unsynced.length + 1));
    for (const writes of this.#unsynced.slice(0, kept)) apply(this.#durable, writes);
    this.#view = copyOf(this.#durable);
    this.#unsynced = [];
    this.#queue = [];
    this.#flushing = false;
  }

  /** A table is gone, as no disk loses one: a fault that only a deliberate defect may bring. */
  forget(prefix: number): void {
    this.#durable.delete(prefix);
    this.#view.delete(prefix);
  }

  #flush(world: DatabaseWorld, life: number): void {
    if (this.#flushing || this.#queue.length === 0) return;
    this.#flushing = true;
    const commits = this.#queue;
    this.#queue = [];
    const sync = commits.some((commit) => commit.sync);
    const { minMs, maxMs } = world.conditions();
    const delayMs = sync && !this.liesAboutSync ? minMs + world.random.float() * (maxMs - minMs) : 0;
    world.clock.after(delayMs, () => {
      if (life !== this.#life) return;
      this.#flushing = false;
      if (world.refuses?.()) {
        for (const { reject } of commits) reject(new PresageError('STORE_IO', 'the simulated disk refuses'));
      } else {
        for (const { writes } of commits) {
          apply(this.#view, writes);
          this.#unsynced.push(writes);
        }
        if (sync && !this.liesAboutSync) {
          for (const writes of this.#unsynced) apply(this.#durable, writes);
          this.#unsynced = [];
          world.synced?.();
          if (life !== this.#life) return;
        }
        for (const { resolve } of commits) resolve();
      }
      this.#flush(world, life);
    });
  }
}

class VirtualTable<V> implements Table<V> {
  readonly name: string;
  readonly #spec: TableSpec<V>;
  readonly #rows: () => ReadonlyMap<string, Uint8Array> | undefined;
  readonly #commit: (writes: readonly Write[], sync: boolean) => Promise<void>;

  constructor(
    spec: TableSpec<V>,
    rows: () => ReadonlyMap<string, Uint8Array> | undefined,
    commit: (writes: readonly Write[], sync: boolean) => Promise<void>,
  ) {
    this.name = spec.name;
    this.#spec = spec;
    this.#rows = rows;
    this.#commit = commit;
  }

  async get(key: string): Promise<V | undefined> {
    const bytes = this.#rows()?.get(key);
    return bytes && this.#decode(key, bytes);
  }

  async *entries({
    gte,
    lt,
    reverse = false,
    limit = Number.POSITIVE_INFINITY,
  }: Parameters<Table<V>['entries']>[0] = {}): AsyncIterable<[string, V]> {
    const keys = [...(this.#rows()?.keys() ?? [])]
      .filter(
        (key) => (gte === undefined || byBytes(key, gte) >= 0) && (lt === undefined || byBytes(key, lt) < 0),
      )
      .sort(byBytes);
    if (reverse) keys.reverse();
    const rows = new Map(this.#rows());
    let given = 0;
    for (const key of keys) {
      if (given >= limit) return;
      const value = this.#decode(key, rows.get(key)!);
      if (value === undefined) continue;
      given += 1;
      yield [key, value];
    }
  }

  put(key: string, value: V, options?: { readonly sync?: boolean }): Promise<void> {
    return this.batch([{ type: 'put', key, value }], options);
  }

  del(key: string, options?: { readonly sync?: boolean }): Promise<void> {
    return this.batch([{ type: 'del', key }], options);
  }

  async batch(writes: readonly TableWrite<V>[], options?: { readonly sync?: boolean }): Promise<void> {
    const { prefix } = this.#spec;
    const encoded = writes.map((write): Write => {
      const { key } = write;
      // Copied: the caller may reuse its buffer, and a disk keeps what it was given.
      return {
        prefix,
        key,
        value: write.type === 'put' ? new Uint8Array(this.#spec.encode(write.value)) : undefined,
      };
    });
    if (encoded.length > 0) await this.#commit(encoded, options?.sync === true);
  }

  /** A damaged record is set aside and counts as absent. */
  #decode(key: string, bytes: Uint8Array): V | undefined {
    try {
      return this.#spec.decode(new Uint8Array(bytes));
    } catch {
      void this.#commit([{ prefix: this.#spec.prefix, key, value: undefined }], false);
      return undefined;
    }
  }
}
