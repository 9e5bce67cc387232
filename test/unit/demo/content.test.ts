import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readCacheStatus } from '../../../node/demo/clients.ts';
import { bodyOf, ExpectedContent, etagOf, sha256, versionOfEtag } from '../../../node/demo/content.ts';
import { network } from '../../../node/demo/resolver.ts';

const file = (size: number, type = 'image/png') => ({
  path: '/a/b.png',
  size,
  type,
  tags: [],
  maxAgeS: 60,
});

describe('content of the demo origin', () => {
  it('has the size of its file and follows from path and version alone', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 100_000 }),
        fc.constantFrom('text/html', 'image/png'),
        (size, type) => {
          const body = bodyOf(file(size, type), 1);
          expect(body).toHaveLength(size);
          expect(body.equals(bodyOf(file(size, type), 1))).toBe(true);
        },
      ),
      { numRuns: 30 },
    );
  });

  it('differs between versions and paths, also in the smallest files', () => {
    expect(bodyOf(file(64), 1).equals(bodyOf(file(64), 2))).toBe(false);
    expect(bodyOf(file(64), 1).equals(bodyOf({ ...file(64), path: '/a/c.png' }, 1))).toBe(false);
  });

  it('text compresses, pictures do not repeat within a chunk', async () => {
    const { zstdCompressSync } = await import('node:zlib');
    expect(zstdCompressSync(bodyOf(file(16_000, 'text/html'), 1)).length).toBeLessThan(8_000);
    expect(zstdCompressSync(bodyOf(file(16_000), 1)).length).toBeGreaterThan(15_900);
  });

  it('entity tags name the version', () => {
    expect(versionOfEtag(etagOf('/a', 17))).toBe(17);
    expect(versionOfEtag(`W/${etagOf('/a', 3)}`)).toBe(3);
    for (const other of [undefined, '', '"x"', '"v-1-00000000"'])
      expect(versionOfEtag(other)).toBeUndefined();
  });

  it('knows what each version must hash to', () => {
    const expected = new ExpectedContent(new Map([['/a/b.png', file(500)]]));
    expect(expected.hash('/a/b.png', 2)).toBe(sha256(bodyOf(file(500), 2)));
    expect(expected.hash('/nowhere', 1)).toBeUndefined();
  });
});

describe('Cache-Status', () => {
  it.each([
    ['"us-east"; hit; ttl=30; detail=mirrored', { hit: true, detail: 'mirrored' }],
    ['us-east;fwd=uri-miss;stored;collapsed', { hit: false, fwd: 'uri-miss', collapsed: true }],
    ['"asia";hit, "us, \\"east; hit";fwd=miss', { hit: false, fwd: 'miss' }],
    ['"asia";fwd=miss, "us-east";hit;detail="client"', { hit: true, detail: 'client' }],
    [undefined, { hit: false }],
  ])('%s', (value, expected) => {
    expect(readCacheStatus(value)).toMatchObject(expected);
  });
});

describe('client networks', () => {
  it('cuts addresses at any bit', () => {
    expect(network('127.103.77.9', 24)).toBe('127.103.77.0');
    expect(network('127.103.77.9', 16)).toBe('127.103.0.0');
    expect(network('127.103.77.9', 18)).toBe('127.103.64.0');
    expect(network('127.103.77.9', 0)).toBe('0.0.0.0');
    expect(network('127.103.77.9', 32)).toBe('127.103.77.9');
  });
});
