import { parseArgs } from 'node:util';

/** What every bench reports; `ratio` is ours to the peer's, measured in the same run. */
export interface BenchResult {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  readonly peer: number;
  readonly ratio: number;
  readonly runs: readonly number[];
}

interface BenchModule {
  run(options: { json: boolean }): Promise<BenchResult>;
}

/** The benches by name; each is loaded only when it is asked for. */
const BENCHES: Record<string, () => Promise<BenchModule>> = {
  dns: () => import('./dns.ts'),
  http: () => import('./http.ts'),
  replicate: () => import('./replicate.ts'),
  forecast: () => import('./forecast.ts'),
  ingest: () => import('./ingest.ts'),
  invalidate: () => import('./invalidate.ts'),
  plan: () => import('./plan.ts'),
  fronts: () => import('./fronts.ts'),
  agree: () => import('./agree.ts'),
  scale: () => import('./scale.ts'),
  'agreed-plan': () => import('./agreed-plan.ts'),
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false } },
});
const load = BENCHES[positionals[0] ?? ''];
if (!load) {
  process.stderr.write(
    `usage: npm run bench -- NAME [--json]\nNAME is one of ${Object.keys(BENCHES).join(', ')}\n`,
  );
  process.exit(2);
}
const result = await (await load()).run({ json: values.json });
if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`);
else {
  const { name, unit, ours, peer, ratio, runs } = result;
  process.stdout.write(
    `${name}: ${ours} ${unit} against ${peer}, ratio ${ratio.toFixed(2)} (runs: ${runs.join(', ')})\n`,
  );
}
