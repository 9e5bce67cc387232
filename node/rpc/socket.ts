import { lstat, unlink } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join, relative } from 'node:path';
import { PresageError } from '../../protocol/errors.ts';

/** Name of the Unix socket in the data directory. */
export const SOCKET_FILE = 'rpc.sock';
/** `sun_path` holds 108 bytes on Linux, 104 on macOS and the BSDs, a zero byte among them. */
const SOCKET_PATH_BYTES_MAX = 103;
/** A daemon that lives answers a connection on this machine at once. */
const PROBE_MS = 1000;

/**
 * Path by which the socket of a data directory is reached: absolute, or relative to the current directory where the
 * absolute one is longer than a socket's address may be. Fails with `CONFIG_INVALID` where both are.
 */
export function socketPath(dataDir: string): string {
  const absolute = join(dataDir, SOCKET_FILE);
  for (const path of [absolute, relative(process.cwd(), absolute)]) {
    if (Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX) return path;
  }
  throw new PresageError(
    'CONFIG_INVALID',
    `dataDir = ${JSON.stringify(dataDir)}: the path of its RPC socket is longer than ${SOCKET_PATH_BYTES_MAX} bytes; ` +
      'choose a shorter directory, or start the daemon nearer to it',
    { key: 'dataDir' },
  );
}

/**
 * Makes way for a new socket: removes one that a daemon left behind when it was killed.
 * Fails with `STORE_LOCKED` if a daemon answers on it, or if something else has its name.
 */
export async function clearSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isSocket())
    throw new PresageError('STORE_LOCKED', `${path} exists and is not a socket; move it away`);
  if (await answers(path)) throw new PresageError('STORE_LOCKED', `another daemon answers on ${path}`);
  await unlink(path).catch(() => undefined);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(path);
    const done = (alive: boolean) => {
      probe.destroy();
      resolve(alive);
    };
    probe.setTimeout(PROBE_MS, () => done(true));
    probe.once('connect', () => done(true));
    probe.once('error', () => done(false));
  });
}
