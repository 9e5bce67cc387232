import { NO_CHARTER } from '../protocol/charter-terms.ts';
import { codeOf } from '../protocol/errors.ts';
import { type Founder, verifyFounders } from '../protocol/founders.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { Database, Log, Table } from '../protocol/ports.ts';
import { OPERATOR_DOCUMENTS } from './charters.ts';
import type { ClusterOrigin } from './identity.ts';
import type { OperatorDocuments } from './operator-documents.ts';

const RECORD = 'founders';
/** With nothing decided for so long after the start, peers are asked whether they hold the same list, real ms. */
const DOUBT_MS = 60_000;

export interface FoundersOptions {
  /** What the configuration gave, if it gave a list; of a PoP alone, itself. */
  readonly origin: ClusterOrigin | undefined;
  /** The list as it was signed. */
  readonly sealed: Uint8Array | undefined;
  /** Absent where this PoP is alone. */
  readonly trust: { readonly operatorKey: Uint8Array; readonly genesis: Genesis } | undefined;
}

/**
 * What agreement begins from. A PoP that was not given the list of founders asks its peers for it, and keeps it: so
 * only the first PoPs of a cluster need the file.
 */
export class Founders {
  readonly #options: FoundersOptions;
  readonly #table: Table<Uint8Array>;
  readonly #log: Log;
  readonly #listeners = new Set<(origin: ClusterOrigin) => void>();
  #origin: ClusterOrigin | undefined;
  #sealed: Uint8Array | undefined;
  #agrees = false;
  #disputed = false;

  private constructor(options: FoundersOptions, table: Table<Uint8Array>, log: Log) {
    this.#options = options;
    this.#table = table;
    this.#log = log;
    this.#origin = options.origin;
    this.#sealed = options.sealed;
  }

  /** Reads what a peer gave before the restart; a list that the configuration gives goes before it. */
  static async open(
    options: FoundersOptions,
    { database, log }: { database: Database; log: Log },
  ): Promise<Founders> {
    const founders = new Founders(options, database.table(OPERATOR_DOCUMENTS), log);
    const kept = founders.#origin === undefined ? await founders.#table.get(RECORD) : undefined;
    try {
      if (kept) founders.#adopt(kept);
    } catch (error) {
      log.warn('the founders in the database are not of this cluster, or damaged', { code: codeOf(error) });
    }
    return founders;
  }

  /** Undefined until a list of founders is here. */
  origin(): ClusterOrigin | undefined {
    return this.#origin;
  }

  /** `listener` hears of the list if it comes from a peer, once. */
  watch(listener: (origin: ClusterOrigin) => void): void {
    this.#listeners.add(listener);
  }

  /** Gives peers the list, or asks them for it. */
  connect(documents: OperatorDocuments): void {
    documents.offer((wanted) => (wanted.kind === 'founders' ? this.#sealed : undefined));
    if (this.#origin === undefined) this.#ask(documents);
    else documents.after(DOUBT_MS, () => this.#doubt(documents));
  }

  /** To be told that something has been decided: then enough PoPs hold the same list. */
  agreed(): void {
    this.#agrees = true;
    this.#disputed = false;
  }

  /** Whether nothing was ever decided here, and a peer holds another list. */
  get disputed(): boolean {
    return this.#disputed;
  }

  /** An operator who gave PoPs different lists sees them wait for each other, and nothing else that is wrong. */
  #doubt(documents: OperatorDocuments): void {
    const { trust } = this.#options;
    const own = this.#sealed;
    if (!trust || !own) return;
    const differs = (sealed: Uint8Array) => {
      verifyFounders(sealed, trust.operatorKey, trust.genesis);
      return Buffer.compare(sealed, own) === 0 ? undefined : sealed;
    };
    void documents
      .obtain({ kind: 'founders' }, differs, () => !this.#agrees)
      .then((other) => {
        if (!other || this.#agrees) return;
        this.#disputed = true;
        this.#log.error('a peer has another list of founders; PoPs agree only with those that have the same');
      });
  }

  #ask(documents: OperatorDocuments): void {
    void documents
      .obtain(
        { kind: 'founders' },
        (sealed) => this.#adopt(sealed),
        () => true,
      )
      .then((origin) => {
        if (!origin || !this.#sealed) return;
        this.#log.info('the list of founders came from a peer', { founders: origin.founders.length });
        this.#table.put(RECORD, this.#sealed).catch((error: unknown) => {
          this.#log.warn('the list of founders could not be kept', { reason: String(error) });
        });
        for (const listener of this.#listeners) listener(origin);
      });
  }

  #adopt(sealed: Uint8Array): ClusterOrigin | undefined {
    const { trust } = this.#options;
    if (!trust) return undefined;
    const founders: readonly Founder[] = verifyFounders(sealed, trust.operatorKey, trust.genesis);
    this.#sealed = sealed;
    this.#origin = { genesis: trust.genesis, operatorKey: trust.operatorKey, founders, terms: NO_CHARTER };
    return this.#origin;
  }
}
