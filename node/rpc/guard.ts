import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod, open, readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { PresageError } from '../../protocol/errors.ts';

/** File in the data directory that holds the bearer token of the loopback port. */
export const TOKEN_FILE = 'rpc.token';
const TOKEN_BYTES = 32;

/** The token of this data directory, made when it is first needed; readable by its owner alone. */
export async function openToken(dataDir: string): Promise<string> {
  const file = join(dataDir, TOKEN_FILE);
  try {
    const handle = await open(file, 'wx', 0o600);
    try {
      const token = randomBytes(TOKEN_BYTES).toString('base64url');
      await handle.writeFile(`${token}\n`);
      await handle.sync();
      return token;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new PresageError('STORE_IO', `${file} cannot be written`, { file }, error);
    }
  }
  await chmod(file, 0o600);
  const token = (await readFile(file, 'utf8')).trim();
  if (token.length < 32) {
    throw new PresageError('CONFIG_INVALID', `${file} holds no token; delete it and start again`, { file });
  }
  return token;
}

/** Whether the request carries the token. Takes the same time whatever it carries. */
export function authorised(request: IncomingMessage, token: string): boolean {
  const [scheme = '', given = ''] = (request.headers.authorization ?? '').split(' ');
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(token)) && scheme.toLowerCase() === 'bearer';
}

const LOCAL_NAMES = ['localhost', '127.0.0.1', '[::1]'];

/**
 * Refuses what a web page elsewhere could send: a Host that is not local (DNS rebinding), or an Origin that is not
 * this server. `port` is the loopback port; on the Unix socket, where there is none, any Host will do.
 * Fails with `RPC_HOST`.
 */
export function refuseForeign(request: IncomingMessage, port: number | undefined): void {
  const hosts = port === undefined ? [] : LOCAL_NAMES.map((name) => `${name}:${port}`);
  const { host = '', origin } = request.headers;
  if (port !== undefined && !hosts.includes(host.toLowerCase())) {
    throw new PresageError('RPC_HOST', `Host ${JSON.stringify(host.slice(0, 100))} is not local`);
  }
  if (origin !== undefined && !hosts.some((name) => origin.toLowerCase() === `http://${name}`)) {
    throw new PresageError('RPC_HOST', `Origin ${JSON.stringify(origin.slice(0, 100))} is not this server`);
  }
}
