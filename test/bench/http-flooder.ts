import { connect } from 'node:net';
import { seededRandom } from '../../protocol/random.ts';
import { httpGarbage } from '../http-garbage.ts';

/**
 * Sends malformed requests to a port of this machine, each on a connection of its own, so many a second for so many
 * seconds, and prints how many. `http-flooder.ts PORT PER_SECOND SECONDS`
 */
const [port = 0, perSecond = 0, seconds = 0] = process.argv.slice(2).map(Number);
const BATCH_MS = 10;
const VARIETY = 1_024;
/** Connections at a time; the edge answers most at once, and some wait for the rest of what will not come. */
const OPEN_MAX = 512;
/** How long such a one is left waiting, ms. */
const HANG_UP_MS = 200;

const kinds = httpGarbage(seededRandom(9));
const flood = Array.from({ length: VARIETY }, (_, i) => kinds[i % kinds.length]!());

const startedAt = performance.now();
let sent = 0;
let open = 0;
const timer = setInterval(() => {
  const elapsed = (performance.now() - startedAt) / 1000;
  if (elapsed >= seconds) {
    clearInterval(timer);
    process.stdout.write(`${sent}\n`);
    return;
  }
  // What could not be sent in time is not sent at once, or the flood would come in waves.
  const due = Math.min(elapsed * perSecond - sent, (perSecond * 5 * BATCH_MS) / 1000, OPEN_MAX - open);
  for (let i = 0; i < due; i += 1) tell(flood[sent % VARIETY]!);
}, BATCH_MS);

function tell(bytes: Buffer): void {
  sent += 1;
  open += 1;
  const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
  socket.setTimeout(HANG_UP_MS, () => socket.destroy());
  socket.on('error', () => undefined);
  socket.resume();
  socket.on('close', () => {
    open -= 1;
  });
}
