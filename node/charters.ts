import type { Charter } from '../protocol/charter.ts';
import { CHARTER_BYTES, openCharter, type SignedCharter } from '../protocol/charter-document.ts';
import { type CharterTerms, NO_CHARTER } from '../protocol/charter-terms.ts';
import { codeOf, PresageError } from '../protocol/errors.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { WantedDocument } from '../protocol/messages/operator-document.ts';
import type { Database, Log, Metrics, Table, TableSpec } from '../protocol/ports.ts';
import { encodeOperation } from '../protocol/roster-operations.ts';
import { loadCharter } from './adapters/admission-files.ts';
import type { OperatorDocuments } from './operator-documents.ts';

/** Documents of the operator that came from peers, or were decided: `charter` and `founders`. */
export const OPERATOR_DOCUMENTS: TableSpec<Uint8Array> = {
  name: 'operator documents',
  prefix: 21,
  encode: (sealed) => sealed,
  decode: (bytes) => {
    if (bytes.length > CHARTER_BYTES) throw new PresageError('STORE_CORRUPT', 'a document is too large');
    return new Uint8Array(bytes);
  },
};
const RECORD = 'charter';

export interface ChartersOptions {
  /** The charter that a PoP without a cluster goes by, or the one of `cluster.charter`. */
  readonly own: Charter | SignedCharter;
  /** Absent where this PoP is alone. */
  readonly trust: { readonly operatorKey: Uint8Array; readonly genesis: Genesis } | undefined;
  /** The configured file, read anew by `reread`. */
  readonly file: string | undefined;
}

export interface ChartersDeps {
  readonly database: Database;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * The charter in force, and how it changes: a newer file at one PoP becomes an operation, and when it has been decided
 * every PoP takes the document from wherever it is, verified against the decided hash. Where nothing is decided
 * (no founders), the own file counts. At a start the newest of file and database is in force.
 */
export class Charters {
  readonly #options: ChartersOptions;
  readonly #deps: ChartersDeps;
  readonly #table: Table<Uint8Array>;
  readonly #listeners = new Set<(charter: Charter, terms: CharterTerms) => void>();
  /** As consumers have it: with the epoch and horizon that this PoP started with. */
  #charter: Charter;
  /** Absent where this PoP is alone. */
  #inForce: SignedCharter | undefined;
  /** A newer one of the own file that awaits its decision. */
  #candidate: SignedCharter | undefined;
  /** The terms that were decided last. */
  #decided: CharterTerms = NO_CHARTER;
  #documents: OperatorDocuments | undefined;
  /** What models were trained for, and windows closed by, since the start. */
  #beat: Pick<Charter, 'epochMs' | 'horizonMs'> | undefined;
  #obtaining = false;
  #agreeing = false;

  private constructor(options: ChartersOptions, table: Table<Uint8Array>, deps: ChartersDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#table = table;
    this.#inForce = 'charter' in options.own ? options.own : undefined;
    this.#charter = 'charter' in options.own ? options.own.charter : options.own;
  }

  /** Reads what was decided before the restart; what is not of this cluster any more is passed over. */
  static async open(options: ChartersOptions, deps: ChartersDeps): Promise<Charters> {
    const table = deps.database.table(OPERATOR_DOCUMENTS);
    const charters = new Charters(options, table, deps);
    const kept = options.trust && (await table.get(RECORD));
    if (kept && options.trust) {
      try {
        const signed = openCharter(kept, options.trust.operatorKey, options.trust.genesis);
        const own = charters.#inForce?.terms;
        if (own?.version === signed.terms.version && own.hash !== signed.terms.hash)
          charters.#contradicted(own);
        if (signed.terms.version >= (own?.version ?? 0)) charters.#put(signed);
      } catch (error) {
        deps.log.warn('the charter in the database is not of this cluster, or damaged', {
          code: codeOf(error),
        });
      }
    }
    const { epochMs, horizonMs } = charters.#charter;
    charters.#beat = { epochMs, horizonMs };
    charters.#say();
    return charters;
  }

  /**
   * The charter in force, but for a new epoch or horizon, which take effect at the next start. Never keep it: ask
   * anew, or `watch`.
   */
  current(): Charter {
    return this.#charter;
  }

  /** Terms of the charter in force; of a PoP alone, those of no charter with its epoch. */
  terms(): CharterTerms {
    return this.#inForce?.terms ?? { ...NO_CHARTER, epochMs: this.#charter.epochMs };
  }

  /** Whether the charter in force has another epoch or horizon than this PoP runs with. */
  get beatDiffers(): boolean {
    const { epochMs, horizonMs } = this.#inForce?.charter ?? this.#charter;
    return epochMs !== this.#charter.epochMs || horizonMs !== this.#charter.horizonMs;
  }

  /** The version that was decided and whose document no peer has given yet. */
  lacking(): number | undefined {
    return this.#obtaining ? this.#decided.version : undefined;
  }

  /** `listener` hears each charter that comes into force; returns its removal. */
  watch(listener: (charter: Charter, terms: CharterTerms) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Gives peers what they lack, and asks them. */
  connect(documents: OperatorDocuments): void {
    this.#documents = documents;
    documents.offer((wanted) => this.#offer(wanted));
    this.#seek();
  }

  /** From now on charters are decided: a newer file waits for that. */
  agree(): void {
    this.#agreeing = true;
  }

  /** What this PoP proposes: the newest charter that it has, if that is newer than the decided one. */
  operationFor(decided: CharterTerms): Uint8Array | undefined {
    const newest = this.#candidate ?? this.#inForce;
    if (newest === undefined || newest.terms.version <= decided.version) return undefined;
    return encodeOperation({ kind: 'charter', terms: newest.sealedTerms });
  }

  /** To be told the terms of every decided state: takes that charter if another is in force. */
  decided(terms: CharterTerms): void {
    this.#agreeing = true;
    if (terms.version === 0 || this.#options.trust === undefined) return;
    if (terms.hash === this.#decided.hash && terms.version === this.#decided.version) return;
    this.#decided = terms;
    const candidate = this.#candidate;
    if (candidate && candidate.terms.version <= terms.version) this.#candidate = undefined;
    if (candidate?.terms.hash === terms.hash) this.#take(candidate);
    else if (this.#inForce?.terms.hash === terms.hash) this.#keep(this.#inForce);
    else {
      if (candidate?.terms.version === terms.version) this.#contradicted(terms);
      this.#seek();
    }
  }

  /** Reads `cluster.charter` again, on SIGHUP. A newer one is proposed, or taken where nothing is decided. */
  async reread(): Promise<void> {
    const { log } = this.#deps;
    const { file, trust } = this.#options;
    if (file === undefined || trust === undefined) return;
    try {
      const signed = await loadCharter(file, trust);
      const { version, hash } = signed.terms;
      const inForce = this.terms();
      if (version < inForce.version || hash === inForce.hash) this.#candidate = undefined;
      else if (version === inForce.version || version <= this.#decided.version)
        this.#contradicted(signed.terms);
      else if (this.#agreeing) {
        this.#candidate = signed;
        log.info('a newer charter has been read; it takes effect everywhere once decided', { version });
      } else this.#take(signed);
    } catch (error) {
      log.error('cluster.charter cannot be read; the charter in force stays', { error });
    }
  }

  /** Either of two charters of one version can be meant; the one in force is kept. */
  #contradicted({ version }: CharterTerms): void {
    this.#deps.log.error(
      'cluster.charter is not the charter of its version: raise the version, and sign it anew',
      {
        version,
      },
    );
  }

  #offer(wanted: WantedDocument): Uint8Array | undefined {
    if (wanted.kind !== 'charter') return undefined;
    return [this.#inForce, this.#candidate].find((signed) => signed?.terms.hash === wanted.hash)?.sealed;
  }

  #seek(): void {
    const documents = this.#documents;
    const { trust } = this.#options;
    if (!documents || !trust || this.#obtaining) return;
    const needed = () => {
      const { version, hash } = this.#decided;
      const inForce = this.#inForce?.terms;
      return version > 0 && inForce?.hash !== hash && (inForce === undefined || inForce.version <= version);
    };
    if (!needed()) return;
    const { log } = this.#deps;
    const { hash, version } = this.#decided;
    this.#obtaining = true;
    const accept = (sealed: Uint8Array): SignedCharter => {
      const signed = openCharter(sealed, trust.operatorKey, trust.genesis);
      if (signed.terms.hash === hash) return signed;
      throw new PresageError('CHARTER_INVALID', 'a peer gave another charter than was asked for');
    };
    log.info('a charter was decided that is not here; peers are asked for it', { version });
    void documents
      .obtain({ kind: 'charter', hash }, accept, () => needed() && this.#decided.hash === hash)
      .then((signed) => {
        this.#obtaining = false;
        if (signed && this.#decided.hash === hash) this.#take(signed);
        // Another may have been decided meanwhile.
        this.#seek();
      });
  }

  /** Puts a charter in force, live. */
  #take(signed: SignedCharter): void {
    this.#put(signed);
    this.#keep(signed);
    this.#say();
    for (const listener of this.#listeners) {
      try {
        listener(this.#charter, signed.terms);
      } catch (error) {
        this.#deps.log.error('something does not follow the new charter', { error });
      }
    }
  }

  #put(signed: SignedCharter): void {
    this.#inForce = signed;
    this.#charter = { ...signed.charter, ...this.#beat };
  }

  #say(): void {
    const { version, hash } = this.terms();
    this.#deps.metrics.gauge('charter_version', version);
    if (version > 0) this.#deps.log.info('charter in force', { version, hash: hash.slice(0, 16) });
  }

  #keep(signed: SignedCharter): void {
    this.#table.put(RECORD, signed.sealed).catch((error: unknown) => {
      this.#deps.log.warn('the charter could not be kept', { reason: String(error) });
    });
  }
}
