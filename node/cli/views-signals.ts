import type { AccuracyResult, Result, StatusResult } from '../rpc/methods.ts';
import { type Cell, decimal, instant, percent, printable, table } from './table.ts';

export const signalView = (s: Result<'signal'>): string =>
  `${printable(s.key)}: ${s.taken ? 'taken' : `not taken [${s.reason ?? ''}]`}`;

/** Workers and sources of signals, for `status`. */
export function feedRows({ forecasting: f, signals }: StatusResult): [string, Cell][] {
  return [
    [
      'forecasts',
      `${f.done} by ${f.running} of ${f.workers} workers, ${f.cheap} of them for want of time; ${f.pending} pending; ` +
        `network ${f.network}`,
    ],
    ...signals.map((s): [string, Cell] => [
      'signals',
      `${printable(s.source)}: ${s.state}, ${s.taken} taken, ${s.repeated} repeated, ${s.refused} refused` +
        (s.code === null ? '' : ` [${s.code}]`),
    ]),
  ];
}

/** What the network and each source of signals add, for `accuracy`. */
export function feedTables({ signals, network }: AccuracyResult): string[] {
  const tables: string[] = [];
  if (network.trainedAt !== null) {
    tables.push(
      `network of ${instant(network.trainedAt)}, tried on ${network.triedOn} series: error ` +
        `${decimal(network.errorWithout ?? 0)} of the mean without it, ${decimal(network.errorWith ?? 0)} with it`,
    );
  }
  if (signals.length > 0) {
    const titles = ['signals', '>judged', '>open', '>uplift', '>gain', '>trust'];
    tables.push(
      table(
        titles,
        signals.map((s) => [
          ...[printable(s.source), s.judged, s.open],
          ...[decimal(s.uplift), decimal(s.gain), percent(s.trust)],
        ]),
      ),
    );
  }
  return tables;
}
