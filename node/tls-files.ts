import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PresageError } from '../protocol/errors.ts';
import type { Config } from './config.ts';
import { Certificates, type EdgeTls, type KeyPair } from './http/certificates.ts';

/** Further certificates read from a directory; more are a mistake. */
const CERTIFICATES_MAX = 4096;

/**
 * The PEM files of `http.tls`, or nothing: certificate and key for clients that ask for no name of ours, and from the
 * directory every `NAME.key` with its `NAME.pem` or `NAME.crt`. Without the former the first of the latter, by name,
 * stands in. Fails with `CONFIG_INVALID`, naming the file.
 */
export async function readTls({ http: { tls } }: Pick<Config, 'http'>): Promise<EdgeTls | undefined> {
  try {
    const own =
      tls.certificate === undefined || tls.key === undefined
        ? undefined
        : await readPair(tls.certificate, tls.key);
    const others = tls.directory === undefined ? [] : await readDirectory(tls.directory);
    const [first] = own ? [own] : others;
    if (!first) {
      if (tls.directory === undefined) return undefined;
      throw new Error(`${tls.directory} holds no certificate`);
    }
    const read = { ...first, others };
    // Whether the pairs fit shows here, not at the first client.
    new Certificates(read);
    return read;
  } catch (error) {
    throw new PresageError('CONFIG_INVALID', `http.tls: ${(error as Error).message}`, {}, error);
  }
}

async function readPair(certificate: string, key: string): Promise<KeyPair> {
  const [chain, secret] = await Promise.all([readFile(certificate, 'utf8'), readFile(key, 'utf8')]);
  return { certificate: chain, key: secret };
}

async function readDirectory(directory: string): Promise<KeyPair[]> {
  const names = new Set(await readdir(directory));
  const keys = [...names].filter((name) => name.endsWith('.key')).sort();
  if (keys.length > CERTIFICATES_MAX) throw new Error(`${directory} holds ${keys.length} certificates`);
  return Promise.all(
    keys.map(async (key) => {
      const base = key.slice(0, -'.key'.length);
      const certificate = [`${base}.pem`, `${base}.crt`].find((name) => names.has(name));
      if (certificate === undefined) throw new Error(`${join(directory, key)} has no ${base}.pem beside it`);
      return readPair(join(directory, certificate), join(directory, key));
    }),
  );
}
