import { describe, expect, it } from 'vitest';
import { DecidedChain } from '../../../protocol/agreement-chain.ts';
import { commitStatement, digestOf, encodeHeader } from '../../../protocol/agreement-header.ts';
import type { BuiltHeader } from '../../../protocol/agreement-height.ts';
import type { PopId } from '../../../protocol/ids.ts';
import {
  type Cert,
  type DecisionMessage,
  decodeAgreement,
  encodeAgreement,
} from '../../../protocol/messages/agreement.ts';
import { quorumOf } from '../../../protocol/quorum.ts';
import { GENESIS, popOf, signatureOf } from '../../sim/agreement/pop.ts';

const verify = (pop: PopId, message: Uint8Array, signature: Uint8Array) =>
  Buffer.compare(signatureOf(pop, message), signature) === 0;
const popsOf = (size: number) => Array.from({ length: size }, (_, index) => popOf(index));
const chainOf = (founders: readonly PopId[]) =>
  new DecidedChain({ genesis: GENESIS, founders, origin: new Uint8Array(1), verify });

/** Decides heights, at each of which one PoP joins the founders or leaves again. */
function decided(founders: readonly PopId[], heights: number): DecidedChain {
  const chain = chainOf(founders);
  const more = [...founders, popOf(founders.length)];
  for (let height = 1; height <= heights; height += 1) {
    const roster = chain.roster;
    const state = Uint8Array.of(height & 255);
    const header = {
      ...{ height, previous: chain.hash, stateHash: digestOf(state) },
      included: roster.map((pop, slot) => [slot, digestOf(Buffer.from(pop))] as const),
      roster: roster.length === founders.length ? more : founders,
    };
    const bytes = encodeHeader(header);
    const built: BuiltHeader = { header, bytes, hash: digestOf(bytes), state, operations: [] };
    const statement = commitStatement(GENESIS, height, built.hash);
    const cert: Cert = roster
      .slice(0, quorumOf(roster.length).quorum)
      .map((pop, slot) => [slot, signatureOf(pop, statement)] as const);
    chain.append(built, cert, roster, []);
  }
  return chain;
}

/** What a PoP is told that lacks what `chain` has, as it comes over the wire. */
function told(chain: DecidedChain, height: number): DecisionMessage {
  const bytes = encodeAgreement({ kind: 'decision', ...chain.answer(height)!, held: [height, 0] });
  expect(bytes.length).toBeLessThan(4 << 20);
  return decodeAgreement(bytes) as DecisionMessage;
}

/** Asks until it has the tip; returns how many answers that took. */
function catchUp(newcomer: DecidedChain, source: DecidedChain): number {
  for (let answers = 1; answers < 100; answers += 1) {
    const verified = newcomer.verify(told(source, newcomer.lacking));
    if (!verified) continue;
    newcomer.append(verified.built, verified.cert, verified.roster, verified.changes);
    return answers;
  }
  throw new Error('not caught up');
}

describe('the way to a decision', () => {
  it.each([
    ['short', 5, 20, 1],
    ['of more than a thousand changes', 5, 1_100, 2],
    ['in a cluster of 300', 300, 64, 2],
  ])('is told in as many parts as it takes: %s', (_name, size, heights, parts) => {
    const founders = popsOf(size);
    const source = decided(founders, heights);
    const newcomer = chainOf(founders);
    expect(catchUp(newcomer, source)).toBe(parts);
    expect(newcomer.hash).toBe(source.hash);
    expect(newcomer.roster).toEqual(source.roster);
    // It has kept what it was shown, so that it can show it to the next.
    const next = chainOf(founders);
    catchUp(next, newcomer);
    expect(next.hash).toBe(source.hash);
  });

  it('goes on with another peer where one lied or fell silent', () => {
    const founders = popsOf(5);
    const source = decided(founders, 1_100);
    const newcomer = chainOf(founders);
    expect(newcomer.verify(told(source, newcomer.lacking))).toBeUndefined();
    const { lacking } = newcomer;
    expect(lacking).toBeGreaterThan(1_000);

    const next = told(source, lacking);
    const [[header, cert]] = next.headers as [DecisionMessage['headers'][number]];
    const forged = cert.map(([slot, signature]) => [slot, signature.map((byte) => byte ^ 1)] as const);
    expect(() => newcomer.verify({ ...next, headers: [[header, forged]] })).toThrow('too few members');
    expect(newcomer.lacking).toBe(lacking);
    // The first part once more, and a peer that is itself behind.
    expect(newcomer.verify(told(source, 1))).toBeUndefined();
    expect(newcomer.lacking).toBe(lacking);
    const behind = newcomer.verify(told(decided(founders, 10), 1));
    expect(behind?.built.header.height).toBe(10);

    catchUp(newcomer, source);
    expect(newcomer.hash).toBe(source.hash);
  });
});
