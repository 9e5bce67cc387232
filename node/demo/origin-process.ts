import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { PresageError } from '../../protocol/errors.ts';
import { seededRandom } from '../../protocol/random.ts';
import type { DemoFile } from './content.ts';
import { NO_REQUESTS, Origin, type OriginCounts, type OriginPace } from './origin.ts';

/** The origin as a process of its own, so that its work is not the clients'. Parent and child speak over fork's IPC. */
interface Setup {
  readonly kind: 'setup';
  readonly host: string;
  readonly seed: number;
  readonly pace: OriginPace;
  readonly files: readonly DemoFile[];
}
type Request = Setup | { readonly kind: 'change'; readonly path: string } | { readonly kind: 'counts' };
type Reply =
  | { readonly kind: 'port'; readonly port: number }
  | { readonly kind: 'version'; readonly version: number | null }
  | { readonly kind: 'counts'; readonly counts: OriginCounts };

const REPLY_DEADLINE_MS = 20_000;

/** The parent's side of the origin. Calls are answered in order. */
export class OriginProcess {
  readonly #child: ChildProcess;
  readonly #waiting: { resolve: (reply: Reply) => void; reject: (error: Error) => void }[] = [];
  #port = 0;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.on('message', (reply) => this.#waiting.shift()?.resolve(reply as Reply));
    child.on('exit', (code, signal) => {
      const error = new PresageError('ORIGIN_UNREACHABLE', `the demo's origin ended (${signal ?? code})`);
      for (const waiting of this.#waiting.splice(0)) waiting.reject(error);
    });
  }

  /** Forks the process and waits until it listens on `host`. */
  static async start(setup: Omit<Setup, 'kind'>): Promise<OriginProcess> {
    const self = fileURLToPath(import.meta.url);
    const child = fork(self, [], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    const origin = new OriginProcess(child);
    try {
      const reply = await origin.#call({ kind: 'setup', ...setup });
      if (reply.kind === 'port') origin.#port = reply.port;
      return origin;
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  get port(): number {
    return this.#port;
  }

  /** Gives a file new bytes; its new version. Fails with `RESOURCE_UNKNOWN`. */
  async change(path: string): Promise<number> {
    const reply = await this.#call({ kind: 'change', path });
    if (reply.kind !== 'version' || reply.version === null) {
      throw new PresageError('RESOURCE_UNKNOWN', `the demo's origin has no ${path}`);
    }
    return reply.version;
  }

  async counts(): Promise<OriginCounts> {
    const reply = await this.#call({ kind: 'counts' });
    if (reply.kind !== 'counts') throw new PresageError('INTERNAL', `origin answered with ${reply.kind}`);
    return reply.counts;
  }

  /** Ends the process and waits for its end. */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGKILL');
    await ended;
  }

  #call(request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new PresageError('ORIGIN_TIMEOUT', `the demo's origin did not answer ${request.kind}`)),
        REPLY_DEADLINE_MS,
      );
      const done = () => clearTimeout(timer);
      this.#waiting.push({
        resolve: (reply) => {
          done();
          resolve(reply);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.#child.send(request, (error) => {
        if (error !== null) reject(new PresageError('ORIGIN_UNREACHABLE', error.message));
      });
    });
  }
}

/** The child's side: one origin, set up by the first message, until the parent goes. */
function serve(): void {
  let origin: Origin | undefined;
  const reply = (message: Reply) => process.send?.(message);
  process.on('disconnect', () => process.exit(0));
  // Ctrl-C reaches the whole process group; the parent decides when the origin goes.
  process.on('SIGINT', () => undefined);
  process.on('message', (raw) => {
    const message = raw as Request;
    switch (message.kind) {
      case 'setup': {
        origin = new Origin(
          { pace: message.pace },
          {
            files: message.files,
            random: seededRandom(message.seed),
          },
        );
        origin.listen(message.host).then(
          (port) => reply({ kind: 'port', port }),
          () => process.exit(1),
        );
        break;
      }
      case 'change': {
        const version = origin?.change(message.path);
        reply({ kind: 'version', version: version ?? null });
        break;
      }
      case 'counts':
        reply({
          kind: 'counts',
          counts: origin?.counts() ?? NO_REQUESTS,
        });
        break;
    }
  });
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) serve();
