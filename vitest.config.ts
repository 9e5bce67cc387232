import { defineConfig } from 'vitest/config';

/** One project per kind of test; the kinds differ in how long a case may take and in how much may run at once. */
const project = (name: string, testTimeout: number, fileParallelism = true) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout,
    hookTimeout: testTimeout,
    fileParallelism,
    pool: 'forks' as const,
  },
});

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      project('unit', 10_000),
      project('property', 30_000),
      project('contract', 20_000),
      project('sim', 120_000),
      project('integration', 60_000),
      project('e2e', 180_000, false),
    ],
  },
});
