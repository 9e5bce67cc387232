import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';

/** Ports that the system gives to outgoing connections start here: one of those may be taken between look and use. */
function firstEphemeral(): number {
  try {
    return Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/)[0]);
  } catch {
    return 32_768;
  }
}

/** A TCP port that nothing uses now and that the system gives to nobody by itself, so that it can be taken again. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const [low, high] = [10_000, Math.max(12_000, Math.min(firstEphemeral(), 60_000))];
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = low + Math.floor(Math.random() * (high - low));
    if (await isFree(host, port)) return port;
  }
  throw new Error(`no port is free on ${host}`);
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, host, () => server.close(() => resolve(true)));
  });
}
