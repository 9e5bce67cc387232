import { startEdge } from '../edge-under-test.ts';

/** The edge alone in a process of its own, for the bench: `node http-edge.ts ORIGIN` prints its port. */
const origin = process.argv[2];
if (origin === undefined) throw new Error('usage: http-edge.ts ORIGIN');
const under = await startEdge({ origin });
process.stdout.write(`${under.port}\n`);
process.on('SIGTERM', () => void under.close().then(() => process.exit(0)));
