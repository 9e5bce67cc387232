import { spawn } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-dev-shm-usage',
  '--remote-debugging-port=0',
];

export interface Browser {
  /** Loads a page and gives the value that an expression has there, promises awaited. */
  evaluate(url: string, expression: string): Promise<unknown>;
  close(): Promise<void>;
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: unknown;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

/** A headless Chromium with a fresh profile that trusts one certificate, driven by its DevTools protocol. */
export async function startChromium(certificate: string): Promise<Browser> {
  const key = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' });
  // With a certificate that is merely not checked it would keep no answers.
  const trust = `--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`;
  const profile = await mkdtemp(join(tmpdir(), 'presage-chromium-'));
  const child = spawn('chromium', [...FLAGS, trust, `--user-data-dir=${profile}`, 'about:blank'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'exit');
  let address: string | undefined;
  for await (const line of createInterface({ input: child.stderr })) {
    address = /DevTools listening on (ws:\S+)/.exec(line)?.[1];
    if (address !== undefined) break;
  }
  child.stderr.resume();
  if (address === undefined) throw new Error('Chromium did not start');
  const socket = new WebSocket(address);
  const waiting = new Map<number, (message: Message) => void>();
  const loaded = new Set<() => void>();
  let lastId = 0;
  socket.addEventListener('message', ({ data }) => {
    const message = JSON.parse(String(data)) as Message;
    if (message.id !== undefined) waiting.get(message.id)?.(message);
    else if (message.method === 'Page.loadEventFired') for (const done of loaded) done();
  });
  await new Promise((resolve) => socket.addEventListener('open', resolve, { once: true }));
  const call = async (method: string, params: object = {}, sessionId?: string) => {
    const id = ++lastId;
    const answered = new Promise<Message>((resolve) => waiting.set(id, resolve));
    socket.send(JSON.stringify({ id, method, params, ...(sessionId && { sessionId }) }));
    const { result, error } = await answered;
    waiting.delete(id);
    if (error) throw new Error(`${method}: ${error.message}`);
    return result ?? {};
  };
  const { targetId } = await call('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await call('Target.attachToTarget', { targetId, flatten: true });
  const page = (method: string, params: object = {}) => call(method, params, String(sessionId));
  await page('Page.enable');
  return {
    evaluate: async (url, expression) => {
      const done = new Promise<void>((resolve) => loaded.add(resolve));
      const { errorText } = await page('Page.navigate', { url });
      if (errorText !== undefined) throw new Error(`${url}: ${errorText}`);
      await done;
      loaded.clear();
      const options = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await page('Runtime.evaluate', options);
      if (exceptionDetails) throw new Error(JSON.stringify(exceptionDetails));
      return (result as { value: unknown }).value;
    },
    close: async () => {
      socket.close();
      child.kill();
      await ended;
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
