import { codeOf, PresageError } from '../protocol/errors.ts';
import type { Genesis } from '../protocol/genesis.ts';
import type { Log } from '../protocol/ports.ts';
import { operationBytesMax } from '../protocol/proposal.ts';
import { verifyRevocations } from '../protocol/revocation.ts';
import { encodeOperation } from '../protocol/roster-operations.ts';
import { dearmour, readText } from './adapters/admission-files.ts';
import type { OperatorDocuments } from './operator-documents.ts';

export interface RevocationsOptions {
  /** Absent where this PoP is alone. */
  readonly trust: { readonly operatorKey: Uint8Array; readonly genesis: Genesis } | undefined;
  /** `cluster.revocations`, read anew by `reread`. */
  readonly file: string | undefined;
}

/**
 * The newest list of revocations that is known here. Peers tell each other of it as they meet, which closes
 * connections at once; deciding it takes the identities off the roster at every PoP at the same height.
 */
export class Revocations {
  readonly #options: RevocationsOptions;
  readonly #log: Log;
  #newest: { readonly version: number; readonly sealed: Uint8Array } | undefined;
  #documents: OperatorDocuments | undefined;
  #revoke: (sealed: Uint8Array) => void = () => undefined;
  /** The version that was decided and is asked for. */
  #wanted = 0;
  #warned = 0;

  constructor(options: RevocationsOptions, { log }: { log: Log }) {
    this.#options = options;
    this.#log = log;
  }

  /** To be told each list that the network takes. */
  learned(sealed: Uint8Array): void {
    const { trust } = this.#options;
    if (!trust) return;
    const { version } = verifyRevocations(sealed, trust.operatorKey, trust.genesis);
    if (version > (this.#newest?.version ?? 0)) this.#newest = { version, sealed };
  }

  /** `revoke` makes the network take a newer list, and closes the connections of those it names. */
  connect(documents: OperatorDocuments, revoke: (sealed: Uint8Array) => void): void {
    this.#documents = documents;
    this.#revoke = revoke;
    documents.offer((wanted) =>
      wanted.kind === 'revocations' && this.#newest && this.#newest.version >= wanted.version
        ? this.#newest.sealed
        : undefined,
    );
  }

  /** What this PoP proposes in a roster of so many: the newest list, if that is newer than the decided one. */
  operationFor(decided: number, members: number): Uint8Array | undefined {
    const newest = this.#newest;
    if (!newest || newest.version <= decided) return undefined;
    const operation = encodeOperation({ kind: 'ban', revocations: newest.sealed });
    if (operation.length <= operationBytesMax(members)) return operation;
    if (this.#warned < newest.version) {
      this.#warned = newest.version;
      this.#log.warn('the list of revocations is too long to be decided; it holds where peers tell of it', {
        ...{ bytes: operation.length, most: operationBytesMax(members) },
      });
    }
    return undefined;
  }

  /** To be told the version of the list in every decided state: asks peers for one that is not here. */
  decided(version: number): void {
    const { trust } = this.#options;
    const documents = this.#documents;
    if (!trust || !documents || version <= (this.#newest?.version ?? 0) || version <= this.#wanted) return;
    this.#wanted = version;
    const accept = (sealed: Uint8Array) => {
      if (verifyRevocations(sealed, trust.operatorKey, trust.genesis).version >= version) return sealed;
      throw new PresageError(
        'ADMIT_CERTIFICATE',
        'a peer gave an older list of revocations than was asked for',
      );
    };
    const needed = () => version > (this.#newest?.version ?? 0) && version >= this.#wanted;
    void documents.obtain({ kind: 'revocations', version }, accept, needed).then((sealed) => {
      if (sealed) this.#revoke(sealed);
    });
  }

  /** Reads `cluster.revocations` again, on SIGHUP; an older list changes nothing. */
  async reread(): Promise<void> {
    const { file } = this.#options;
    if (file === undefined) return;
    try {
      this.#revoke(dearmour('REVOCATIONS', await readText(file, 'cluster.revocations'), file));
    } catch (error) {
      this.#log.error('cluster.revocations cannot be read; the list in force stays', {
        code: codeOf(error),
        error,
      });
    }
  }
}
