import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Signed } from '../../../node/cli/sign.ts';
import { signatureQuery } from '../../../node/http/access/signed-url.ts';
import { startCluster, type TestCluster } from '../cluster.ts';
import { type Daemon, http, scratch, until } from '../daemon.ts';
import { bodyOf, startOrigin, type TestOrigin } from '../origin.ts';

const HOST = 'films.example';
/** Several chunks, and one. */
const LARGE = '/large/film';
const SMALL = '/small/poster';

let origin: TestOrigin;
let cluster: TestCluster;
let directory: string;
const cleanups: (() => void)[] = [];

beforeAll(async () => {
  origin = await startOrigin();
  origin.sizeOf = (path) => (path === LARGE ? 1_000_000 : 4_000);
  directory = scratch((fn) => cleanups.push(fn));
  cluster = await startCluster(directory, 3, {
    origin: origin.url,
    site: 'private = true\naccessKeys = ["old"]\nallow = ["pop0", "pop1"]',
  });
  await cluster.meshed();
});
afterAll(async () => {
  await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
  await origin.close();
  for (const cleanup of cleanups) cleanup();
});

/** `presage sign`, as an operator runs it. */
async function sign(path: string, ...args: string[]): Promise<Signed> {
  const command = ['node/presage.ts', 'sign', `http://${HOST}${path}`, '--dir', directory, '--json', ...args];
  const { stdout } = await promisify(execFile)(process.execPath, [...command, '--expires', '1h']);
  return JSON.parse(stdout) as Signed;
}
const signedPath = async (path: string, ...args: string[]) => {
  const { pathname, search } = new URL((await sign(path, ...args)).url ?? '');
  return pathname + search;
};
const get = (pop: Daemon, path: string, headers: Record<string, string> = {}) =>
  http({ url: `${pop.ready.http}${path}`, headers: { host: HOST, ...headers } });
const statuses = (path: string, headers = {}) =>
  Promise.all(cluster.pops.map(async (pop) => (await get(pop, path, headers)).status));
const pops = () => cluster.pops as [Daemon, Daemon, Daemon];

describe('a private site in a cluster', () => {
  it('is served to those who were let in, at the PoPs that may hold it', async () => {
    const [first, second, stranger] = pops();
    expect(await statuses(LARGE)).toEqual([401, 401, 421]);
    for (const path of [LARGE, SMALL]) {
      const body = bodyOf(path, 1, origin.sizeOf(path));
      const signed = await signedPath(path);
      expect((await get(first, signed)).body.equals(body)).toBe(true);
      await until('the first has stored it', async () =>
        /; hit/.test((await get(first, signed)).headers['cache-status'] ?? ''),
      );
      expect((await get(second, signed)).body.equals(body)).toBe(true);
      expect(origin.asked.get(path)).toBe(1);
      expect((await get(stranger, signed)).status).toBe(421);
      // With the bytes here, still nobody gets in without credentials.
      expect(await statuses(path)).toEqual([401, 401, 421]);
      expect(await statuses(path, { range: 'bytes=0-9' })).toEqual([401, 401, 421]);
    }
    const { token } = await sign(LARGE, '--token', '--prefix', '/large/');
    const headers = { authorization: `Bearer ${token}` };
    expect(await statuses(LARGE, headers)).toEqual([200, 200, 421]);
    expect(await statuses(SMALL, headers)).toEqual([403, 403, 421]);
  });

  it('stands on no disk in the clear, and on that of the third PoP not at all', async () => {
    const held = await Promise.all(
      pops().map(async ({ dataDir }) => {
        const entries = await readdir(dataDir, { recursive: true, withFileTypes: true });
        const files = entries
          .filter((entry) => entry.isFile())
          .map(({ parentPath, name }) => join(parentPath, name));
        const bytes = Buffer.concat(await Promise.all(files.map((file) => readFile(file))));
        for (const path of [LARGE, SMALL]) {
          const body = bodyOf(path, 1, origin.sizeOf(path));
          for (let at = 0; at < body.length; at += 1000)
            expect(bytes.includes(body.subarray(at, at + 32))).toBe(false);
        }
        return files
          .filter((file) => file.includes(join(dataDir, 'blobs')))
          .map((file) => file.endsWith('.sealed'));
      }),
    );
    expect(held).toEqual([[true, true], [true, true], []]);
    const listed = await pops()[2].rpc<{ total: number }>('replicas', {});
    expect(listed.total).toBe(0);
  });

  it('refuses what has expired or was altered', async () => {
    const { key, secret = '' } = await sign(SMALL, '--show-key');
    const access = { id: key, secret: new Uint8Array(Buffer.from(secret, 'hex')) };
    const now = Math.floor(Date.now() / 1000);
    const at = (expires: number) => `${SMALL}?${signatureQuery(access, HOST, { path: SMALL }, expires)}`;
    expect(await statuses(at(now + 600))).toEqual([200, 200, 421]);
    expect(await statuses(at(now - 1))).toEqual([403, 403, 421]);
    expect(await statuses(at(now - 1).replace(String(now - 1), String(now + 600)))).toEqual([403, 403, 421]);
    expect(await statuses(at(now + 600).replace(SMALL, LARGE))).toEqual([403, 403, 421]);
  });

  it('takes new keys and lets go of old ones while it serves', async () => {
    const old = await signedPath(SMALL);
    await cluster.recharter(0, (toml) => toml.replace('["old"]', '["new", "old"]'));
    const renewed = await signedPath(SMALL);
    expect(renewed).toContain('presage-key=new');
    await until('the new key opens at both', async () => `${await statuses(renewed)}` === '200,200,421');
    expect(await statuses(old)).toEqual([200, 200, 421]);
    await cluster.recharter(1, (toml) => toml.replace('["new", "old"]', '["new"]'));
    await until('the old key opens nowhere', async () => `${await statuses(old)}` === '403,403,421');
    expect(await statuses(renewed)).toEqual([200, 200, 421]);
  });

  it('is let go of by a PoP that may not hold it any more', async () => {
    const total = async () => (await pops()[1].rpc<{ total: number }>('replicas', {})).total;
    expect(await total()).toBe(2);
    await cluster.recharter(0, (toml) => toml.replace('["pop0", "pop1"]', '["pop0"]'));
    await until('the second has let go of it', async () => (await total()) === 0);
    expect(await statuses(await signedPath(SMALL))).toEqual([200, 421, 421]);
  });
});
