import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { admission } from '../../../protocol/admission.ts';
import { issue, verify } from '../../../protocol/certificate.ts';
import { encodeCharter, openCharter } from '../../../protocol/charter-document.ts';
import { PresageError } from '../../../protocol/errors.ts';
import { issueFounders, verifyFounders } from '../../../protocol/founders.ts';
import { genesisOf } from '../../../protocol/genesis.ts';
import type { RegionId } from '../../../protocol/ids.ts';
import { issueCard, verifyCard } from '../../../protocol/peer-card.ts';
import { popIdOf, rawPublicKey } from '../../../protocol/pop-key.ts';
import { issueRevocations, verifyRevocations } from '../../../protocol/revocation.ts';

const operator = generateKeyPairSync('ed25519').privateKey;
const operatorKey = rawPublicKey(operator);
const genesis = genesisOf({ operatorKey, name: 'test', generation: 1 });
const popKey = generateKeyPairSync('ed25519').privateKey;
const NOW = 1_800_000_000_000;
const certificate = issue(
  {
    genesis,
    pop: popIdOf(popKey),
    name: 'fra1',
    region: 'eu' as RegionId,
    addressesV4: ['192.0.2.1'],
    addressesV6: [],
    ports: { http: 80, https: 0, dns: 53 },
    storageCeilingMiB: 0,
    fillCeilingKiBps: 0,
    notBefore: NOW,
    expiry: NOW + 1_000_000,
  },
  operator,
);
const charter = encodeCharter(
  {
    version: 1,
    cluster: 'test',
    epochMs: 30_000,
    horizonMs: 3_600_000,
    committee: 13,
    regions: ['eu' as RegionId],
    distances: { eu: { us: 1 } },
    networks: [],
    countries: {},
    defaultRegion: 'eu' as RegionId,
    sites: [],
  },
  genesis,
  operator,
);
const documents: [string, Uint8Array, (bytes: Uint8Array) => unknown][] = [
  ['certificate', certificate, (bytes) => verify(bytes, operatorKey, genesis, NOW)],
  ['charter', charter, (bytes) => openCharter(bytes, operatorKey, genesis)],
  [
    'list of founders',
    issueFounders([certificate], genesis, operator),
    (bytes) => verifyFounders(bytes, operatorKey, genesis),
  ],
  [
    'card',
    issueCard(certificate, 1, ['/ip4/192.0.2.1/tcp/1'], popKey),
    (bytes) => verifyCard(bytes, operatorKey, genesis, NOW),
  ],
  [
    'revocations',
    issueRevocations(
      { genesis, version: 1, revoked: [{ pop: popIdOf(popKey), at: 1, reason: '' }] },
      operator,
    ),
    (bytes) => verifyRevocations(bytes, operatorKey, genesis),
  ],
];

/** A refusal with a code; anything that is taken, or any other error, is a fault. */
function refused(act: () => unknown): boolean {
  try {
    act();
    return false;
  } catch (error) {
    if (!(error instanceof PresageError) || error.code === 'INTERNAL') throw error;
    return true;
  }
}

describe.each(documents)('a signed %s', (_name, genuine, check) => {
  it('is taken as it is', () => {
    expect(refused(() => check(genuine))).toBe(false);
  });
  it('with any one byte changed is refused', () => {
    fc.assert(
      fc.property(fc.nat(genuine.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const forged = new Uint8Array(genuine);
        forged[at] = forged[at]! ^ by;
        expect(refused(() => check(forged))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
  it('that is cut short, lengthened or random is refused', () => {
    fc.assert(
      fc.property(
        fc.nat(genuine.length - 1),
        fc.uint8Array({ minLength: 1, maxLength: 400 }),
        (length, tail) => {
          expect(refused(() => check(genuine.subarray(0, length)))).toBe(true);
          expect(refused(() => check(Buffer.concat([genuine, tail])))).toBe(true);
          expect(refused(() => check(tail))).toBe(true);
        },
      ),
    );
  });
});

describe('the admission machine', () => {
  it('never accepts random frames and never fails without a code', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 100 }), { minLength: 1, maxLength: 4 }), (frames) => {
        const machine = admission('listener', certificate, (bytes) =>
          verify(bytes, operatorKey, genesis, NOW),
        );
        for (const frame of frames) {
          let step: ReturnType<typeof machine.receive> | undefined;
          expect(
            refused(() => {
              step = machine.receive(frame);
            }),
          ).toBe(true);
          expect(step).toBeUndefined();
        }
      }),
    );
  });
});
