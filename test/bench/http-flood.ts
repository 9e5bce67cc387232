import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Expected, verify } from './http-clients.ts';
import { say } from './processes.ts';

const SECONDS = 3;
const MALFORMED_PER_SECOND = 1_000;
/** As the bench's origin has them. */
const resources: readonly Expected[] = [1024, 10 * 1024].map((bytes) => ({
  path: `/${bytes}`,
  body: Buffer.alloc(bytes, 'presage '),
}));
const run = promisify(execFile);

/**
 * Real clients that verify every answer of the edge, in peace and under a flood of malformed requests; answers a second
 * each. The clients share the flood's core.
 */
export async function underFlood(url: string): Promise<Record<string, number>> {
  const port = Number(new URL(url).port);
  const peace = await verify(port, resources, SECONDS);
  const flooder = fileURLToPath(new URL('./http-flooder.ts', import.meta.url));
  const command = [process.execPath, flooder, `${port}`, `${MALFORMED_PER_SECOND}`, `${SECONDS + 1}`];
  const whole = availableParallelism() > 1 ? ['taskset', '-c', '1', ...command] : command;
  const flooding = run(whole[0]!, whole.slice(1));
  await new Promise((resolve) => setTimeout(resolve, 500));
  const flooded = await verify(port, resources, SECONDS);
  const malformed = Number((await flooding).stdout);
  say(
    `under ${malformed} malformed requests: ${flooded.right} right, ${flooded.wrong} wrong, ${flooded.lost} lost`,
  );
  return {
    malformedPerSecond: Math.round(malformed / (SECONDS + 1)),
    clientsPerSecond: Math.round(flooded.right / SECONDS),
    clientsPerSecondInPeace: Math.round(peace.right / SECONDS),
    ratio: Math.round((100 * flooded.right) / Math.max(1, peace.right)) / 100,
    wrong: flooded.wrong + peace.wrong,
    lost: flooded.lost + peace.lost,
  };
}
