import type { Clock, Log } from '../protocol/ports.ts';

/** One step of closing, with the longest it may take, real ms. */
export interface ShutdownPhase {
  readonly name: string;
  readonly deadlineMs: number;
  run(): Promise<void> | void;
}

/**
 * Closes in order: intake first, the database last. A phase that fails or is late is logged and passed over, so
 * that what stands behind it is closed all the same. Runs once, however often it is called.
 */
export function shutdown(
  phases: readonly ShutdownPhase[],
  deps: { clock: Clock; log: Log },
): () => Promise<boolean> {
  let running: Promise<boolean> | undefined;
  const close = async () => {
    let clean = true;
    for (const phase of phases) {
      const startedAt = deps.clock.monotonic();
      const outcome = await within(phase, deps.clock);
      const tookMs = Math.round(deps.clock.monotonic() - startedAt);
      if (outcome === 'done') deps.log.debug(`closed: ${phase.name}`, { tookMs });
      else {
        clean = false;
        deps.log.warn(`not closed cleanly: ${phase.name}`, { tookMs, reason: outcome });
      }
    }
    return clean;
  };
  return () => {
    running ??= close();
    return running;
  };
}

async function within(phase: ShutdownPhase, clock: Clock): Promise<string> {
  let cancel: () => void = () => undefined;
  const late = new Promise<string>((resolve) => {
    cancel = clock.after(phase.deadlineMs, () => resolve(`not within ${phase.deadlineMs} ms`));
  });
  const work = (async () => {
    await phase.run();
    return 'done';
  })().catch((error: unknown) => String(error));
  const outcome = await Promise.race([work, late]);
  cancel();
  return outcome;
}
