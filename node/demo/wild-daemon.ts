import { startThread } from '../../forecasting/endpoint.ts';
import { explainConfig } from '../config.ts';
import { start } from '../start.ts';
import type { WildMind } from './wild-mind-worker.ts';

/**
 * A PoP of the demo that lies: a daemon like any other, but for a mind that proposes nonsense. Its argument is the
 * configuration file. How far its word got it tells as `wild` events.
 */

const HEAP_MB = 1_024;
const LOOK_MS = 500;

const explained = explainConfig({ file: process.argv[2], env: process.env });
await start(explained.config, explained, {
  startMind(options, events) {
    // The name is taken from where the usual minds are.
    const thread = startThread<WildMind>('../node/demo/wild-mind-worker', { heapMb: HEAP_MB, data: options });
    let told = 0;
    const tell = async () => {
      const account = await thread.remote.lies();
      if (account.heights > told) events.publish('wild', { ...account });
      told = account.heights;
    };
    const timer = setInterval(() => void tell().catch(() => undefined), LOOK_MS);
    const end = () => clearInterval(timer);
    thread.died.catch(end);
    return thread;
  },
});
