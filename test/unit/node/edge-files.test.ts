import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../node/config.ts';
import { edgeOptions } from '../../../node/edge-options.ts';
import { Certificates } from '../../../node/http/certificates.ts';
import { readTls } from '../../../node/tls-files.ts';
import { ONE, TWO } from '../../integration/http/certificates.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'presage-tls-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const put = (name: string, { certificate, key }: typeof ONE, ending = 'pem') => {
  writeFileSync(join(directory, `${name}.${ending}`), certificate);
  writeFileSync(join(directory, `${name}.key`), key);
};
const config = (toml: string) => {
  const file = join(directory, 'presage.toml');
  writeFileSync(file, toml);
  return loadConfig({ file, flags: {}, env: {}, cwd: directory });
};
const read = (toml: string) => readTls(config(toml));

describe('the certificates of the edge', () => {
  it('are read by name, the first standing in where a client names none', async () => {
    expect(await read('')).toBeUndefined();
    put('b', TWO, 'crt');
    put('a', ONE);
    const tls = await read('[http.tls]\ndirectory = "."');
    expect(tls?.certificate).toBe(ONE.certificate);
    const certificates = new Certificates(tls ?? ONE);
    expect(certificates.names).toEqual(['one.example', 'two.example']);
    expect(certificates.of('TWO.example.')).toBeDefined();
    expect(certificates.of('a.one.example')).toBeUndefined();
    const both = await read('[http.tls]\ncertificate = "b.crt"\nkey = "b.key"\ndirectory = "."');
    expect([both?.certificate, both?.others?.length]).toEqual([TWO.certificate, 2]);
  });

  it.each([
    ['an empty directory', () => undefined, 'holds no certificate'],
    ['a key alone', () => writeFileSync(join(directory, 'a.key'), ONE.key), 'no a.pem beside it'],
    ['a key of another', () => put('a', { ...ONE, key: TWO.key }), 'http.tls'],
    ['rubbish', () => put('a', { certificate: 'x', key: 'y' }), 'http.tls'],
  ])('are refused: %s', async (_, prepare, reason) => {
    prepare();
    await expect(read('[http.tls]\ndirectory = "."')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(reason),
    });
  });
});

describe('the configuration of the edge', () => {
  it('guesses no freshness unless it is told to', () => {
    expect(edgeOptions(config(''), 'a')).toEqual({
      name: 'a',
      maxObjectBytes: 2 ** 30,
      direct: 'auto',
      staleIfErrorSeconds: 3600,
    });
    const told = config('[http]\nheuristic = 0.1\nheuristicMax = "1h"\nstaleIfError = "0s"');
    expect(edgeOptions(told, 'a')).toMatchObject({
      staleIfErrorSeconds: 0,
      heuristic: { fraction: 0.1, maxSeconds: 3600 },
    });
    expect(() => config('[http]\nheuristic = 2')).toThrow(/from 0 to 1/);
  });
});
