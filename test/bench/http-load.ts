import { execFile } from 'node:child_process';
import { request as plain } from 'node:http';
import { request as secure } from 'node:https';
import { promisify } from 'node:util';
import { pinned, type Served } from './http-servers.ts';
import { cpuSeconds, residentMiB } from './processes.ts';

const SECONDS = 2;
/** Connections of wrk, one request under way on each. */
export const CONNECTIONS = 64;
/** HTTP/2 connections of h2load, and the streams on each. */
const H2_CONNECTIONS = 16;
const H2_STREAMS = 4;

const execute = promisify(execFile);

/** What one run of a load brought. */
export interface Loaded {
  readonly requests: number;
  /** Requests a second. */
  readonly rate: number;
  /** The same for a second of the server's own processor time: what other work on the machine disturbs less. */
  readonly ratePerCpu: number;
  /** Where the tool tells it. */
  readonly p99Ms: number | undefined;
  readonly rssMiB: number;
}

/** Requests by wrk over HTTP/1.1; `script` is a file that chooses them. */
export function byWrk(
  server: Served,
  path: string,
  headers: readonly string[] = [],
  script?: string,
): Promise<Loaded> {
  return loaded(server, async () => {
    const fields = headers.flatMap((header) => ['-H', header]);
    const limits = ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '--latency', '--timeout', '30s'];
    const scripted = script === undefined ? [] : ['-s', script];
    const stdout = await run(['wrk', ...limits, ...fields, ...scripted, `${server.url}${path}`]);
    const errors = /Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)/.exec(stdout);
    if (errors) throw new Error(`wrk reports ${errors[0]}`);
    const latency = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout);
    const scale = { us: 0.001, ms: 1, s: 1000 }[latency?.[2] ?? 'ms'] ?? 1;
    return {
      requests: Number(/(\d+) requests in/.exec(stdout)?.[1]),
      rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]),
      p99Ms: Number(latency?.[1]) * scale,
    };
  });
}

/** Requests by h2load over HTTP/2 and TLS. */
export function byH2load(server: Served, path: string): Promise<Loaded> {
  return loaded(server, async () => {
    const limits = ['-t1', `-c${H2_CONNECTIONS}`, `-m${H2_STREAMS}`, `-D${SECONDS}`];
    const stdout = await run(['h2load', ...limits, `${server.url}${path}`]);
    const counted = /(\d+) succeeded, (\d+) failed, (\d+) errored/.exec(stdout);
    if (!/Application protocol: h2/.test(stdout) || counted?.[2] !== '0' || counted[3] !== '0')
      throw new Error(`h2load reports ${stdout}`);
    return {
      requests: Number(counted[1]),
      rate: Number(/, ([\d.]+) req\/s/.exec(stdout)?.[1]),
      p99Ms: undefined,
    };
  });
}

async function loaded(
  server: Served,
  load: () => Promise<Pick<Loaded, 'requests' | 'rate' | 'p99Ms'>>,
): Promise<Loaded> {
  const { pid } = server.process;
  const before = await cpuSeconds(pid);
  const outcome = await load();
  const ratePerCpu = outcome.requests / ((await cpuSeconds(pid)) - before);
  return { ...outcome, ratePerCpu, rssMiB: await residentMiB(pid) };
}

async function run(command: readonly string[]): Promise<string> {
  const [file = '', ...args] = pinned(command, 1);
  return (await execute(file, args)).stdout;
}

/** One request, on a connection of its own: the length of its body, or nothing if it failed. */
function lengthOf(url: string): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  const request = url.startsWith('https:') ? secure : plain;
  request(url, { agent: false, rejectUnauthorized: false }, (response) => {
    let length = 0;
    response.on('data', (part: Buffer) => {
      length += part.length;
    });
    response.on('end', () => resolve(response.statusCode === 200 ? length : undefined));
    response.on('error', () => resolve(undefined));
  })
    .on('error', () => resolve(undefined))
    .end();
  return promise;
}

/** Asks until the answer is whole and has had time to be stored. */
export async function warm(url: string, bytes: number): Promise<void> {
  let right = 0;
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if ((await lengthOf(url)) === bytes) right += 1;
    if (right > 5) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} does not answer`);
}
