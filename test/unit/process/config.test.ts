import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { explainConfig, loadConfig } from '../../../node/config.ts';
import { flagOf, PATHS, specOf, variableOf } from '../../../node/config-table.ts';
import { PresageError } from '../../../protocol/errors.ts';

const directories: string[] = [];
const file = (text: string): string => {
  const directory = mkdtempSync(join(tmpdir(), 'presage-config-'));
  directories.push(directory);
  const path = join(directory, 'presage.toml');
  writeFileSync(path, text);
  return path;
};
afterEach(() => {
  for (const directory of directories.splice(0)) rmSync(directory, { recursive: true });
});

const failure = (run: () => unknown): PresageError => {
  try {
    run();
  } catch (error) {
    if (error instanceof PresageError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
};

describe('configuration', () => {
  it('has working defaults', () => {
    const config = loadConfig({ cwd: '/srv' });
    expect(config.http.listen).toEqual({ host: '127.0.0.1', port: 8080 });
    expect(config.dns.listen).toEqual([{ host: '127.0.0.1', port: 5353 }]);
    expect(config.dataDir).toBe('/srv/.presage');
    expect(config.storage.budget).toBe(10 * 2 ** 30);
    expect(config.epoch.length).toBe(30_000);
    expect(config.origin).toBeUndefined();
  });

  it('lets a flag go before a variable, a variable before the file, the file before the default', () => {
    const path = file(
      'name = "from-file"\nregion = "file"\n[storage]\nbudget = "1GiB"\nmaxObject = "1MiB"\n',
    );
    const { config, entries } = explainConfig({
      file: path,
      env: { PRESAGE_NAME: 'from-variable', PRESAGE_REGION: 'variable' },
      flags: { name: 'from-flag' },
    });
    expect([config.name, config.region, config.storage.budget]).toEqual(['from-flag', 'variable', 2 ** 30]);
    const source = (key: string) => entries.find((entry) => entry.key === key)?.source;
    expect(['name', 'region', 'storage.budget', 'log.level'].map(source)).toEqual([
      'flag',
      'variable',
      'file',
      'default',
    ]);
  });

  it('takes relative paths from the directory of the file that names them', () => {
    const path = file('dataDir = "data"\n');
    expect(loadConfig({ file: path, cwd: '/elsewhere' }).dataDir).toBe(join(path, '..', 'data'));
  });

  it('names file, key and what was meant for an unknown key', () => {
    const path = file('[storage]\nbuget = "1GiB"\n');
    const error = failure(() => loadConfig({ file: path }));
    expect(error.code).toBe('CONFIG_UNKNOWN');
    expect(error.message).toBe(`storage.buget in ${path} is not a key; did you mean storage.budget?`);
    expect(failure(() => loadConfig({ env: { PRESAGE_ORGIN: 'http://x' } })).message).toContain(
      'PRESAGE_ORIGIN',
    );
    expect(failure(() => loadConfig({ flags: { htp: ':80' } })).message).toContain('did you mean http?');
  });

  it('names key, value, source and remedy of every wrong value at once', () => {
    const error = failure(() =>
      loadConfig({ flags: { 'epoch-length': '30' }, env: { PRESAGE_STORAGE_BUDGET: 'much' } }),
    );
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(
      'storage.budget = "much" (from PRESAGE_STORAGE_BUDGET): expected a size such as',
    );
    expect(error.message).toContain(
      'epoch.length = "30" (from --epoch-length): expected a duration with its unit',
    );
  });

  it.each([
    [{ rpc: '0.0.0.0:9090' }, 'rpc.listen'],
    [{ 'cluster-certificate': 'a' }, 'cluster.key'],
    [{ 'cluster-certificate': 'a', 'cluster-key': 'b' }, 'cluster.charter'],
    [{ 'cluster-founders': 'a' }, 'cluster.founders'],
    [{ 'cluster-charter': 'a' }, 'cluster.charter'],
    [{ 'http-tls-key': 'a' }, 'http.tls.certificate'],
    [{ origin: 'ftp://x' }, 'origin'],
    [{ origin: 'http://u:p@x' }, 'origin'],
    [{ region: 'Nord/West' }, 'region'],
    [{ listen: ['/ip4/1.2.3.4/udp/1'] }, 'p2p.listen'],
    [{ http: '[::1]' }, 'http.listen'],
    [{ http: '256.1.1.1:80' }, 'http.listen'],
    [{ http: 'a:65536' }, 'http.listen'],
    [{ 'clock-speed': '0' }, 'clock.speed'],
    [{ 'log-level': 'loud' }, 'log.level'],
    [{ 'storage-max-object': '1TiB' }, 'storage.maxObject'],
  ])('refuses %j', (flags, key) => {
    const error = failure(() => loadConfig({ flags }));
    expect(error.code).toBe('CONFIG_INVALID');
    expect(error.message).toContain(`${key} = `);
  });

  it('says where a file is not TOML, and that one is missing', () => {
    expect(failure(() => loadConfig({ file: file('name = ') })).code).toBe('CONFIG_INVALID');
    expect(failure(() => loadConfig({ file: '/nonexistent.toml' })).message).toContain('/nonexistent.toml');
  });

  it('gives every key one flag and one variable of its own, and a default that is valid', () => {
    expect(new Set(PATHS.map(flagOf)).size).toBe(PATHS.length);
    expect(new Set(PATHS.map(variableOf)).size).toBe(PATHS.length);
    for (const path of PATHS) expect(specOf(path).doc.endsWith('.')).toBe(true);
  });

  it('serves without a listener where it is told "off"', () => {
    const config = loadConfig({ flags: { dns: 'off' } });
    expect(config.dns.listen).toEqual([]);
  });
});
