import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadMembership } from '../../../node/adapters/admission-files.ts';
import { keysCommand } from '../../../node/cli/keys.ts';
import { verifyRevocations } from '../../../protocol/revocation.ts';

const CHARTER =
  'version = 3\nregions = ["eu"]\n[[sites]]\nid = "a"\nhosts = ["*"]\norigin = "http://origin.example"\n';
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'presage-keys-'));
});
afterEach(() => rm(dir, { recursive: true }));

/** Runs `presage keys …` and returns what it printed; throws what it throws. */
async function keys(...args: string[]): Promise<string> {
  let out = '';
  const command = new Command('keys').exitOverride();
  keysCommand(command, { stdout: { write: (text) => (out += text) } });
  await command.parseAsync([...args, '--dir', dir], { from: 'user' });
  return out;
}
const at = (name: string) => join(dir, name);
const paths = (name: string) => ({ certificate: at(`${name}.pem`), key: at(`${name}.key`) });

describe('presage keys', () => {
  it('makes all that a PoP starts from, readable by its owner alone', async () => {
    await keys('cluster', '--name', 'demo');
    await keys(
      'pop',
      '--name',
      'fra1',
      '--region',
      'eu',
      '--address',
      '192.0.2.1',
      '--address',
      '2001:db8::1',
    );
    await writeFile(at('charter.toml'), CHARTER);
    await keys('charter', at('charter.toml'));
    const membership = await loadMembership({ ...paths('fra1'), charter: at('charter.pem') }, Date.now());
    expect(membership.own).toMatchObject({
      name: 'fra1',
      region: 'eu',
      addressesV4: ['192.0.2.1'],
      addressesV6: ['2001:db8::1'],
      ports: { http: 80, https: 0, dns: 53 },
    });
    expect(membership.cluster.name).toBe('demo');
    expect(membership.charter?.terms.version).toBe(3);
    expect(membership.warnings).toEqual([]);
    for (const file of ['operator.key', 'cluster.pem', 'fra1.key', 'fra1.pem', 'charter.pem']) {
      expect((await stat(at(file))).mode & 0o777).toBe(0o600);
    }
  });

  it('overwrites nothing without --force', async () => {
    await keys('cluster', '--name', 'demo');
    await keys('pop', '--name', 'fra1', '--region', 'eu');
    await writeFile(at('charter.toml'), CHARTER);
    await keys('charter', at('charter.toml'));
    const before = await Promise.all(
      ['operator.key', 'fra1.key', 'charter.pem'].map((f) => readFile(at(f), 'utf8')),
    );
    for (const args of [
      ['cluster', '--name', 'other'],
      ['pop', '--name', 'fra1', '--region', 'eu'],
      ['charter', at('charter.toml')],
    ]) {
      await expect(keys(...args)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    }
    const after = await Promise.all(
      ['operator.key', 'fra1.key', 'charter.pem'].map((f) => readFile(at(f), 'utf8')),
    );
    expect(after).toEqual(before);
    await keys('charter', at('charter.toml'), '--force');
    await writeFile(at('charter.toml'), CHARTER.replace('version = 3', 'version = 4'));
    await keys('charter', at('charter.toml'));
    expect(JSON.parse(await keys('show', at('charter.pem'), '--json')).version).toBe(4);
    await writeFile(at('charter.toml'), CHARTER);
    await expect(keys('charter', at('charter.toml'))).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('renews a certificate for the same identity', async () => {
    await keys('cluster', '--name', 'demo');
    const first = JSON.parse(await keys('pop', '--name', 'fra1', '--region', 'eu', '--days', '1', '--json'));
    await keys(
      'pop',
      '--name',
      'fra1',
      '--region',
      'eu',
      '--days',
      '500',
      '--key',
      at('fra1.key'),
      '--force',
    );
    const membership = await loadMembership(paths('fra1'), Date.now());
    expect(membership.own.pop).toBe(first.pop);
    expect(membership.own.expiry).toBeGreaterThan(Date.now() + 499 * 86_400_000);
  });

  it('revokes by file and by peer id, each edition newer than the last', async () => {
    await keys('cluster', '--name', 'demo');
    const one = JSON.parse(await keys('pop', '--name', 'a', '--region', 'eu', '--json'));
    const two = JSON.parse(await keys('pop', '--name', 'b', '--region', 'eu', '--json'));
    await keys('revoke', at('a.pem'), '--reason', 'stolen');
    await keys('revoke', two.pop, one.pop);
    const { revocations, operatorKey, genesis } = await loadMembership(
      { ...(await thirdPop()), revocations: at('revocations.pem') },
      Date.now(),
    );
    const list = verifyRevocations(revocations!, operatorKey, genesis);
    expect(list.version).toBe(2);
    expect(list.revoked.map(({ pop }) => pop)).toEqual([one.pop, two.pop]);
    await expect(
      loadMembership({ ...paths('a'), revocations: at('revocations.pem') }, Date.now()),
    ).rejects.toMatchObject({ code: 'ADMIT_REVOKED' });
  });

  it('shows what a file holds, and no secret of it', async () => {
    await keys('cluster', '--name', 'demo');
    await keys('pop', '--name', 'fra1', '--region', 'eu');
    await writeFile(at('charter.toml'), CHARTER);
    await keys('charter', at('charter.toml'));
    for (const [file, kind] of [
      ['operator.key', 'private key'],
      ['cluster.pem', 'cluster'],
      ['fra1.pem', 'certificate'],
      ['charter.pem', 'charter'],
    ] as const) {
      const shown = JSON.parse(await keys('show', at(file), '--json'));
      expect(shown.kind).toBe(kind);
      expect(JSON.stringify(shown)).not.toContain('secret');
    }
    await expect(keys('show', at('charter.toml'))).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it.each([
    ['no operator', []],
    ['a name with a blank', ['--name', 'fra 1', '--region', 'eu']],
    ['a region in capitals', ['--name', 'fra1', '--region', 'EU']],
    ['an address that is a name', ['--name', 'fra1', '--region', 'eu', '--address', 'example.net']],
  ])('fails with a code on %s and leaves nothing behind', async (what, args) => {
    if (what !== 'no operator') await keys('cluster', '--name', 'demo');
    const given = args.length > 0 ? args : ['--name', 'fra1', '--region', 'eu'];
    await expect(keys('pop', ...given)).rejects.toMatchObject({
      code: expect.stringMatching(/^(CONFIG_INVALID|ADMIT_CERTIFICATE)$/),
    });
    await expect(stat(at('fra1.key'))).rejects.toThrow();
  });
});

describe('what a PoP starts from', () => {
  it.each([
    ['a key of another PoP', async () => ({ certificate: at('a.pem'), key: at('b.key') }), 'ADMIT_IDENTITY'],
    ['no file', async () => ({ certificate: at('none.pem'), key: at('a.key') }), 'CONFIG_INVALID'],
    ['a key that is no key', async () => ({ certificate: at('a.pem'), key: at('a.pem') }), 'CONFIG_INVALID'],
    [
      'a certificate that is none',
      async () => ({ certificate: at('cluster.pem'), key: at('a.key') }),
      'CONFIG_INVALID',
    ],
    ['a damaged certificate', () => damaged('a'), 'ADMIT_CERTIFICATE'],
  ] as const)('is refused with %s', async (_what, pathsOf, code) => {
    await keys('cluster', '--name', 'demo');
    await keys('pop', '--name', 'a', '--region', 'eu');
    await keys('pop', '--name', 'b', '--region', 'eu');
    await expect(loadMembership(await pathsOf(), Date.now())).rejects.toMatchObject({ code });
  });
  it('may have expired or lie in the future, which is said: the PoP goes on serving', async () => {
    await keys('cluster', '--name', 'demo');
    await keys('pop', '--name', 'a', '--region', 'eu', '--days', '30');
    const warnings = async (days: number) =>
      (await loadMembership(paths('a'), Date.now() + days * 86_400_000)).warnings.join();
    expect(await warnings(0)).toBe('');
    expect(await warnings(20)).toMatch(/^the certificate expires at /);
    expect(await warnings(31)).toMatch(/^ADMIT_EXPIRED/);
    expect(await warnings(-1)).toMatch(/^CLOCK_SKEW/);
  });
});

async function thirdPop() {
  await keys('pop', '--name', 'c', '--region', 'eu');
  return paths('c');
}

async function damaged(name: string) {
  const text = await readFile(at(`${name}.pem`), 'utf8');
  const lines = text.split('\n');
  const line = lines[3] ?? '';
  lines[3] = line.startsWith('A') ? `B${line.slice(1)}` : `A${line.slice(1)}`;
  await writeFile(at(`${name}.pem`), lines.join('\n'));
  return paths(name);
}
