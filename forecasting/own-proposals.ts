import { addUses } from '../protocol/mirror-ledger.ts';
import type { Use } from '../protocol/proposal.ts';

/** Heights after which a proposal that was not decided is of no more interest. */
const PROPOSALS_KEPT = 8;

/**
 * What this PoP proposed of late: which epoch each proposal was made of, and what it told of mirrors, which is told
 * again where the decision left it out.
 */
export class OwnProposals {
  readonly #proposed = new Map<number, { readonly epoch: number; readonly uses: readonly Use[] }>();
  #untold: readonly Use[] = [];

  /** Notes a proposal; returns what it is to tell of mirrors. */
  propose(height: number, epoch: number, fresh: readonly Use[]): readonly Use[] {
    const uses = addUses(this.#untold, fresh);
    this.#untold = [];
    this.#proposed.delete(height - PROPOSALS_KEPT);
    this.#proposed.set(height, { epoch, uses });
    return uses;
  }

  /** The epoch that the proposal of a height was made of; undefined if there was none. */
  epochOf(height: number): number | undefined {
    return this.#proposed.get(height)?.epoch;
  }

  /** The height was decided, with this PoP's proposal or without. */
  decided(height: number, included: boolean): void {
    const proposal = this.#proposed.get(height);
    if (proposal && !included) this.#untold = addUses(this.#untold, proposal.uses);
    if (proposal) this.#proposed.set(height, { epoch: proposal.epoch, uses: [] });
  }
}
