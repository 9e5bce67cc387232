import { codeOf, type ErrorCode, PresageError } from '../protocol/errors.ts';
import type { PopId } from '../protocol/ids.ts';
import {
  TEXT_RECORDS_MAX,
  TEXT_RECORDS_PER_FRAME,
  type TextDigest,
} from '../protocol/messages/text-record.ts';
import type { Clock, Log, Metrics, Table, TableWrite } from '../protocol/ports.ts';
import { checkTextRecordAge, isInZone, type SignedTextRecord } from '../protocol/text-record.ts';

/** Records of one author: one PoP gone wrong leaves room for the others. */
const AUTHOR_MAX = TEXT_RECORDS_MAX / 4;
/** Values of one name: an ACME client sets two, for the name and its wildcard. */
const VALUES_MAX = 16;

export interface RecordBookDeps {
  readonly table: Table<SignedTextRecord>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Apexes of the zones that are answered here; no other name is taken. */
  readonly zones: () => readonly string[];
  /** Whether a PoP has a valid certificate. */
  readonly certified: (pop: PopId) => boolean;
}

/** Resolves when the record is answered with. */
export type RecordListener = (record: SignedTextRecord) => void | Promise<void>;

/**
 * The short-lived records of the cluster, in memory and on disk. It outlives restarts of the actor that fills it, and
 * tells whoever answers DNS of each record as it comes into force.
 */
export class RecordBook {
  readonly #deps: RecordBookDeps;
  readonly #records = new Map<string, SignedTextRecord>();
  readonly #listeners = new Set<RecordListener>();

  private constructor(deps: RecordBookDeps) {
    this.#deps = deps;
  }

  /** Reads back what has not expired. */
  static async open(deps: RecordBookDeps): Promise<RecordBook> {
    const book = new RecordBook(deps);
    const gone: string[] = [];
    for await (const [key, record] of deps.table.entries()) {
      if (record.expiresAt <= deps.clock.now() || book.#records.size >= TEXT_RECORDS_MAX) gone.push(key);
      else book.#records.set(record.id, record);
    }
    await book.#delete(gone);
    return book;
  }

  get size(): number {
    return this.#records.size;
  }

  /** Calls `listener` for every record that is in force, and for each that comes into force; gives its removal. */
  watch(listener: RecordListener): () => void {
    this.#listeners.add(listener);
    const now = this.#deps.clock.now();
    for (const record of this.#records.values()) if (record.expiresAt > now) void listener(record);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Takes records: each is in force and, once the promise has resolved, on disk. Gives the ids of those that hold now
   * (known before or new), and how many were new. What is refused is counted under its code.
   */
  async take(
    records: readonly SignedTextRecord[],
    from: PopId,
  ): Promise<{ holds: string[]; fresh: SignedTextRecord[] }> {
    const holds: string[] = [];
    const fresh: SignedTextRecord[] = [];
    for (const record of records) {
      const known = this.#records.get(record.id);
      if (known && known.expiresAt >= record.expiresAt) {
        holds.push(record.id);
        continue;
      }
      const code = this.refusal(record);
      if (code !== undefined) {
        this.#deps.metrics.count('text_records_refused_total', { code });
        this.#deps.log.debug('a short-lived record was refused', { peer: from, code });
        continue;
      }
      this.#records.set(record.id, record);
      fresh.push(record);
      holds.push(record.id);
    }
    if (fresh.length > 0) {
      try {
        await Promise.all([...this.#listeners].flatMap((listener) => fresh.map(listener)));
        await this.#write(fresh.map((value) => ({ type: 'put', key: value.id, value })));
      } catch (error) {
        // Not known, so that it is written when it comes again; what has been answered goes as it expires.
        for (const { id } of fresh) this.#records.delete(id);
        throw error;
      }
    }
    return { holds, fresh };
  }

  /** Why a record is not to be taken, if so. */
  refusal(record: SignedTextRecord): ErrorCode | undefined {
    const { clock, zones, certified } = this.#deps;
    try {
      checkTextRecordAge(record, clock.now());
      if (!certified(record.author)) throw new PresageError('PEER_UNKNOWN');
      if (!zones().some((zone) => isInZone(record.name, zone))) throw new PresageError('WIRE_ORIGIN');
      if (this.#records.has(record.id)) return undefined;
      let ofAuthor = 0;
      let ofName = 0;
      for (const { author, name } of this.#records.values()) {
        if (author === record.author) ofAuthor += 1;
        if (name === record.name) ofName += 1;
      }
      const full = this.#records.size >= TEXT_RECORDS_MAX || ofAuthor >= AUTHOR_MAX || ofName >= VALUES_MAX;
      return full ? 'WIRE_TOO_MANY' : undefined;
    } catch (error) {
      return codeOf(error);
    }
  }

  get(id: string): SignedTextRecord | undefined {
    return this.#records.get(id);
  }

  digest(): TextDigest {
    return [...this.#records.values()].map(({ id, expiresAt }) => [id, expiresAt] as const);
  }

  /** What of all that is known here a peer lacks, and the ids of what is not known here, at most a frame of each. */
  compare(theirs: TextDigest): { lacking: SignedTextRecord[]; wanted: string[]; more: boolean } {
    const known = new Map(theirs);
    const lacking = [...this.#records.values()].filter(
      ({ id, expiresAt }) => (known.get(id) ?? 0) < expiresAt,
    );
    const now = this.#deps.clock.now();
    const wanted = theirs.flatMap(([id, expiresAt]) =>
      expiresAt > now && (this.#records.get(id)?.expiresAt ?? 0) < expiresAt ? [id] : [],
    );
    return {
      lacking: lacking.slice(0, TEXT_RECORDS_PER_FRAME),
      wanted: wanted.slice(0, TEXT_RECORDS_PER_FRAME),
      more: lacking.length > TEXT_RECORDS_PER_FRAME || wanted.length > TEXT_RECORDS_PER_FRAME,
    };
  }

  /** Forgets what has expired. */
  async expire(): Promise<void> {
    const now = this.#deps.clock.now();
    const gone = [...this.#records.values()].filter(({ expiresAt }) => expiresAt <= now);
    for (const { id } of gone) this.#records.delete(id);
    await this.#delete(gone.map(({ id }) => id));
  }

  #delete(keys: readonly string[]): Promise<void> {
    return this.#deps.table.batch(keys.map((key) => ({ type: 'del', key })));
  }

  #write(writes: readonly TableWrite<SignedTextRecord>[]): Promise<void> {
    return this.#deps.table.batch(writes, { sync: true });
  }
}
