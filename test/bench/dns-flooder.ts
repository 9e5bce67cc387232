import { createSocket } from 'node:dgram';
import * as packets from 'dns-packet';
import { seededRandom } from '../../protocol/random.ts';

/**
 * Sends malformed packets to a port of this machine, so many a second for so many seconds, and prints how many: noise,
 * queries cut short, queries with bytes changed, lengths and counts that lie, pointers, answers in place of questions.
 */
const [port = 0, perSecond = 0, seconds = 0] = process.argv.slice(2).map(Number);
const BATCH_MS = 10;
const VARIETY = 4_096;

const random = seededRandom(9);
const good = packets.encode({
  type: 'query',
  questions: [{ type: 'A', name: 'www.cdn.example' }],
  additionals: [{ type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [] } as never],
});
const noise = (length: number) => Buffer.from(Array.from({ length }, () => random.uint32() & 255));
const damaged: readonly (() => Buffer)[] = [
  () => noise(random.uint32() % 300),
  () => Buffer.concat([good.subarray(0, 12), noise(random.uint32() % 200)]),
  () => good.subarray(0, random.uint32() % good.length),
  () => {
    const bytes = Buffer.from(good);
    for (let i = 0; i < 4; i += 1) bytes[random.uint32() % bytes.length] = random.uint32() & 255;
    return bytes;
  },
  () => {
    const bytes = Buffer.from(good);
    bytes.writeUInt16BE(random.uint32() & 0xffff, 4 + 2 * (random.uint32() % 4));
    return bytes;
  },
  () => Buffer.concat([good.subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])]),
  () => {
    const bytes = Buffer.from(good);
    bytes[2]! |= 0x80;
    return bytes;
  },
];
const flood = Array.from({ length: VARIETY }, (_, i) => damaged[i % damaged.length]!());

const socket = createSocket({ type: 'udp4', lookup: (host, _options, found) => found(null, host, 4) });
const startedAt = performance.now();
let sent = 0;
const timer = setInterval(() => {
  const elapsed = (performance.now() - startedAt) / 1000;
  if (elapsed >= seconds) {
    clearInterval(timer);
    socket.close();
    process.stdout.write(`${sent}\n`);
    return;
  }
  // What could not be sent in time is not sent at once, or the flood would come in waves.
  const due = Math.min(elapsed * perSecond - sent, (perSecond * 5 * BATCH_MS) / 1000);
  for (let i = 0; i < due; i += 1) {
    socket.send(flood[sent % VARIETY]!, port, '127.0.0.1');
    sent += 1;
  }
}, BATCH_MS);
