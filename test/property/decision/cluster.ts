import { createHash, createPrivateKey, type KeyObject, sign, verify as verifyRaw } from 'node:crypto';
import { type Certificate, issue } from '../../../protocol/certificate.ts';
import { type DecidedState, originState } from '../../../protocol/decided-state.ts';
import { type Genesis, genesisOf } from '../../../protocol/genesis.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import { popIdOf, publicKeyFromRaw, publicKeyOf, rawPublicKey } from '../../../protocol/pop-key.ts';
import type { Random } from '../../../protocol/ports.ts';
import type { Proposal, ProposalCell, ProposalEntry } from '../../../protocol/proposal.ts';
import type { ClusterTrust } from '../../../protocol/roster-operations.ts';

/** ASN.1 of a PKCS #8 Ed25519 private key up to its 32 bytes (RFC 8410). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const sha = (text: string) => createHash('sha256').update(text).digest();

/** The same key in every process. */
export const keyOf = (name: string): KeyObject =>
  createPrivateKey({ key: Buffer.concat([PKCS8, sha(name)]), format: 'der', type: 'pkcs8' });

export const operator = keyOf('operator');
export const genesis: Genesis = genesisOf({
  operatorKey: rawPublicKey(operator),
  name: 'decision',
  generation: 1,
});
export const trust: ClusterTrust = {
  genesis,
  operatorKey: rawPublicKey(operator),
  verify: (pop, message, signature) =>
    verifyRaw(null, message, publicKeyFromRaw(publicKeyOf(pop)), signature),
};
export const REGIONS = ['east', 'north', 'south', 'west'] as RegionId[];
export const SITES = ['shop', 'video'] as SiteId[];
export const DAY = 86_400_000;
export const START = 1_700_000_000_000;
/** A window, ms. */
export const WINDOW = 30_000;

export interface Founder {
  readonly key: KeyObject;
  readonly pop: PopId;
  readonly certificate: Certificate;
  readonly sealed: Uint8Array;
}

export function founder(number: number, change: Partial<Certificate> = {}): Founder {
  const key = keyOf(`pop ${number}`);
  const pop = popIdOf(key);
  const certificate: Certificate = {
    genesis,
    pop,
    name: `pop-${number}`,
    region: REGIONS[number % REGIONS.length]!,
    addressesV4: [],
    addressesV6: [],
    ports: { http: 0, https: 0, dns: 0 },
    storageCeilingMiB: 0,
    fillCeilingKiBps: 0,
    notBefore: START - DAY,
    expiry: START + 365 * DAY,
    ...change,
  };
  return { key, pop, certificate, sealed: issue(certificate, operator) };
}

/** Founders in slot order. */
export const foundersOf = (size: number): Founder[] =>
  Array.from({ length: size }, (_, i) => founder(i)).sort((a, b) => (a.pop < b.pop ? -1 : 1));

export const originOf = (size: number): DecidedState => originState(genesis, foundersOf(size));

export const signed = (key: KeyObject, message: Uint8Array): Uint8Array =>
  new Uint8Array(sign(null, message, key));

export const key16 = (number: number): Key16 => sha(`key ${number}`).toString('hex').slice(0, 32) as Key16;

export const cell = (region: RegionId, change: Partial<ProposalCell> = {}): ProposalCell => ({
  region,
  next: 1000,
  mean: 20_000,
  upper: 30_000,
  observed: 1000,
  chance: 900,
  credit: 800,
  held: 0,
  holder: 0,
  ...change,
});

export const entry = (
  number: number,
  cells: readonly ProposalCell[],
  change: Partial<ProposalEntry> = {},
): ProposalEntry => ({ key16: key16(number), site: SITES[0]!, sizeClass: 120, cells, ...change });

export const proposal = (change: Partial<Proposal> = {}): Proposal => {
  const entries = [...(change.entries ?? [])].sort((a, b) => (a.key16 < b.key16 ? -1 : 1));
  return {
    rulesMin: 1,
    rulesMax: 1,
    at: START,
    window: START,
    windowMs: WINDOW,
    cap: { storageBudgetMiB: 10_000, fillKiBps: 10_000, load: 2, state: 'up' },
    uses: [],
    operations: [],
    ...change,
    entries,
  };
};

/** What an honest PoP might propose: mostly the same keys, with errors of its own. */
export function randomProposal(random: Random, height: number, keys = 30): Proposal {
  const upTo = (max: number) => random.uint32() % (max + 1);
  const entries: ProposalEntry[] = [];
  for (let number = 0; number < keys; number += 1) {
    if (upTo(9) === 0) continue;
    const cells = REGIONS.filter(() => upTo(3) > 0).map((region) =>
      cell(region, {
        next: upTo(number * 100),
        mean: upTo(number * 1000),
        upper: upTo(number * 2000),
        observed: upTo(number * 100),
        chance: upTo(1000),
        credit: upTo(1000),
        held: upTo(1),
        holder: upTo(1),
      }),
    );
    entries.push(
      entry(number, cells, { site: SITES[number % 2]!, sizeClass: ((number * 3) % 300) + upTo(1) }),
    );
  }
  return proposal({
    at: START + height * 30_000 + upTo(1000),
    window: START + height * WINDOW,
    uses: SITES.map((site) => ({
      ...{ site, mirroredKiB: upTo(9000), usedKiB: upTo(5000), unusedKiB: upTo(5000) },
      promisedKiB: upTo(5000),
    })),
    entries,
  });
}
