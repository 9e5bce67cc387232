import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { MindHost } from '../actors/forecaster.ts';
import type { MindOptions } from '../forecasting/mind.ts';
import { startMind } from '../forecasting/mind-thread.ts';
import { codeOf, type PresageError } from '../protocol/errors.ts';
import { systemClock } from './adapters/clock.ts';
import { compose } from './compose.ts';
import type { Config, Explained } from './config.ts';
import { openLog } from './log.ts';
import { createMetrics } from './metrics.ts';
import { EventHub } from './rpc/events.ts';

/** Real ms after which a shutdown that hangs is ended all the same. */
const SHUTDOWN_MS = 25_000;

/** What may be put in place of the usual. */
export interface Parts {
  readonly startMind?: (options: MindOptions, events: EventHub) => MindHost;
}

/**
 * Runs a PoP until SIGTERM or SIGINT. When it is ready it prints one line on standard output:
 * `ready name=… id=… http=… dns=… rpc=… p2p=…`. A second signal ends it at once.
 */
export async function start(config: Config, explained: Explained, parts: Parts = {}): Promise<void> {
  const log = await openLog({ level: config.log.level, fields: { pop: config.name } });
  const metrics = createMetrics();
  const events = new EventHub(() => systemClock.now());
  const ended = Promise.withResolvers<number>();
  const failed = (error: PresageError) => {
    log.error('the actors have given up; the daemon ends so that it can be started anew', { error });
    ended.resolve(70);
  };
  const { daemon, doors, close } = await compose(config, {
    ...{ log, metrics, events, failed, explained },
    startMind: (options) => (parts.startMind ?? startMind)(options, events),
  });
  let signals = 0;
  const signalled = (signal: NodeJS.Signals) => {
    signals += 1;
    if (signals > 1) process.exit(1);
    log.info(`${signal}: closing`);
    ended.resolve(0);
  };
  // A promise that nobody awaited is a defect, but no reason to leave clients without a PoP.
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', (error) => {
    metrics.count('errors_total', { code: codeOf(error) });
    log.error('a failure that nobody handled', { error });
  });
  process.on('SIGTERM', signalled).on('SIGINT', signalled);
  const { identity, network } = daemon;
  const said: readonly (readonly [string, string | undefined])[] = [
    ['name', identity.name],
    ['id', identity.self],
    ['http', doors.http],
    ['dns', doors.dns],
    ['rpc', doors.rpc.url ?? doors.rpc.socket],
    ['p2p', network?.addresses().join(',')],
  ];
  giveBackMemory();
  process.stdout.write(
    `ready ${said.flatMap(([key, value]) => (value ? [`${key}=${value}`] : [])).join(' ')}\n`,
  );
  const tookMs = Math.round(performance.now());
  log.info('ready', { tookMs, peers: daemon.peers.connected().length });

  const code = await ended.promise;
  daemon.capacity.state = 'drain';
  setTimeout(() => process.exit(code === 0 ? 1 : code), SHUTDOWN_MS).unref();
  const clean = await close();
  log.info('closed', { clean });
  process.exit(clean ? code : code || 1);
}

/**
 * Starting up leaves some 20 MB of garbage, which V8 would keep until there is more: a PoP at rest would never give
 * it back. The collector that a new context shows once the flag is set is the only way to ask for it while running.
 */
function giveBackMemory(): void {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as (options: { type: 'major'; flavor: 'last-resort' }) => void;
  collect({ type: 'major', flavor: 'last-resort' });
}
