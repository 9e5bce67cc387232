import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCli } from '../../../node/cli/cli.ts';
import { createCharter, createOperator } from '../../../node/cli/keys-issue.ts';
import type { Signed } from '../../../node/cli/sign.ts';
import { checkSignature, signatureClaim } from '../../../node/http/access/signed-url.ts';
import { checkToken } from '../../../node/http/access/token.ts';

let cwd: string;
beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'presage-sign-'));
  const operator = await createOperator({ directory: join(cwd, 'operator'), name: 'test' });
  const site = (id: string, rest: string) =>
    `[[sites]]\nid = "${id}"\nhosts = ["${id}.example.net"]\norigin = "http://o"\n${rest}\n`;
  const secret = 'ab'.repeat(32);
  const keys = `private = true\naccessKeys = ["new", { id = "old", secret = "${secret}" }]`;
  const rule = 'normalise = { dropParameters = ["utm_*"], sortParameters = true }';
  await createCharter(
    operator,
    `version = 1\nregions = ["eu"]\n${site('films', `${keys}\n${rule}`)}${site('www', '')}`,
  );
});
afterAll(() => rmSync(cwd, { recursive: true }));

const presage = async (...args: string[]) => {
  const texts = { out: '', err: '' };
  const sink = (name: 'out' | 'err') =>
    new Writable({
      write(chunk, _encoding, done) {
        texts[name] += String(chunk);
        done();
      },
    });
  const io = { stdin: Readable.from([]), stdout: sink('out'), stderr: sink('err'), env: {}, cwd };
  return { code: await runCli(args, io), ...texts };
};
const sign = async (url: string, ...args: string[]): Promise<Signed> => {
  const { out } = await presage('sign', url, '--expires', '2h', '--json', ...args);
  return JSON.parse(out) as Signed;
};
const keyOf = async (...args: string[]) => {
  const { key, secret = '' } = await sign('https://films.example.net/', '--show-key', ...args);
  return { id: key, secret: new Uint8Array(Buffer.from(secret, 'hex')) };
};
const now = () => Date.now() / 1000;

describe('presage sign', () => {
  it('prints a URL that the edge accepts, in the canonical form of the site', async () => {
    const { url = '', expires, key } = await sign('https://Films.example.net:443/a/../b?z=1&utm_id=3&a=2');
    expect(url).toMatch(
      /^https:\/\/films\.example\.net\/b\?a=2&z=1&presage-expires=\d+&presage-key=new&presage-s/,
    );
    expect(Date.parse(expires) / 1000 - now()).toBeGreaterThan(7190);
    expect(key).toBe('new');
    const claim = signatureClaim(url);
    if (claim === undefined || claim === 'malformed') throw new Error('no signature');
    const keys = [await keyOf()];
    expect(checkSignature(claim, keys, 'films.example.net', '/b?a=2&z=1', now())).toBeUndefined();
    expect(checkSignature(claim, keys, 'films.example.net', '/b', now())).toBe('mismatch');
  });

  it('signs prefixes and tokens, with the key that is named', async () => {
    const at = 'https://films.example.net/1/a.m3u8';
    const { url = '' } = await sign(at, '--prefix', '/1/', '--key', 'old');
    const claim = signatureClaim(url);
    if (claim === undefined || claim === 'malformed') throw new Error('no signature');
    const old = await keyOf('--key', 'old');
    expect(Buffer.from(old.secret).toString('hex')).toBe('ab'.repeat(32));
    expect(checkSignature(claim, [old], 'films.example.net', '/1/b.ts', now())).toBeUndefined();
    const { token = '' } = await sign(at, '--token');
    const check = async (path: string) => checkToken(token, [await keyOf()], 'films', path, now());
    expect([await check('/1/a.m3u8?x'), await check('/1/b.ts')]).toEqual([undefined, 'outside']);
    const plain = await presage('sign', at, '--expires', '2099-01-01T00:00:00Z', '--token', '--prefix', '/');
    expect(checkToken(plain.out.trim(), [await keyOf()], 'films', '/x', now())).toBeUndefined();
  });

  it.each([
    [['https://www.example.net/a', '--expires', '2h'], 'not private'],
    [['https://films.example.net/a', '--expires', '2h', '--site', 'nope'], 'no site of the charter'],
    [['https://other.example.net/a', '--expires', '2h'], 'no site of the charter'],
    [['https://films.example.net/a', '--expires', '2h', '--key', 'x'], 'has the keys new, old'],
    [['https://films.example.net/a', '--expires', '2h', '--prefix', '/b/'], 'does not lie below'],
    [['https://films.example.net/a', '--expires', '2h', '--prefix', '/a'], 'ends in /'],
    [['https://films.example.net/a', '--expires', '1999-01-01'], 'a time to come'],
    [['https://films.example.net/a', '--expires', '7'], 'expected a duration'],
    [['ftp://films.example.net/a', '--expires', '2h'], 'http or https'],
    [['https://films.example.net/a', '--expires', '2h', '--dir', 'nowhere'], 'cluster.pem'],
  ])('says what is wrong with %j', async (args, hint) => {
    const { code, err } = await presage('sign', ...args);
    expect([code, err.includes(hint) ? hint : err]).toEqual([1, hint]);
  });
});
