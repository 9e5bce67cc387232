import type { Decision } from '../protocol/decision.ts';
import type { Founder } from '../protocol/founders.ts';
import type { Database, Log, Metrics } from '../protocol/ports.ts';
import { encodeOperation } from '../protocol/roster-operations.ts';
import { Charters } from './charters.ts';
import type { Config } from './config.ts';
import { Founders } from './founders.ts';
import type { Identity } from './identity.ts';
import type { OperatorDocuments } from './operator-documents.ts';
import { Revocations } from './revocations.ts';

/** What this PoP proposes of what its operator signed. Of one purpose only the newest is proposed. */
export interface OperatorOperation {
  readonly purpose: 'charter' | 'ban' | 'renewal';
  readonly operation: Uint8Array;
}

/** What a decision says of it. */
type DecidedWord = Pick<Decision, 'charter' | 'banned' | 'certificate' | 'roster'>;

/**
 * What the operator says to all PoPs, as it changes while the daemon runs: charter, founders, revocations; and this
 * PoP's own certificate, which may be newer than the one that it is a member by.
 */
export class OperatorWord {
  readonly charters: Charters;
  readonly founders: Founders;
  readonly revocations: Revocations;
  readonly #own: Founder;
  #decision: DecidedWord | undefined;
  #propose: (operation: OperatorOperation) => void = () => undefined;

  private constructor(own: Founder, charters: Charters, founders: Founders, revocations: Revocations) {
    this.#own = own;
    this.charters = charters;
    this.founders = founders;
    this.revocations = revocations;
  }

  /** Reads what was decided, and what peers gave, before the restart. */
  static async open(
    config: Pick<Config, 'cluster'>,
    { membership: trust, cluster: origin, charter, own }: Identity,
    deps: { readonly database: Database; readonly log: Log; readonly metrics: Metrics },
  ): Promise<OperatorWord> {
    const founders = await Founders.open({ origin, sealed: trust?.founders?.sealed, trust }, deps);
    const charters = await Charters.open(
      { own: trust?.charter ?? charter, trust, file: config.cluster.charter },
      deps,
    );
    if (founders.origin()) charters.agree();
    founders.watch(() => charters.agree());
    return new OperatorWord(
      own,
      charters,
      founders,
      new Revocations({ trust, file: config.cluster.revocations }, deps),
    );
  }

  /** Gives peers what they lack, and asks them; `revoke` as in `Revocations`. */
  connect(documents: OperatorDocuments, revoke: (sealed: Uint8Array) => void): void {
    this.revocations.connect(documents, revoke);
    this.charters.connect(documents);
    this.founders.connect(documents);
  }

  /** `propose` takes what is to be decided, also what becomes known between decisions. */
  proposeTo(propose: (operation: OperatorOperation) => void): void {
    this.#propose = propose;
  }

  /** To be told every decision: follows what was decided, and proposes what is newer here. */
  decided(decision: DecidedWord): void {
    this.#decision = decision;
    this.founders.agreed();
    this.charters.decided(decision.charter);
    this.revocations.decided(decision.banned);
    this.#offer();
  }

  /** Reads the operator's files again, on SIGHUP. */
  async reread(): Promise<void> {
    await Promise.all([this.charters.reread(), this.revocations.reread()]);
    this.#offer();
  }

  #offer(): void {
    // Before the first decision nothing is known to be newer than what was decided; it comes within an epoch.
    if (!this.#decision) return;
    const charter = this.charters.operationFor(this.#decision.charter);
    if (charter) this.#propose({ purpose: 'charter', operation: charter });
    const ban = this.revocations.operationFor(this.#decision.banned, this.#decision.roster.length);
    if (ban) this.#propose({ purpose: 'ban', operation: ban });
    const renewal = this.#renewal(this.#decision.certificate);
    if (renewal) this.#propose({ purpose: 'renewal', operation: renewal });
  }

  /** Without it the roster would drop a member when the certificate runs out that it came with. */
  #renewal(member: DecidedWord['certificate']): Uint8Array | undefined {
    const { certificate, sealed } = this.#own;
    if (!member || certificate.notBefore < member.notBefore) return undefined;
    if (certificate.notBefore === member.notBefore && certificate.expiry <= member.expiry) return undefined;
    return encodeOperation({ kind: 'join', certificate: sealed });
  }
}
