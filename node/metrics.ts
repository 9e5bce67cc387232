import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Labels, Metrics } from '../protocol/ports.ts';

/** Combinations of label values a name may have; what comes beyond is counted as `other`, so that no input from outside can grow memory. */
const SERIES_MAX = 256;
/** Longest label value; codes, regions and PoP names are shorter. */
const LABEL_LENGTH_MAX = 80;
/** Names in all; they stand in the code, so that more is a defect. */
const NAMES_MAX = 1000;

const PREFIX = 'presage_';
const OTHER = 'other';
const NAME = /^[a-z][a-z0-9_]*[a-z0-9]$/;

/** From a memory hit to a slow origin. */
const BUCKETS_SECONDS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

export interface MetricsRegistry extends Metrics {
  /** All metrics in the text format of Prometheus. */
  text(): Promise<string>;
  readonly contentType: string;
  /** Current value of a counter or gauge, for `presage status`; 0 where nothing was counted. */
  value(name: string, labels?: Labels): Promise<number>;
  /** Counts of `presage_errors_total` by code, highest first. */
  errors(): Promise<readonly { code: string; count: number }[]>;
}

interface Family {
  readonly kind: 'counter' | 'gauge' | 'histogram';
  readonly keys: readonly string[];
  readonly seen: Set<string>;
  readonly metric: Counter | Gauge | Histogram;
}

/**
 * The metrics port over prom-client. A name is registered when it is first used, with the label keys of that use;
 * a later use with other keys or another kind is dropped and counted, as is one beyond the bounds: metrics never throw.
 */
export function createMetrics(options: { process?: boolean } = {}): MetricsRegistry {
  const registry = new Registry();
  const families = new Map<string, Family>();
  if (options.process ?? true) collectDefaultMetrics({ register: registry, prefix: PREFIX });
  const refused = new Counter({
    name: `${PREFIX}metrics_refused_total`,
    help: 'Uses of a metric that contradict its first use.',
    registers: [registry],
  });

  const family = (kind: Family['kind'], given: string, labels: Labels): Family | undefined => {
    const name = given.startsWith(PREFIX) ? given : PREFIX + given;
    const known = families.get(name);
    if (known) return known.kind === kind ? known : undefined;
    const keys = Object.keys(labels);
    if (families.size >= NAMES_MAX || !NAME.test(name) || !keys.every((key) => NAME.test(key)))
      return undefined;
    const init = { name, help: helpOf(name), labelNames: keys, registers: [registry] };
    try {
      const metric =
        kind === 'counter'
          ? new Counter(init)
          : kind === 'gauge'
            ? new Gauge(init)
            : new Histogram({ ...init, buckets: BUCKETS_SECONDS });
      const made: Family = { kind, keys, seen: new Set(), metric };
      families.set(name, made);
      return made;
    } catch {
      // The name is one of the process metrics, or a label is reserved.
      return undefined;
    }
  };

  /** The labels to count under, or `undefined` where they do not fit the family. */
  const bounded = ({ keys, seen }: Family, labels: Labels): Record<string, string> | undefined => {
    if (Object.keys(labels).length !== keys.length || !keys.every((key) => Object.hasOwn(labels, key)))
      return undefined;
    const cut = Object.fromEntries(keys.map((key) => [key, String(labels[key]).slice(0, LABEL_LENGTH_MAX)]));
    const series = Object.values(cut).join('\u0000');
    if (seen.has(series)) return cut;
    if (seen.size >= SERIES_MAX) return Object.fromEntries(keys.map((key) => [key, OTHER]));
    seen.add(series);
    return cut;
  };

  const use = (
    kind: Family['kind'],
    name: string,
    labels: Labels,
    amount: number,
    apply: (metric: Family['metric'], cut: Record<string, string>) => void,
  ) => {
    const found = Number.isFinite(amount) ? family(kind, name, labels) : undefined;
    const cut = found && bounded(found, labels);
    if (found && cut) apply(found.metric, cut);
    else refused.inc();
  };

  return {
    contentType: registry.contentType,
    count: (name, labels = {}, by = 1) =>
      use('counter', name, labels, by >= 0 ? by : Number.NaN, (metric, cut) =>
        (metric as Counter).inc(cut, by),
      ),
    gauge: (name, value, labels = {}) =>
      use('gauge', name, labels, value, (metric, cut) => (metric as Gauge).set(cut, value)),
    observe: (name, seconds, labels = {}) =>
      use('histogram', name, labels, seconds, (metric, cut) => (metric as Histogram).observe(cut, seconds)),
    text: () => registry.metrics(),
    async value(name, labels = {}) {
      const metric = families.get(name.startsWith(PREFIX) ? name : PREFIX + name)?.metric;
      const values = (await metric?.get())?.values ?? [];
      const wanted = Object.entries(labels);
      return values
        .filter((entry) => wanted.every(([key, value]) => entry.labels[key] === value))
        .reduce((sum, entry) => sum + entry.value, 0);
    },
    async errors() {
      const values = (await families.get(`${PREFIX}errors_total`)?.metric.get())?.values ?? [];
      const byCode = new Map<string, number>();
      for (const { labels, value } of values) {
        const code = String(labels.code ?? OTHER);
        byCode.set(code, (byCode.get(code) ?? 0) + value);
      }
      return [...byCode].map(([code, count]) => ({ code, count })).sort((a, b) => b.count - a.count);
    },
  };
}

/** `presage_edge_hits_total` → `edge hits, total`: names are chosen to say it themselves. */
const helpOf = (name: string) =>
  name
    .slice(PREFIX.length)
    .replaceAll('_', ' ')
    .replace(/ (total|seconds|bytes)$/, ', $1');
