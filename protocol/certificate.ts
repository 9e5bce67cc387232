import type { KeyObject } from 'node:crypto';
import * as v from 'valibot';
import { type EnvelopeKind, open, seal } from './envelope.ts';
import { PresageError } from './errors.ts';
import { type Genesis, genesisBytes, genesisSchema } from './genesis.ts';
import type { PopId, RegionId } from './ids.ts';
import { decode, encode } from './wire/codec.ts';
import { popId, regionId, rows, text, uint } from './wire/schemas.ts';

/** Lets one PoP into one cluster: signed by the operator, verified by every peer at admission. */
export interface Certificate {
  readonly genesis: Genesis;
  readonly pop: PopId;
  /** Name for people and for the charter, unique in the cluster: `a-z 0-9 - .`, at most 63 characters. */
  readonly name: string;
  readonly region: RegionId;
  /** Service addresses: what DNS answers with. */
  readonly addressesV4: readonly string[];
  readonly addressesV6: readonly string[];
  /** Ports of the services at those addresses; 0 where the service does not run. */
  readonly ports: { readonly http: number; readonly https: number; readonly dns: number };
  /** What the PoP may at most claim in a plan; 0 means no ceiling. */
  readonly storageCeilingMiB: number;
  readonly fillCeilingKiBps: number;
  /** Validity, Unix ms, `notBefore` inclusive and `expiry` exclusive. */
  readonly notBefore: number;
  readonly expiry: number;
}

/** The most clocks of the operator's machine and the PoPs may disagree, ms. */
export const CLOCK_TOLERANCE_MS = 5 * 60_000;
/** A name, eight addresses of each family and a signature stay well below. */
export const CERTIFICATE_BYTES = 2048;
const ADDRESSES = 8;

const KIND: EnvelopeKind = {
  domain: 'presage/certificate/1',
  maxBytes: CERTIFICATE_BYTES,
  code: 'ADMIT_CERTIFICATE',
};

const port = uint(65_535);
const NAME = /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/;
const schema = v.strictTuple([
  v.literal(1),
  genesisSchema,
  popId,
  v.pipe(text(63, 1), v.regex(NAME, 'name of a PoP')),
  regionId,
  rows(v.pipe(v.string(), v.ipv4()), ADDRESSES),
  rows(v.pipe(v.string(), v.ipv6()), ADDRESSES),
  v.strictTuple([port, port, port]),
  uint(),
  uint(),
  uint(),
  uint(),
]);

/** Signs a certificate with the operator's private key. Fails with `ADMIT_CERTIFICATE` on impossible fields. */
export function issue(certificate: Certificate, operator: KeyObject): Uint8Array {
  const { ports } = certificate;
  const body = encode([
    1,
    genesisBytes(certificate.genesis),
    certificate.pop,
    certificate.name,
    certificate.region,
    certificate.addressesV4,
    certificate.addressesV6,
    [ports.http, ports.https, ports.dns],
    certificate.storageCeilingMiB,
    certificate.fillCeilingKiBps,
    certificate.notBefore,
    certificate.expiry,
  ]);
  parse(body);
  return seal(KIND, body, operator);
}

/**
 * A certificate of this cluster, valid at `now` (Unix ms). `operatorKey` is 32 raw bytes. Fails with
 * `ADMIT_CERTIFICATE` (malformed, badly signed, of another cluster, not valid yet) or `ADMIT_EXPIRED`. That the
 * identity is the connection's own and has not been revoked is for the caller to check.
 */
export function verify(
  bytes: Uint8Array,
  operatorKey: Uint8Array,
  genesis: Genesis,
  now: number,
): Certificate {
  const certificate = inspect(bytes, operatorKey, genesis);
  if (now + CLOCK_TOLERANCE_MS < certificate.notBefore) {
    throw new PresageError('ADMIT_CERTIFICATE', 'the certificate is not valid yet');
  }
  if (now >= certificate.expiry) throw new PresageError('ADMIT_EXPIRED');
  return certificate;
}

/** A certificate that the operator of this cluster signed, valid now or not: to show it, or to revoke it. */
export function inspect(bytes: Uint8Array, operatorKey: Uint8Array, genesis: Genesis): Certificate {
  const certificate = parse(open(KIND, bytes, operatorKey));
  if (certificate.genesis !== genesis) {
    throw new PresageError('ADMIT_CERTIFICATE', 'the certificate is of another cluster');
  }
  return certificate;
}

function parse(body: Uint8Array): Certificate {
  try {
    const [, genesis, pop, name, region, addressesV4, addressesV6, ports, storage, fill, notBefore, expiry] =
      decode(body, { name: 'certificate', maxBytes: CERTIFICATE_BYTES, depth: 2, elements: 48, schema });
    return {
      genesis,
      pop,
      name,
      region,
      addressesV4,
      addressesV6,
      ports: { http: ports[0], https: ports[1], dns: ports[2] },
      storageCeilingMiB: storage,
      fillCeilingKiBps: fill,
      notBefore,
      expiry,
    };
  } catch (error) {
    throw new PresageError('ADMIT_CERTIFICATE', (error as Error).message, {}, error);
  }
}
