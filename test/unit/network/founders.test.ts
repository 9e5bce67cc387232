import { createHash, createPrivateKey, type KeyObject } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keysCommand } from '../../../node/cli/keys.ts';
import { loadConfig } from '../../../node/config.ts';
import { loadIdentity } from '../../../node/identity.ts';
import { issue } from '../../../protocol/certificate.ts';
import { originState } from '../../../protocol/decided-state.ts';
import { PresageError } from '../../../protocol/errors.ts';
import { FOUNDERS_MAX, issueFounders, verifyFounders } from '../../../protocol/founders.ts';
import { genesisOf } from '../../../protocol/genesis.ts';
import type { RegionId } from '../../../protocol/ids.ts';
import { popIdOf, rawPublicKey } from '../../../protocol/pop-key.ts';

/** An Ed25519 key from a name (PKCS #8 header, then the seed). */
function keyOf(name: string): KeyObject {
  const seed = createHash('sha256').update(name).digest();
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}
const operator = keyOf('operator');
const operatorKey = rawPublicKey(operator);
const genesis = genesisOf({ operatorKey, name: 'test', generation: 1 });
const NOW = 1_800_000_000_000;
const certificateOf = (name: string, by = operator, at = genesis, key = name) =>
  issue(
    {
      ...{ genesis: at, pop: popIdOf(keyOf(key)), name, region: 'eu' as RegionId },
      ...{ addressesV4: [], addressesV6: [], ports: { http: 80, https: 0, dns: 53 } },
      ...{ storageCeilingMiB: 0, fillCeilingKiBps: 0, notBefore: NOW, expiry: NOW + 1 },
    },
    by,
  );
const code = (act: () => unknown): string => {
  try {
    act();
    return 'none';
  } catch (error) {
    if (!(error instanceof PresageError)) throw error;
    return error.code;
  }
};

describe('a list of founders', () => {
  const names = ['c', 'a', 'b'];

  it('is the same whatever the order of the certificates, sorted by peer id, and outlives them', () => {
    const list = issueFounders(
      names.map((name) => certificateOf(name)),
      genesis,
      operator,
    );
    expect(
      issueFounders(
        names.toReversed().map((name) => certificateOf(name)),
        genesis,
        operator,
      ),
    ).toEqual(list);
    const pops = verifyFounders(list, operatorKey, genesis).map(({ certificate }) => certificate.pop);
    expect(pops).toEqual(names.map((name) => popIdOf(keyOf(name))).sort());
  });

  it.each<[string, () => unknown]>([
    ['no founder', () => issueFounders([], genesis, operator)],
    [
      'one PoP twice',
      () =>
        issueFounders([certificateOf('a'), certificateOf('z', operator, genesis, 'a')], genesis, operator),
    ],
    [
      'one name twice',
      () =>
        issueFounders([certificateOf('a'), certificateOf('a', operator, genesis, 'z')], genesis, operator),
    ],
    [
      'a certificate of another operator',
      () => issueFounders([certificateOf('a', keyOf('other'))], genesis, operator),
    ],
    [
      'a certificate of another generation',
      () =>
        issueFounders(
          [certificateOf('a', operator, genesisOf({ operatorKey, name: 'test', generation: 2 }))],
          genesis,
          operator,
        ),
    ],
    [
      'too many',
      () =>
        issueFounders(
          Array.from({ length: FOUNDERS_MAX + 1 }, (_, i) => certificateOf(`p${i}`)),
          genesis,
          operator,
        ),
    ],
    [
      'another operator',
      () =>
        verifyFounders(
          issueFounders([certificateOf('a')], genesis, operator),
          rawPublicKey(keyOf('other')),
          genesis,
        ),
    ],
    [
      'another cluster',
      () =>
        verifyFounders(
          issueFounders([certificateOf('a')], genesis, operator),
          operatorKey,
          genesisOf({ operatorKey, name: 'x', generation: 1 }),
        ),
    ],
  ])('is refused with %s', (_what, act) => {
    expect(code(act)).toBe('FOUNDERS_INVALID');
  });

  it('may be as long as its limit', () => {
    const many = Array.from({ length: FOUNDERS_MAX }, (_, i) => certificateOf(`p${i}`));
    expect(verifyFounders(issueFounders(many, genesis, operator), operatorKey, genesis)).toHaveLength(
      FOUNDERS_MAX,
    );
  });
});

describe('founders in the files of a PoP', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'presage-founders-'));
  });
  afterEach(() => rm(dir, { recursive: true }));
  const at = (name: string) => join(dir, name);
  const said = { out: '', err: '' };
  const keys = async (...args: string[]) => {
    said.out = '';
    said.err = '';
    const command = new Command('keys').exitOverride();
    keysCommand(command, {
      stdout: { write: (text) => (said.out += text) },
      stderr: { write: (text) => (said.err += text) },
    });
    await command.parseAsync([...args, '--dir', dir], { from: 'user' });
    return said.out;
  };
  const configOf = (flags: Record<string, string>) =>
    loadConfig({ env: {}, cwd: dir, flags: { 'data-dir': dir, ...flags } });

  it('are those of the operator directory by default; a PoP without the list has nothing to agree from', async () => {
    await keys('cluster', '--name', 'demo');
    for (const name of ['a', 'b']) await keys('pop', '--name', name, '--region', 'eu');
    await writeFile(at('charter.toml'), 'version = 1\nregions = ["eu"]\n');
    await keys('charter', at('charter.toml'));
    expect(JSON.parse(await keys('founders', '--json')).founders.toSorted()).toEqual(['a', 'b']);
    expect(said.err).toBe('');
    await expect(keys('founders')).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    const before = await readFile(at('founders.pem'), 'utf8');
    await keys('founders', at('a.pem'), '--force');
    expect(said.err).toContain('must never change');
    expect(JSON.parse(await keys('show', at('founders.pem'), '--json')).founders).toMatchObject([
      { name: 'a' },
    ]);
    await writeFile(at('founders.pem'), before);

    const flags = {
      'cluster-certificate': 'a.pem',
      'cluster-key': 'a.key',
      'cluster-charter': 'charter.pem',
    };
    expect((await loadIdentity(configOf(flags), NOW)).cluster).toBeUndefined();
    const years = 20 * 365 * 86_400_000;
    const { cluster, self } = await loadIdentity(
      configOf({ ...flags, 'cluster-founders': 'founders.pem' }),
      Date.now() + years,
    );
    const state = originState(cluster!.genesis, cluster!.founders, cluster!.terms);
    expect(state.members.map(({ name }) => name).sort()).toEqual(['a', 'b']);
    expect(state.members.some(({ pop }) => pop === self)).toBe(true);
    await writeFile(at('founders.pem'), 'no list');
    await expect(
      loadIdentity(configOf({ ...flags, 'cluster-founders': 'founders.pem' }), NOW),
    ).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('include PoPs whose files went elsewhere, of which none has the name of another or of a file', async () => {
    await keys('cluster', '--name', 'demo');
    for (const name of ['a', 'b']) await keys('pop', '--name', name, '--region', 'eu', '--out', at(name));
    expect(JSON.parse(await keys('founders', '--json')).founders.toSorted()).toEqual(['a', 'b']);
    for (const name of ['a', 'charter', 'operator']) {
      const again = keys('pop', '--name', name, '--region', 'eu', '--out', at('other'));
      await expect(again).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    }
    const key = join(at('a'), 'a.key');
    await keys('pop', '--name', 'a', '--region', 'us', '--key', key, '--out', at('renewed'));
    expect(JSON.parse(await keys('show', at('a.pem'), '--json')).region).toBe('us');
  });

  it('are the PoP itself where it is alone, the same cluster at every start', async () => {
    const first = await loadIdentity(configOf({ name: 'Desk', region: 'eu' }), NOW);
    const again = await loadIdentity(configOf({ name: 'Desk', region: 'us' }), NOW + 1);
    expect(again.cluster?.genesis).toBe(first.cluster?.genesis);
    const { genesis: own, founders, terms } = again.cluster!;
    const [member, ...others] = originState(own, founders, terms).members;
    expect(member).toMatchObject({ pop: first.self, name: 'desk', region: 'us', notBefore: NOW + 1 });
    expect(others).toEqual([]);
    expect(terms.epochMs).toBe(again.charter.epochMs);
  });
});
