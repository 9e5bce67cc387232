import type { AccuracyTally } from '../forecasting/accuracy.ts';
import type { MindPort } from '../forecasting/mind-thread.ts';
import { codeOf } from '../protocol/errors.ts';
import type { HistoryRow } from '../protocol/history.ts';
import type { Key16, PopId } from '../protocol/ids.ts';
import type { Log, Metrics, Table } from '../protocol/ports.ts';

/** Learned state is some MB: it is saved every so many epochs, and at the end. */
const SAVE_EVERY = 20;
const LEARNED_KEY = 'foresight';
const WINDOWS_KEY = 'windows';

export interface DemandArchiveDeps {
  readonly history: Table<HistoryRow[1]>;
  readonly learned: Table<unknown>;
  readonly accuracy: Table<AccuracyTally>;
  readonly log: Log;
  readonly metrics: Metrics;
}

/**
 * Demand history, tallies of accuracy and learned state on disk: one delta row a changed resource or tally a window,
 * the learned state less often.
 */
export class DemandArchive {
  readonly #deps: DemandArchiveDeps;
  #sinceWhole = 0;

  constructor(deps: DemandArchiveDeps) {
    this.#deps = deps;
  }

  /** Reads back what there is; what is damaged is counted and left out. */
  async restore(mind: MindPort): Promise<void> {
    const { history, learned, accuracy, log, metrics } = this.#deps;
    const rows: HistoryRow[] = [];
    for await (const [key, value] of history.entries()) rows.push([key as Key16, value]);
    const tallies: AccuracyTally[] = [];
    for await (const [, tally] of accuracy.entries()) tallies.push(tally);
    const windows = (await learned.get(WINDOWS_KEY)) as [PopId, number, number][] | undefined;
    const saved = await learned.get(LEARNED_KEY);
    const { refused, forgot } = await mind.restore({
      ...{ rows, windows: Array.isArray(windows) ? windows : [], accuracy: tallies, learned: saved },
    });
    if (refused > 0) metrics.count('errors_total', { code: 'STORE_CORRUPT' }, refused);
    if (forgot) {
      metrics.count('errors_total', { code: 'STORE_CORRUPT' });
      log.warn('learned state is not readable; learning starts afresh');
    }
    log.info('demand history restored', { resources: rows.length - refused, refused });
  }

  /** Writes what changed since the last time; with `whole`, and every so often, the learned state too. Never fails. */
  async save(mind: MindPort, whole = false): Promise<void> {
    const { history, learned, accuracy, log, metrics } = this.#deps;
    this.#sinceWhole += 1;
    try {
      const everything = whole || this.#sinceWhole >= SAVE_EVERY;
      const changes = await mind.changes(everything);
      await history.batch([
        ...changes.gone.map((key) => ({ type: 'del', key }) as const),
        ...changes.rows.map(([key, value]) => ({ type: 'put', key, value }) as const),
      ]);
      await accuracy.batch([
        ...changes.accuracy.gone.map((key) => ({ type: 'del', key }) as const),
        ...changes.accuracy.rows.map(([key, value]) => ({ type: 'put', key, value }) as const),
      ]);
      await learned.put(WINDOWS_KEY, changes.windows);
      if (changes.learned === undefined) return;
      await learned.put(LEARNED_KEY, changes.learned);
      this.#sinceWhole = 0;
    } catch (error) {
      metrics.count('errors_total', { code: codeOf(error) });
      log.warn('demand history was not saved', { code: codeOf(error) });
    }
  }
}
