import { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';

/** Certificate chain and private key, PEM text. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** What a TLS door shows: the certificate for clients that name none we have, and others by their names. */
export interface EdgeTls extends KeyPair {
  readonly others?: readonly KeyPair[];
}

export const contextOptions = ({ certificate, key }: KeyPair) => ({
  cert: certificate,
  key,
  minVersion: 'TLSv1.2' as const,
});

/** Chooses a certificate by the server name that a client asks for (SNI, RFC 6066 §3). */
export class Certificates {
  readonly #byName = new Map<string, SecureContext>();

  /** Throws what OpenSSL says of a pair that does not fit. The first certificate that has a name keeps it. */
  constructor({ certificate, key, others = [] }: EdgeTls) {
    for (const pair of [{ certificate, key }, ...others]) {
      const context = createSecureContext(contextOptions(pair));
      for (const name of namesOf(pair.certificate)) {
        if (!this.#byName.has(name)) this.#byName.set(name, context);
      }
    }
  }

  /** The certificate of that very name, else the wildcard one level up; `undefined` if there is none. */
  of(servername: string): SecureContext | undefined {
    const name = servername.toLowerCase().replace(/\.$/, '');
    const dot = name.indexOf('.');
    return this.#byName.get(name) ?? (dot < 0 ? undefined : this.#byName.get(`*${name.slice(dot)}`));
  }

  get names(): readonly string[] {
    return [...this.#byName.keys()];
  }
}

/** DNS names of the leaf certificate, in lower case; its common name counts for nothing, as with clients of today. */
function namesOf(certificate: string): string[] {
  const { subjectAltName } = new X509Certificate(certificate);
  return [...(subjectAltName ?? '').matchAll(/(?:^|, )DNS:([^,"]+)/g)].map((match) =>
    match[1]!.toLowerCase(),
  );
}
