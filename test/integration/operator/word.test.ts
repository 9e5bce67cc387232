import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dearmour } from '../../../node/adapters/admission-files.ts';
import { createFounders, revoke } from '../../../node/cli/keys-issue.ts';
import { type CharterTerms, openTerms } from '../../../protocol/charter-terms.ts';
import { encodeDocument } from '../../../protocol/messages/operator-document.ts';
import { issueRevocations } from '../../../protocol/revocation.ts';
import { decodeOperation, encodeOperation } from '../../../protocol/roster-operations.ts';
import { settled } from '../../step-clock.ts';
import { NOTHING, WordedCluster, type WordedPop } from './pops.ts';

let directory: string;
let cluster: WordedCluster;
const NAMES = ['a', 'b', 'c'];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'presage-word-'));
  cluster = await WordedCluster.found(directory, NAMES);
  for (const name of NAMES) await cluster.charter(name, 1);
});
afterEach(async () => {
  await cluster.stop();
  await rm(directory, { recursive: true });
});

const version = (pop: WordedPop) => pop.word.charters.terms().version;
/** The terms in the charter's operation that a PoP proposed last. */
function proposedTerms({ proposed, identity }: WordedPop): CharterTerms | undefined {
  const last = proposed.filter(({ purpose }) => purpose === 'charter').at(-1);
  const operation = last && decodeOperation(last.operation);
  if (operation?.kind !== 'charter') return undefined;
  const { operatorKey, genesis } = identity.cluster!;
  return openTerms(operation.terms, operatorKey, genesis);
}
const site = (id: string) => `[[sites]]\nid = "${id}"\nhosts = ["${id}.example"]\norigin = "http://o"`;

describe('a newer charter', () => {
  it('is proposed by the PoP that has it, and once decided comes to all, to stay', async () => {
    const [a, b, c] = await Promise.all(NAMES.map((name) => cluster.start(name)));
    for (const pop of [a!, b!, c!]) pop.word.decided(NOTHING);
    const first = proposedTerms(a!)!;
    expect(first.version).toBe(1);
    for (const pop of [a!, b!, c!]) pop.word.decided({ ...NOTHING, charter: first });
    await cluster.charter('a', 2, site('films'));
    await a!.word.reread();
    expect(version(a!)).toBe(1);
    const second = proposedTerms(a!)!;
    expect(second.version).toBe(2);

    const heard: number[] = [];
    b!.word.charters.watch((charter, terms) => heard.push(charter.version, terms.version));
    for (const pop of [a!, b!]) pop.word.decided({ ...NOTHING, charter: second });
    expect(version(a!)).toBe(2);
    await cluster.clock.advance(20_000);
    expect(heard).toEqual([2, 2]);
    expect(b!.word.charters.current().sites.map(({ id }) => id)).toEqual(['films']);

    // From a PoP that had it from another, and whose own file is old.
    await a!.close();
    c!.word.decided({ ...NOTHING, charter: second });
    await cluster.clock.advance(20_000);
    expect(version(c!)).toBe(2);
    await c!.close();
    const again = await cluster.start('c');
    expect(version(again)).toBe(2);
    again.word.decided({ ...NOTHING, charter: second });
    expect(again.proposed).toEqual([]);
  });

  it('is asked for until an honest peer gives it; what others give is refused and counted', async () => {
    const [a, b, c] = await Promise.all(NAMES.map((name) => cluster.start(name)));
    const foreign = await readFile(await cluster.charter('c', 9), 'utf8');
    cluster.lies.set(c!.identity.self, () => encodeDocument(dearmour('CHARTER', foreign, 'c')));
    cluster.lies.set(a!.identity.self, () => encodeDocument(undefined));
    await cluster.charter('a', 2);
    await a!.word.reread();
    a!.word.decided(NOTHING);
    b!.word.decided({ ...NOTHING, charter: proposedTerms(a!)! });
    await cluster.clock.advance(20_000);
    expect(b!.word.charters.lacking()).toBe(2);
    expect(version(b!)).toBe(1);
    expect(b!.metrics.counts.get('errors_total CHARTER_INVALID')).toBeGreaterThan(0);
    cluster.lies.clear();
    await cluster.clock.advance(20_000);
    expect(b!.word.charters.lacking()).toBeUndefined();
    expect(version(b!)).toBe(2);
  });

  it('counts by its version: of the same version none but the decided one, older ones never', async () => {
    const [a, b] = await Promise.all(['a', 'b'].map((name) => cluster.start(name)));
    a!.word.decided(NOTHING);
    const first = proposedTerms(a!)!;
    await cluster.charter('b', 1, site('other'));
    await b!.word.reread();
    expect(b!.errors.join()).toContain('raise the version');
    expect(b!.word.charters.terms().hash).toBe(first.hash);
    await b!.close();
    // Two documents of one version: the one that was decided holds.
    const again = await cluster.start('b');
    expect(again.word.charters.terms().hash).not.toBe(first.hash);
    again.word.decided({ ...NOTHING, charter: first });
    await cluster.clock.advance(20_000);
    expect(again.word.charters.terms().hash).toBe(first.hash);
    expect(proposedTerms(again)).toBeUndefined();
  });

  it('may be withdrawn while it is not decided, and damaged files change nothing', async () => {
    const a = await cluster.start('a');
    a.word.decided(NOTHING);
    const first = proposedTerms(a)!;
    a.word.decided({ ...NOTHING, charter: first });
    const before = await readFile(a.charterFile);
    await cluster.charter('a', 2);
    await a.word.reread();
    expect(a.word.charters.operationFor(first)).toBeDefined();
    await rm(a.charterFile);
    await a.word.reread();
    expect(a.errors.join()).toContain('cannot be read');
    await writeFile(a.charterFile, before);
    await a.word.reread();
    expect(a.word.charters.operationFor(first)).toBeUndefined();
    expect(version(a)).toBe(1);
  });

  it('keeps the epoch and the horizon that the PoP runs with until its next start', async () => {
    const a = await cluster.start('a');
    a.word.decided(NOTHING);
    await cluster.charter('a', 2, 'epoch = "7s"\nhorizon = "1h"');
    await a.word.reread();
    a.word.decided({ ...NOTHING, charter: proposedTerms(a)! });
    expect(a.word.charters.current()).toMatchObject({
      ...{ version: 2, epochMs: 30_000, horizonMs: 7_200_000 },
    });
    expect(a.word.charters.beatDiffers).toBe(true);
    await settled();
    await a.close();
    const again = await cluster.start('a');
    expect(again.word.charters.current()).toMatchObject({ epochMs: 7_000, horizonMs: 3_600_000 });
    expect(again.word.charters.beatDiffers).toBe(false);
  });

  it('takes effect at once where nothing is decided', async () => {
    const a = await cluster.start('a', { founders: false });
    await cluster.charter('a', 2);
    await a.word.reread();
    expect(version(a)).toBe(2);
  });
});

describe('the list of founders', () => {
  it('comes from a peer to a PoP that was not given it, verified, and is kept', async () => {
    const c = await cluster.start('c', { founders: false });
    const heard: number[] = [];
    c.word.founders.watch(({ founders }) => void heard.push(founders.length));
    const b = await cluster.start('b');
    cluster.lies.set(b.identity.self, (honest) => honest.map((byte, at) => (at === 300 ? byte ^ 1 : byte)));
    await cluster.clock.advance(30_000);
    expect(c.word.founders.origin()).toBeUndefined();
    expect(c.metrics.counts.get('errors_total FOUNDERS_INVALID')).toBeGreaterThan(0);
    cluster.lies.clear();
    await cluster.clock.advance(30_000);
    expect(c.word.founders.origin()).toEqual(b.identity.cluster);
    expect(heard).toEqual([3]);
    await settled();
    await c.close();
    await b.close();
    const again = await cluster.start('c', { founders: false });
    expect(again.word.founders.origin()).toEqual(b.identity.cluster);
  });
});

it('a peer with another list of founders is told of while nothing is decided, and not once something is', async () => {
  const a = await cluster.start('a');
  const file = join(directory, 'a', 'a.pem');
  await createFounders(cluster.operator, [file], { path: join(directory, 'other.pem') });
  const b = await cluster.start('b', { founders: join(directory, 'other.pem') });
  const c = await cluster.start('c');
  c.word.decided(NOTHING);
  await cluster.clock.advance(100_000);
  expect([a, b, c].map(({ word }) => word.founders.disputed)).toEqual([true, true, false]);
  expect(a.errors.join()).toContain('another list of founders');
  a.word.decided(NOTHING);
  expect(a.word.founders.disputed).toBe(false);
});

describe('revocations', () => {
  it('are proposed by the PoP that read them, and reach one that only heard that they were decided', async () => {
    const path = join(directory, 'revocations.pem');
    const [a, b] = await Promise.all(['a', 'b'].map((name) => cluster.start(name)));
    await revoke(cluster.operator, [a!.identity.self], { now: 1 });
    const c = await cluster.start('c', { revocations: path });
    c.word.decided(NOTHING);
    await c.word.reread();
    const ban = c.proposed.find(({ purpose }) => purpose === 'ban');
    expect(decodeOperation(ban!.operation).kind).toBe('ban');
    expect(c.word.revocations.operationFor(1, 3)).toBeUndefined();
    expect(b!.revoked).toEqual([]);
    b!.word.decided({ ...NOTHING, banned: 1 });
    await cluster.clock.advance(20_000);
    expect(b!.revoked).toHaveLength(1);
    b!.word.decided({ ...NOTHING, banned: 1 });
    await cluster.clock.advance(20_000);
    expect(b!.revoked).toHaveLength(1);
  });

  it('that are too long for an operation hold by themselves', async () => {
    const a = await cluster.start('a');
    const revoked = Array.from({ length: 500 }, () => ({
      ...{ pop: a.identity.self, at: Date.now(), reason: 'x'.repeat(100) },
    }));
    const { genesis, key } = cluster.operator;
    a.word.revocations.learned(issueRevocations({ genesis, version: 3, revoked }, key));
    expect(a.word.revocations.operationFor(0, 4)).toBeUndefined();
    a.word.revocations.learned(issueRevocations({ genesis, version: 4, revoked: revoked.slice(0, 90) }, key));
    expect(a.word.revocations.operationFor(0, 4)).toBeDefined();
    // The more propose, the less room each has.
    expect(a.word.revocations.operationFor(0, 300)).toBeUndefined();
  });
});

it("a PoP's renewed certificate is proposed until it is the one that it is a member by", async () => {
  const a = await cluster.start('a');
  const { notBefore, expiry } = a.identity.own.certificate;
  const renewals = () => a.proposed.filter(({ purpose }) => purpose === 'renewal');
  a.word.decided({ ...NOTHING, certificate: { notBefore, expiry } });
  a.word.decided({ ...NOTHING, certificate: { notBefore: notBefore + 1, expiry } });
  expect(renewals()).toEqual([]);
  a.word.decided({ ...NOTHING, certificate: { notBefore: notBefore - 1, expiry: expiry + 1 } });
  a.word.decided({ ...NOTHING, certificate: { notBefore, expiry: expiry - 1 } });
  expect(renewals()).toHaveLength(2);
  const certificate = a.identity.own.sealed;
  expect(renewals()[0]?.operation).toEqual(encodeOperation({ kind: 'join', certificate }));
});
