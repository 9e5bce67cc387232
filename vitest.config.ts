import { defineConfig } from 'vitest/config';

/**
 * One project per kind of test; the kinds differ in how long a case may take. The deadlines are for a small machine
 * under load: they end what hangs, and what works is never near them.
 */
const project = (name: string, testTimeout: number) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout,
    hookTimeout: testTimeout,
    expect: { poll: { timeout: 20_000 } },
    pool: 'forks' as const,
  },
});

export default defineConfig({
  test: {
    // One more than the cores of a small machine: end-to-end tests wait more than they compute.
    maxWorkers: 3,
    projects: [
      project('unit', 30_000),
      project('property', 120_000),
      project('contract', 90_000),
      project('sim', 240_000),
      project('integration', 180_000),
      project('e2e', 300_000),
    ],
  },
});
