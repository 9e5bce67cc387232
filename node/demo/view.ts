import type { Report } from './report.ts';

/** What the live view shows at one moment. */
export interface Progress {
  /** What the demo is doing, in a few words. */
  readonly phase: string;
  /** Share of the load that has been played, 0 … 1. */
  readonly done: number;
  /** Unix ms of demand time; absent before the load begins. */
  readonly demandAt?: number;
  readonly pops: readonly PopProgress[];
  readonly originBytes: number;
}

export interface PopProgress {
  readonly name: string;
  readonly up: boolean;
  readonly requests: number;
  readonly hits: number;
  readonly mirrored: number;
  readonly mirroredBytes: number;
  readonly speculative: number;
}

/** Where the view is written: standard error, so that standard output holds the report alone. */
export interface Screen {
  write(text: string): void;
  readonly isTTY: boolean;
  readonly columns?: number;
}

const REDRAW_MS = 250;
const LINE_MS = 10_000;
const BAR_CELLS = 30;
/** Width of a terminal that does not tell its own. */
const COLUMNS = 120;

/** Draws the progress in place on a terminal, and as a line now and then elsewhere. */
export class View {
  readonly #screen: Screen;
  readonly #progress: () => Progress;
  readonly #began = Date.now();
  #timer: NodeJS.Timeout | undefined;
  #drawn = 0;
  #phase = '';

  constructor(dependencies: { readonly screen: Screen; readonly progress: () => Progress }) {
    this.#screen = dependencies.screen;
    this.#progress = dependencies.progress;
  }

  start(): void {
    this.#timer = setInterval(() => this.#draw(), this.#screen.isTTY ? REDRAW_MS : LINE_MS);
    this.#draw();
  }

  /** Says at once what begins now. */
  say(text: string): void {
    this.#erase();
    this.#screen.write(`${this.#clock()} ${text}\n`);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#erase();
  }

  #draw(): void {
    const progress = this.#progress();
    if (this.#screen.isTTY) {
      const lines = frame(progress).map((line) => line.slice(0, (this.#screen.columns || COLUMNS) - 1));
      this.#erase();
      this.#screen.write(`${lines.join('\n')}\n`);
      this.#drawn = lines.length;
    } else if (progress.phase !== this.#phase || progress.done > 0) {
      this.#phase = progress.phase;
      this.#screen.write(`${this.#clock()} ${line(progress)}\n`);
    }
  }

  #erase(): void {
    if (this.#drawn > 0) this.#screen.write(`\x1b[${this.#drawn}A\x1b[J`);
    this.#drawn = 0;
  }

  #clock(): string {
    const seconds = Math.round((Date.now() - this.#began) / 1000);
    return `${String(Math.floor(seconds / 60)).padStart(2)}:${String(seconds % 60).padStart(2, '0')}`;
  }
}

/** The picture on a terminal: a bar, then a row for each PoP. */
export function frame(progress: Progress): string[] {
  const filled = Math.round(Math.min(1, progress.done) * BAR_CELLS);
  const demand =
    progress.demandAt === undefined
      ? ''
      : `  demand clock ${new Date(progress.demandAt).toISOString().slice(0, 16)}`;
  return [
    `${progress.phase}  [${'='.repeat(filled)}${' '.repeat(BAR_CELLS - filled)}]${demand}`,
    `${'PoP'.padEnd(14)}${'requests'.padStart(10)}${'hits'.padStart(8)}${'mirrored'.padStart(10)}${'speculative'.padStart(16)}${'MB'.padStart(8)}`,
    ...progress.pops.map(
      (pop) =>
        `${(pop.up ? pop.name : `${pop.name} down`).padEnd(14)}${String(pop.requests).padStart(10)}${hitShare(pop).padStart(8)}${String(pop.mirrored).padStart(10)}${String(pop.speculative).padStart(16)}${megabytes(pop.mirroredBytes).padStart(8)}`,
    ),
    `origin sent ${megabytes(progress.originBytes)} MB`,
  ];
}

/** The same on one line, for logs. */
export function line(progress: Progress): string {
  const total = progress.pops.reduce(
    (sum, pop) => ({
      requests: sum.requests + pop.requests,
      hits: sum.hits + pop.hits,
      mirrored: sum.mirrored + pop.mirrored,
    }),
    { requests: 0, hits: 0, mirrored: 0 },
  );
  return `${progress.phase}: ${Math.round(100 * progress.done)} %, ${total.requests} requests, ${hitShare(total)} hits, ${total.mirrored} mirrored, origin ${megabytes(progress.originBytes)} MB`;
}

const hitShare = ({ requests, hits }: { requests: number; hits: number }): string =>
  requests === 0 ? '-' : `${((100 * hits) / requests).toFixed(1)} %`;
const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;

const listed = (counts: Readonly<Record<string, number>>): string =>
  Object.entries(counts)
    .map(([what, count]) => `${count} ${what}`)
    .join(', ') || 'none heard';

/** The report as text. */
export function text(report: Report): string {
  const { baselines, mirrored, firstByteMs: times, duplicateMirrors: duplicates } = report;
  const unused = report.mirroredBytes === 0 ? 0 : report.unusedMirroredBytes / report.mirroredBytes;
  const rule = (outcome: Report['baselines']['threshold']) =>
    `${outcome.pairs} pairs, ${megabytes(outcome.unusedBytes)} of ${megabytes(outcome.mirroredBytes)} MB unused (k = ${outcome.k}${outcome.sizeLimit === undefined ? '' : `, up to ${outcome.sizeLimit} bytes`})`;
  const skipped = Object.entries(report.skippedLines).map(([reason, count]) => `${count} ${reason}`);
  return [
    `Presage demo: ${report.description}`,
    `${report.pops} PoPs, seed ${report.seed}, ${report.demandHours} h of demand at ${report.speed} times real time, ${report.realSeconds} s in all, ${report.epochs} epochs of ${report.epochMs} ms`,
    ...(skipped.length === 0 ? [] : [`Left out of the log: ${skipped.join(', ')}`]),
    '',
    `Requests                 ${report.requests} (${report.failedRequests} failed), ${megabytes(report.bytesServed)} MB`,
    `Pairs (resource, PoP)    ${report.pairsRequested} asked for`,
    `Mirrored before the first request`,
    `  Presage                ${report.mirroredBeforeFirstRequest} pairs, ${megabytes(report.unusedMirroredBytes)} of ${megabytes(report.mirroredBytes)} MB unused (${percent(unused)}; ${megabytes(mirrored.all.unjudgedBytes)} MB of it pulled too late to be judged), ${report.pairsPerMirroredMB} pairs a MB`,
    `    by plan              ${mirrored.plan.beforeFirstRequest} pairs, ${megabytes(mirrored.plan.unusedBytes)} of ${megabytes(mirrored.plan.bytes)} MB unused`,
    `    speculatively        ${mirrored.speculative.beforeFirstRequest} pairs, ${megabytes(mirrored.speculative.unusedBytes)} of ${megabytes(mirrored.speculative.bytes)} MB unused (${report.rising.reports} reports of rising resources: ${listed(report.rising.verdicts)})`,
    `  best rule "after k"    ${rule(baselines.threshold)}`,
    `  with a size limit      ${rule(baselines.thresholdSizeLimited)}`,
    `  (both rules chosen in hindsight on the same requests, at no more mirrored bytes, acting at once)`,
    `Held as home             ${report.homeBeforeFirstRequest} pairs whose first request found what the PoP had fetched for another one`,
    `Hit ratio                ${percent(report.hitRatio)}; caches that only react ${percent(report.reactiveHitRatio)}`,
    `Origin                   ${megabytes(report.originBytes)} MB in ${report.originRequests} requests; reacting ${megabytes(baselines.reactive.originBytes)} MB, with peers ${megabytes(baselines.reactive.originBytesWithPeers)} MB`,
    `Between PoPs             ${report.peerBytes === null ? 'not known' : `${megabytes(report.peerBytes)} MB`}`,
    `First byte, ms           mean ${times.all.mean}, p50 ${times.all.p50}, p95 ${times.all.p95}, p99 ${times.all.p99}; hits mean ${times.hits.mean}, misses mean ${times.misses.mean}`,
    `Purge                    ${report.purgeMs === null ? 'not acknowledged by all' : `${report.purgeMs} ms until all PoPs had acknowledged`}`,
    `Decisions                ${report.decisionsNote}`,
    `Done twice               ${duplicates.pulls} pulls for a demand that another PoP had pulled for (${megabytes(duplicates.bytes)} MB, ${duplicates.sameEpoch} in the same epoch); ${report.originRepeats.requests} bodies that the origin had sent before (${megabytes(report.originRepeats.bytes)} MB); ${report.seriesForecastPerEpoch} series forecast an epoch by all together`,
    `Distortion               ${report.distortion.note} Requests were sent ${report.distortion.lateMeanMs} ms late on average, ${report.distortion.lateMostMs} at most.`,
    '',
    'Promises',
    ...report.promises.map(
      ({ name, held, why }) => `  ${held ? 'held  ' : 'BROKEN'} ${name}\n         ${why}`,
    ),
  ].join('\n');
}
