import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer, connect as tlsConnect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import type { PopId } from '../../protocol/ids.ts';
import { CHUNK_BYTES } from '../../protocol/ports.ts';
import { createOperator, newKey, type Operator, startPop, until } from '../integration/network/cluster.ts';

/**
 * Replication over one connection between two processes on loopback: chunk calls through admission, TLS, yamux and
 * a lane, a window of them outstanding, against a plain TLS socket (node:tls, AES-256-GCM like libp2p's) that
 * streams the same bytes. MB are 10⁶ bytes. Nothing is hashed or stored on either side.
 */

const RUN_BYTES = 256 << 20;
const RUNS = 5;
const WINDOW = 8;
/** Long enough that neither side is still being compiled. */
const WARM_UP_BYTES = 64 << 20;
const CIPHER = 'PSK-AES256-GCM-SHA384';
const PSK = { identity: 'bench', psk: Buffer.alloc(32, 7) };

/** What the parent tells the serving process. */
interface Start {
  readonly operatorKey: string;
}
/** What it answers. */
interface Started {
  readonly address: string;
  readonly pop: PopId;
  readonly tlsPort: number;
}

export async function run(_options: { json: boolean }) {
  const operator = createOperator('bench');
  const server = fork(fileURLToPath(import.meta.url), ['serve'], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  try {
    const pem = operator.key.export({ format: 'pem', type: 'pkcs8' }).toString();
    server.send({ operatorKey: pem } satisfies Start);
    const { address, pop, tlsPort } = await answer(server);
    const client = await startPop(operator, { bootstrap: [address] });
    await until('connected', () => client.peers.connected().includes(pop));
    const pull = async (bytes: number, window = WINDOW) => {
      let left = Math.ceil(bytes / CHUNK_BYTES);
      let received = 0;
      await Promise.all(
        Array.from({ length: window }, async () => {
          while (left > 0) {
            left -= 1;
            const reply = await client.streams.call(pop, 'chunk', new Uint8Array(64), { deadlineMs: 10_000 });
            received += reply.length;
          }
        }),
      );
      return received;
    };
    const stream = (bytes: number) => readTls(tlsPort, bytes);
    await pull(WARM_UP_BYTES);
    await stream(WARM_UP_BYTES);
    const ours: number[] = [];
    const peer: number[] = [];
    for (let i = 0; i < RUNS; i += 1) {
      ours.push(await rate(pull));
      peer.push(await rate(stream));
    }
    const cpu = async (transfer: (bytes: number) => Promise<number>) => {
      const before = [process.cpuUsage(), await childCpu(server)] as const;
      await transfer(RUN_BYTES);
      const own = process.cpuUsage(before[0]);
      const theirs = (await childCpu(server)) - before[1];
      const perGB = (us: number) => Math.round(us / 1000 / (RUN_BYTES / 1e9));
      return { receiver: perGB(own.user + own.system), sender: perGB(theirs) };
    };
    const cpuMsPerGB = { ours: await cpu(pull), peer: await cpu(stream) };
    const single = await rate((bytes) => pull(bytes, 1), RUN_BYTES / 8);
    await client.close();
    return {
      name: 'replicate',
      unit: 'MB/s',
      ours: median(ours),
      peer: median(peer),
      ratio: median(ours) / median(peer),
      runs: ours,
      peerRuns: peer,
      chunkBytes: CHUNK_BYTES,
      window: WINDOW,
      oneOutstanding: single,
      cpuMsPerGB,
    };
  } finally {
    server.send('stop');
    server.unref();
  }
}

/** MB a second of a transfer. */
async function rate(transfer: (bytes: number) => Promise<number>, bytes = RUN_BYTES): Promise<number> {
  const began = performance.now();
  const received = await transfer(bytes);
  return Math.round(received / 1000 / (performance.now() - began));
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

function answer(child: ChildProcess): Promise<Started> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as Started));
    child.once('exit', (code) => reject(new Error(`the serving process ended with ${code}`)));
  });
}

/** Microseconds of CPU that the serving process has used. */
function childCpu(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('message', (message) => resolve(message as number));
    child.send('cpu');
  });
}

function readTls(port: number, bytes: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({
      port,
      host: '127.0.0.1',
      ciphers: CIPHER,
      maxVersion: 'TLSv1.2',
      checkServerIdentity: () => undefined,
      pskCallback: () => PSK,
    });
    let received = 0;
    socket.on('secureConnect', () => socket.write(`${bytes}\n`));
    socket.on('data', (data) => {
      received += data.length;
    });
    socket.on('end', () => resolve(received));
    socket.on('error', reject);
  });
}

async function serve(start: Start): Promise<void> {
  const { createPrivateKey } = await import('node:crypto');
  const { genesisOf } = await import('../../protocol/genesis.ts');
  const { rawPublicKey } = await import('../../protocol/pop-key.ts');
  const key = createPrivateKey(start.operatorKey);
  const cluster = { operatorKey: rawPublicKey(key), name: 'bench', generation: 1 };
  const operator: Operator = { key, cluster, genesis: genesisOf(cluster) };
  const pop = await startPop(operator, { privateKey: newKey() });
  const chunk = new Uint8Array(randomBytes(CHUNK_BYTES));
  pop.streams.handle('chunk', async () => chunk);
  const server = createServer(
    { ciphers: CIPHER, maxVersion: 'TLSv1.2', pskCallback: () => PSK.psk },
    (socket) => {
      socket.once('data', (asked) => {
        let left = Number(asked.toString());
        const write = () => {
          while (left > 0) {
            left -= chunk.length;
            if (!socket.write(chunk)) {
              socket.once('drain', write);
              return;
            }
          }
          socket.end();
        };
        write();
      });
      socket.on('error', () => socket.destroy());
    },
  );
  server.listen(0, '127.0.0.1', () => {
    const bound = server.address();
    const tlsPort = typeof bound === 'object' && bound ? bound.port : 0;
    process.send?.({ address: pop.addresses()[0] ?? '', pop: pop.self, tlsPort } satisfies Started);
  });
}

if (process.argv[2] === 'serve' && process.send) {
  process.on('message', (message) => {
    if (message === 'stop') process.exit(0);
    if (message === 'cpu') {
      const { user, system } = process.cpuUsage();
      process.send?.(user + system);
      return;
    }
    void serve(message as Start);
  });
  process.on('disconnect', () => process.exit(0));
}
