import * as v from 'valibot';
import { codeOf, PresageError } from '../protocol/errors.ts';
import type { HybridClock } from '../protocol/hybrid-clock.ts';
import { Invalidations, type InvalidationsOptions } from '../protocol/invalidation.ts';
import type { Clock, Database, Log, Metrics, Table, TableSpec, TableWrite } from '../protocol/ports.ts';
import { MAX_PURGE_BYTES, readPurge, type SignedPurge } from '../protocol/purge.ts';
import { decode, encode, type MessageSpec } from '../protocol/wire/codec.ts';
import { bytes, uint } from '../protocol/wire/schemas.ts';

/** Key of the record that says how many purges there are and what their ids add up to; after all others. */
const SUMMARY = '~';
const OWN_SEQ = 'purge.seq';

type Row =
  | { readonly kind: 'purge'; readonly body: Uint8Array; readonly signature: Uint8Array }
  | { readonly kind: 'summary'; readonly count: number; readonly sum: bigint };

const ROW = {
  name: 'purge row',
  maxBytes: 2 * MAX_PURGE_BYTES,
  depth: 1,
  elements: 8,
  schema: v.union([
    v.strictTuple([v.literal(0), bytes(MAX_PURGE_BYTES), bytes(64, 64)]),
    v.strictTuple([v.literal(1), uint(), bytes(8, 8)]),
  ]),
} satisfies MessageSpec<v.GenericSchema>;

const PURGES: TableSpec<Row> = {
  name: 'purges',
  prefix: 3,
  encode: (row) =>
    row.kind === 'purge'
      ? encode([0, row.body, row.signature])
      : encode([1, row.count, Buffer.from(row.sum.toString(16).padStart(16, '0'), 'hex')]),
  decode: (data) => {
    const row = decode(data, ROW);
    return row[0] === 0
      ? { kind: 'purge', body: row[1], signature: row[2] }
      : { kind: 'summary', count: row[1], sum: BigInt(`0x${Buffer.from(row[2]).toString('hex')}`) };
  },
};

const META: TableSpec<number> = {
  name: 'meta',
  prefix: 5,
  encode: (value) => encode(value),
  decode: (data) => decode(data, { name: 'meta row', maxBytes: 16, schema: uint() }),
};

interface Waiting {
  readonly puts: readonly SignedPurge[];
  readonly removes: readonly SignedPurge[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface PurgeLedgerDeps {
  readonly database: Database;
  readonly clock: Clock;
  readonly hybrid: HybridClock;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * The purges of this PoP, in memory and on disk. It outlives restarts of the actors, so that the edge never serves
 * by an empty set. Writes are fsynced and happen in the order in which they are asked for.
 */
export class PurgeLedger {
  readonly invalidations: Invalidations;
  /** Purges were lost on disk: what is stored may have been purged. */
  damaged = false;
  /** Whether the purges of at least one peer are known here; kept by the invalidator. */
  reconciled = false;
  readonly #deps: PurgeLedgerDeps;
  readonly #table: Table<Row>;
  readonly #meta: Table<number>;
  /** Ids on disk. */
  readonly #stored = new Set<string>();
  #sum = 0n;
  /** The second copy of the last own number, as it is on disk. */
  #keptOwnSeq = 0;
  #queue: Waiting[] = [];
  #writing: Promise<void> | undefined;

  private constructor(deps: PurgeLedgerDeps, invalidations: Invalidations) {
    this.#deps = deps;
    this.invalidations = invalidations;
    this.#table = deps.database.table(PURGES);
    this.#meta = deps.database.table(META);
  }

  /** Reads all purges back. `alone`: no peer is configured, so there is nobody to reconcile with. */
  static async open(
    options: InvalidationsOptions & { readonly alone: boolean },
    deps: PurgeLedgerDeps,
  ): Promise<PurgeLedger> {
    const ledger = new PurgeLedger(deps, new Invalidations(options));
    await ledger.#load();
    ledger.reconciled = options.alone && !ledger.damaged;
    return ledger;
  }

  async #load(): Promise<void> {
    const { log, metrics, hybrid, clock } = this.#deps;
    let summary: Extract<Row, { kind: 'summary' }> | undefined;
    for await (const [key, row] of this.#table.entries()) {
      if (row.kind === 'summary') {
        summary = row;
        continue;
      }
      try {
        const purge = readPurge(row.body, row.signature);
        if (keyOf(purge) !== key) throw new PresageError('STORE_CORRUPT', 'a purge under the key of another');
        this.#stored.add(purge.id);
        this.#sum ^= numberOf(purge.id);
        this.invalidations.apply(purge);
        if (!hybrid.tooFarAhead(purge.stamp, clock.now())) hybrid.observe(purge.stamp, clock.now());
      } catch (error) {
        metrics.count('errors_total', { code: codeOf(error, 'STORE_CORRUPT') });
      }
    }
    this.#keptOwnSeq = (await this.#meta.get(OWN_SEQ)) ?? 0;
    this.invalidations.restoreOwnSeq(this.#keptOwnSeq);
    this.damaged = (summary?.count ?? 0) !== this.#stored.size || (summary?.sum ?? 0n) !== this.#sum;
    if (this.damaged) {
      metrics.count('errors_total', { code: 'STORE_CORRUPT' });
      log.error('purges were lost on disk; what is stored is revalidated until peers have told theirs', {
        expected: summary?.count ?? 0,
        found: this.#stored.size,
      });
      await this.write([], []);
    }
  }

  /** Purges in force that are not on disk, as after the actor that had them written has failed. */
  unwritten(): SignedPurge[] {
    return [...this.invalidations.list()].filter((purge) => !this.#stored.has(purge.id));
  }

  /** Resolves after fsync. Fails with `STORE_*`. */
  write(puts: readonly SignedPurge[], removes: readonly SignedPurge[]): Promise<void> {
    const written = new Promise<void>((resolve, reject) => {
      this.#queue.push({ puts, removes, resolve, reject });
    });
    this.#writing ??= this.#drain();
    return written;
  }

  /** One batch at a time, so that a removal never overtakes the write that it follows; what waits shares an fsync. */
  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const waiting = this.#queue;
      this.#queue = [];
      try {
        await this.#writeAll(waiting);
        for (const { resolve } of waiting) resolve();
      } catch (error) {
        for (const { reject } of waiting) reject(error);
      }
    }
    // In the same turn as the look at the queue: whoever hears that a write is done may ask for the next at once.
    this.#writing = undefined;
  }

  async #writeAll(waiting: readonly Waiting[]): Promise<void> {
    const writes = new Map<string, TableWrite<Row>>();
    const changed = new Map<string, boolean>();
    for (const { puts, removes } of waiting) {
      for (const purge of puts) {
        const { bytes: body, signature } = purge;
        writes.set(keyOf(purge), {
          type: 'put',
          key: keyOf(purge),
          value: { kind: 'purge', body, signature },
        });
        changed.set(purge.id, true);
      }
      for (const purge of removes) {
        writes.set(keyOf(purge), { type: 'del', key: keyOf(purge) });
        changed.set(purge.id, false);
      }
    }
    let count = this.#stored.size;
    let sum = this.#sum;
    for (const [id, stored] of changed) {
      if (stored === this.#stored.has(id)) continue;
      count += stored ? 1 : -1;
      sum ^= numberOf(id);
    }
    const summary: Row = { kind: 'summary', count, sum };
    await this.#table.batch([...writes.values(), { type: 'put', key: SUMMARY, value: summary }], {
      sync: true,
    });
    for (const [id, stored] of changed) {
      if (stored) this.#stored.add(id);
      else this.#stored.delete(id);
    }
    this.#sum = sum;
    this.#keepOwnSeq();
  }

  /** A second copy, against the damage of the last own purge; numbers follow the clock besides. */
  #keepOwnSeq(): void {
    const seq = this.invalidations.lastOwnSeq;
    // Most purges are those of others, and each would cost another write.
    if (seq === this.#keptOwnSeq) return;
    this.#keptOwnSeq = seq;
    this.#meta.put(OWN_SEQ, seq).catch(() => {
      this.#keptOwnSeq = -1;
    });
  }

  /** Waits for the writes under way. */
  async flush(): Promise<void> {
    await this.#writing;
  }
}

/** A number that rises with every start, durable when it resolves: at least the time in ms. */
export async function nextIncarnation(database: Database, now: number): Promise<number> {
  const meta = database.table(META);
  const incarnation = Math.max(((await meta.get('incarnation')) ?? 0) + 1, Math.floor(now));
  await meta.put('incarnation', incarnation, { sync: true });
  return incarnation;
}

const keyOf = (purge: SignedPurge): string => `${purge.issuer}/${purge.id}`;
const numberOf = (id: string): bigint => BigInt(`0x${id}`);
