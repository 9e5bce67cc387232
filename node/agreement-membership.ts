import { sign } from 'node:crypto';
import type { AgreementMembership } from '../actors/tree.ts';
import type { Decision } from '../protocol/decision.ts';
import type { Random } from '../protocol/ports.ts';
import { encodeOperation, leaveStatement } from '../protocol/roster-operations.ts';
import type { ClusterOrigin, Identity } from './identity.ts';

/** What a PoP takes part in the agreement with; undefined where no list of founders is known. */
export function agreementMembership(
  { self, privateKey, membership }: Pick<Identity, 'self' | 'privateKey' | 'membership'>,
  options: {
    readonly origin: ClusterOrigin | undefined;
    readonly epochMs: number;
    readonly random: Random;
    readonly decided: (decision: Decision) => void;
  },
): AgreementMembership | undefined {
  const { origin, epochMs, random, decided } = options;
  if (!origin) return undefined;
  const { genesis, operatorKey, founders } = origin;
  return {
    setup: {
      ...{ genesis, operatorKey, founders, epochMs, seed: random.uint32() },
      privateKey: new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' })),
    },
    joining: membership && encodeOperation({ kind: 'join', certificate: membership.certificate }),
    leave(from, to) {
      const signature = new Uint8Array(sign(null, leaveStatement(genesis, from, to), privateKey));
      return encodeOperation({ kind: 'leave', pop: self, from, to, signature });
    },
    decided,
  };
}
