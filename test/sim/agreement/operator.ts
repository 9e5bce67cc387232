import { type Certificate, issue } from '../../../protocol/certificate.ts';
import { type DecidedState, NO_CHARTER, originState } from '../../../protocol/decided-state.ts';
import type { PopId, RegionId } from '../../../protocol/ids.ts';
import { rawPublicKey } from '../../../protocol/pop-key.ts';
import { issueRevocations } from '../../../protocol/revocation.ts';
import { type ClusterTrust, encodeOperation, leaveStatement } from '../../../protocol/roster-operations.ts';
import { keyOf, REGIONS } from '../../property/decision/cluster.ts';
import { GENESIS, signatureOf } from './pop.ts';

const operator = keyOf('operator of the simulation');
const HOUR_MS = 3_600_000;

/** The operator's signatures are real; PoPs sign with a stand-in that costs less. */
export const TRUST: ClusterTrust = {
  genesis: GENESIS,
  operatorKey: rawPublicKey(operator),
  verify: (pop, message, signature) => Buffer.compare(signatureOf(pop, message), signature) === 0,
};

interface Certified {
  readonly certificate: Certificate;
  readonly sealed: Uint8Array;
}
const issued = new Map<PopId, Certified>();

function certified(pop: PopId): Certified {
  const known = issued.get(pop);
  if (known) return known;
  const certificate: Certificate = {
    ...{ genesis: GENESIS, pop, name: pop.toLowerCase(), region: REGIONS[pop.charCodeAt(9) % 4] as RegionId },
    ...{ addressesV4: [], addressesV6: [], ports: { http: 0, https: 0, dns: 0 } },
    ...{ storageCeilingMiB: 0, fillCeilingKiBps: 0, notBefore: 0, expiry: 2 ** 45 },
  };
  const one = { certificate, sealed: issue(certificate, operator) };
  issued.set(pop, one);
  return one;
}

/** The state before the first height; `missesAllowed`: heights without inclusion after which a PoP is evicted. */
export function originOf(founders: readonly PopId[], missesAllowed: number): DecidedState {
  return originState(GENESIS, founders.map(certified), {
    ...NO_CHARTER,
    epochMs: Math.max(1, Math.floor(HOUR_MS / missesAllowed)),
  });
}

/** What lets a PoP in. */
export const admission = (pop: PopId): Uint8Array =>
  encodeOperation({ kind: 'join', certificate: certified(pop).sealed });

/** How a PoP says that it goes. */
export function farewell(pop: PopId): Uint8Array {
  const to = 1_000_000;
  const signature = signatureOf(pop, leaveStatement(GENESIS, 0, to));
  return encodeOperation({ kind: 'leave', pop, from: 0, to, signature });
}

/** How the operator shuts a PoP out. */
export function banishment(pop: PopId): Uint8Array {
  const revoked = [{ pop, at: 0, reason: 'simulated' }];
  const revocations = issueRevocations({ genesis: GENESIS, version: 1, revoked }, operator);
  return encodeOperation({ kind: 'ban', revocations });
}
