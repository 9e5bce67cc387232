import type {
  AccuracyResult,
  ExplainResult,
  ForecastResult,
  PlanResult,
  Result,
  TrendingResult,
} from '../rpc/methods.ts';
import { bytes, decimal, fields, instant, percent, printable, span, table } from './table.ts';
import { feedTables } from './views-signals.ts';

/** What people see of the results about what is to come. */

export const trendingView = ({ resources }: TrendingResult): string =>
  resources.length === 0
    ? 'nothing rises'
    : table(
        ['resource', 'region', '>per min', '>usual', '>expected', 'since', 'noticed by', 'held'],
        resources.map((r) => [
          r.key,
          r.region,
          decimal(r.perMinute),
          decimal(r.usualPerMinute),
          decimal(r.expectedPerMinute),
          instant(r.since),
          r.noticedBy,
          r.held,
        ]),
      );

export function forecastView(f: ForecastResult): string {
  const parts = f.regions.map((region) => {
    const head =
      `${region.region}: ${region.class}, model ${region.model}, steps of ${span(region.stepMs)}` +
      `${region.error === null ? '' : `, error ${decimal(region.error)} MASE`}` +
      `${region.recent.length === 0 ? '' : `; came: ${region.recent.map(decimal).join(' ')}`}`;
    const rows = region.mean.map((mean, step) => [
      instant(region.start + step * region.stepMs),
      decimal(region.lower[step] ?? mean),
      decimal(mean),
      decimal(region.upper[step] ?? mean),
    ]);
    return `${printable(head)}\n${table(['from', '>lower', '>mean', '>upper'], rows)}`;
  });
  return [
    fields([
      ['resource', f.key],
      ['key16', f.key16],
    ]),
    ...parts,
  ].join('\n\n');
}

export function planView(p: PlanResult): string {
  const basis = p.state === 'agreed' ? 'from the agreed decision' : 'from this PoP’s own forecasts';
  const head = `epoch ${p.epoch}, ${basis}: ${p.resources} resources, ${bytes(p.bytes)}`;
  const rows = p.placements.map((r) => [
    r.key,
    decimal(r.expected),
    bytes(r.bytes),
    r.tier,
    decimal(r.value),
    r.targets
      .map((t) => (t.action === 'skipped' ? `${t.name} (skipped: ${t.code})` : `${t.name} (${t.action})`))
      .join(', '),
  ]);
  return `${head}\n${table(['resource', '>expected', '>size', 'tier', '>value', 'targets'], rows)}`;
}

export function explainView(e: ExplainResult): string {
  const steps = e.steps.map((step) => {
    const when = step.at === null ? '' : `, ${instant(step.at)}`;
    const code = step.code === null ? '' : ` [${step.code}]`;
    const facts = Object.entries(step.facts).map(([name, value]) => `    ${name}: ${value ?? '-'}`);
    return [`${step.step}${when}: ${step.verdict}${code}`, ...facts].map(printable).join('\n');
  });
  const head = fields([
    ['resource', e.key],
    ['key16', e.key16],
    ['here', e.here],
    ['because', e.answer],
  ]);
  return [head, ...steps].join('\n\n');
}

const proposersTable = ({ proposers }: AccuracyResult): string[] =>
  proposers.length === 0
    ? []
    : [
        table(
          ['proposer', '>weight', '>missed', 'peer id'],
          proposers.map((p) => [p.name, decimal(p.weight), p.missed, p.pop]),
        ),
      ];

const tuningsTable = ({ tunings }: AccuracyResult): string[] =>
  tunings.length === 0
    ? []
    : [
        table(
          [
            'site',
            'region',
            '>accuracy',
            '>threshold',
            '>safety',
            '>targets',
            '>fill',
            '>replan',
            '>used',
            '>unused',
          ],
          tunings.map((t) => [
            ...[
              t.site,
              t.region,
              percent(t.accuracy),
              decimal(t.threshold),
              decimal(t.safetyFactor),
              t.targets,
            ],
            ...[percent(t.fillShare), decimal(t.replanHeights), bytes(t.usedBytes), bytes(t.unusedBytes)],
          ]),
        ),
      ];

export function accuracyView(a: AccuracyResult): string {
  const { mirrored: m } = a;
  const part = (some: number, all: number) => (all === 0 ? '-' : percent(some / all));
  const head = fields([
    ['mirrored pairs', `${m.pairs}, used ${m.usedPairs} (${part(m.usedPairs, m.pairs)})`],
    ['mirrored bytes', `${bytes(m.bytes)}, used ${bytes(m.usedBytes)} (${part(m.usedBytes, m.bytes)})`],
    ['too young to judge', bytes(m.immatureBytes)],
    ['speculative pairs', `${m.speculativePairs}, used ${m.speculativeUsedPairs}`],
    ['safety factor', decimal(a.safetyFactor)],
    ['threshold', decimal(a.threshold)],
  ]);
  const decided = [...proposersTable(a), ...tuningsTable(a), ...feedTables(a)];
  if (a.forecasts.length === 0) return [head, ...decided, 'no forecast has come due yet'].join('\n\n');
  const share = (value: number | null) => (value === null ? '-' : percent(value));
  const rows = a.forecasts.flatMap((f) =>
    f.steps.map((s) => [
      f.proposer,
      f.model,
      f.class,
      f.region,
      s.step,
      s.samples,
      decimal(s.error),
      percent(s.wape),
      percent(s.bias),
      share(s.coverage),
      s.pinball === null ? '-' : decimal(s.pinball),
      decimal(f.weight),
    ]),
  );
  const titles = [
    'proposer',
    'model',
    'class',
    'region',
    'step',
    '>samples',
    '>MASE',
    '>wAPE',
    '>bias',
    '>coverage',
    '>pinball',
    '>weight',
  ];
  return [head, ...decided, table(titles, rows)].join('\n\n');
}

export const announceView = (a: Result<'announce'>): string =>
  `${printable(a.key)}: demand announced for ${instant(a.at)}`;
