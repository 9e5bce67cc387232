import type { Pop } from './pop.ts';

/** A metric's values by label, summed over the PoPs; `null` if one of them does not say. */
async function sumOf(pops: readonly Pop[], metric: string): Promise<ReadonlyMap<string, number> | null> {
  const sum = new Map<string, number>();
  try {
    for (const values of await Promise.all(pops.map((pop) => pop.metric(metric)))) {
      for (const [labels, value] of values) sum.set(labels, (sum.get(labels) ?? 0) + value);
    }
    return sum;
  } catch {
    return null;
  }
}

/** Bytes of content that the PoPs took from each other so far. */
export async function peerBytes(pops: readonly Pop[]): Promise<number | null> {
  const bySource = await sumOf(pops, 'presage_pulled_bytes_total');
  return bySource === null ? null : [...bySource.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/** What became of the reports of rising resources, by verdict. */
export async function risingVerdicts(pops: readonly Pop[]): Promise<Record<string, number>> {
  const verdicts = (await sumOf(pops, 'presage_rising_verdicts_total')) ?? new Map<string, number>();
  const nameOf = (labels: string) => /verdict="([a-z-]+)"/.exec(labels)?.[1] ?? 'other';
  return Object.fromEntries([...verdicts].map(([labels, count]) => [nameOf(labels), count]));
}
