import * as v from 'valibot';
import type { PopId } from '../protocol/ids.ts';
import type { Database, Log, Table } from '../protocol/ports.ts';
import { recordTable } from './adapters/level-record.ts';

const CARDS = recordTable('pops', 12, v.instance(Uint8Array));
const REVOCATIONS = '~revocations';

/** The PoPs that this one has met, on disk: after a restart it finds them though the bootstrap list is out of reach. */
export class KnownPops {
  readonly #table: Table<Uint8Array>;
  readonly #log: Log;
  readonly cards: readonly Uint8Array[];
  readonly revocations: Uint8Array | undefined;

  private constructor(
    table: Table<Uint8Array>,
    log: Log,
    cards: readonly Uint8Array[],
    revocations: Uint8Array | undefined,
  ) {
    this.#table = table;
    this.#log = log;
    this.cards = cards;
    this.revocations = revocations;
  }

  static async open(database: Database, { log }: { log: Log }): Promise<KnownPops> {
    const table = database.table(CARDS);
    const cards: Uint8Array[] = [];
    let revocations: Uint8Array | undefined;
    for await (const [key, value] of table.entries()) {
      if (key === REVOCATIONS) revocations = value;
      else cards.push(value);
    }
    return new KnownPops(table, log, cards, revocations);
  }

  put(pop: PopId, card: Uint8Array): void {
    this.#write(pop, card);
  }

  putRevocations(list: Uint8Array): void {
    this.#write(REVOCATIONS, list);
  }

  #write(key: string, value: Uint8Array): void {
    this.#table.put(key, new Uint8Array(value)).catch((error: unknown) => {
      this.#log.warn('a PoP could not be remembered', { reason: String(error) });
    });
  }
}
