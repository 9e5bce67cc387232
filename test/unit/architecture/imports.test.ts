import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../../..');

/** Who may import whom; nothing imports `test`. */
const ALLOWED: Record<string, readonly string[]> = {
  protocol: ['protocol'],
  forecasting: ['forecasting', 'protocol'],
  actors: ['actors', 'forecasting', 'protocol'],
  node: ['node', 'actors', 'forecasting', 'protocol'],
};

/** Packages and built-in modules that would make a pure folder impure, and the files that may use them all the same. */
const IMPURE =
  /^(libp2p|@libp2p\/|@chainsafe\/|level$|classic-level|undici|pino|prom-client|node:(fs|net|dgram|http|http2|tls|dns|child_process|timers|worker_threads|os|process))/;
const EXCEPTIONS = new Set([
  'forecasting/worker.ts',
  'forecasting/mind-worker.ts',
  'forecasting/pool.ts',
  'forecasting/endpoint.ts',
]);

const sources = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name));

const importsOf = (file: string): string[] => {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/(?:from|import\()\s*'([^']+)'/g)].map((match) => match[1] ?? '');
};

describe('the house', () => {
  for (const [folder, allowed] of Object.entries(ALLOWED)) {
    it(`${folder} imports only ${allowed.join(', ')}`, () => {
      const wrong = sources(folder).flatMap((file) =>
        importsOf(file)
          .filter((name) => name.startsWith('.'))
          .map((name) => relative(root, resolve(root, file, '..', name)))
          .filter((target) => !allowed.includes(target.split('/')[0] ?? '') && target !== 'package.json')
          .map((target) => `${file} → ${target}`),
      );
      expect(wrong).toEqual([]);
    });
  }

  it('keeps sockets, disks and libp2p under node/', () => {
    const wrong = ['protocol', 'forecasting', 'actors']
      .flatMap(sources)
      .filter((file) => !EXCEPTIONS.has(file))
      .flatMap((file) =>
        importsOf(file)
          .filter((name) => IMPURE.test(name))
          .map((name) => `${file} → ${name}`),
      );
    expect(wrong).toEqual([]);
  });

  it('keeps clock, timers and chance out of protocol and the models', () => {
    const impure = /Date\.now\(|Math\.random\(|setTimeout\(|setInterval\(|performance\.now\(|new Date\(\)/;
    const wrong = ['protocol', 'forecasting', 'actors']
      .flatMap(sources)
      .filter((file) => !EXCEPTIONS.has(file))
      .filter((file) => impure.test(readFileSync(join(root, file), 'utf8')));
    expect(wrong).toEqual([]);
  });

  it('keeps every file within 400 lines', () => {
    const long = ['protocol', 'forecasting', 'actors', 'node']
      .flatMap(sources)
      .map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1 }))
      .filter(({ lines }) => lines > 400);
    expect(long).toEqual([]);
  });
});
