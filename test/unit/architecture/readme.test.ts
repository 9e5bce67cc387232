import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../../../protocol/errors.ts';

const root = resolve(import.meta.dirname, '../../..');
const readme = readFileSync(resolve(root, 'README.md'), 'utf8');
const manifest = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
};

describe('the README', () => {
  it('names only files that exist', () => {
    const named = [...readme.matchAll(/`((?:actors|protocol|forecasting|node|test)\/[\w./-]*)`/g)].map(
      (match) => match[1] ?? '',
    );
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((path) => !existsSync(resolve(root, path)))).toEqual([]);
  });

  it('lists every error code with its meaning and remedy', () => {
    const missing = Object.entries(ERRORS).filter(
      ([code, [meaning, remedy]]) => !readme.includes(`| \`${code}\` | ${meaning} | ${remedy} |`),
    );
    expect(missing.map(([code]) => code)).toEqual([]);
  });

  it('gives a reason for every dependency', () => {
    const expanded = readme.replace(/@libp2p\/\{([^}]+)\}/g, (_, list: string) =>
      list
        .split(',')
        .map((name) => `@libp2p/${name}`)
        .join(', '),
    );
    const names = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)];
    expect(names.filter((name) => !name.startsWith('@types/') && !expanded.includes(name))).toEqual([]);
  });
});
