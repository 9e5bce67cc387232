import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PresageError } from '../../protocol/errors.ts';

/** What a daemon of the demo is called and where it stands. */
export interface DaemonOptions {
  readonly name: string;
  /** Directory with its configuration file `presage.toml`, its data and its log. */
  readonly directory: string;
  /** Proposes nonsense: see `wild-daemon.ts`. */
  readonly wild?: boolean;
}

/** A daemon that is not ready by then has failed, ms. */
const READY_MS = 60_000;
/** A daemon that has not ended by then after SIGTERM is killed, ms. */
const STOP_MS = 30_000;

/** The daemon of one PoP as a child process. */
export class Daemon {
  readonly options: DaemonOptions;
  readonly #crashed: (reason: string) => void;
  #child: ChildProcess | undefined;
  #expected = false;
  #frozen = false;

  /** `crashed` hears of every end that nobody asked for. */
  constructor(options: DaemonOptions, dependencies: { readonly crashed: (reason: string) => void }) {
    this.options = options;
    this.#crashed = dependencies.crashed;
  }

  get up(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  get dataDir(): string {
    return join(this.options.directory, 'data');
  }

  /** Starts it and waits for the line that says it is ready; that line. Fails with `INTERNAL`. */
  async start(): Promise<string> {
    const self = fileURLToPath(import.meta.url);
    const { wild, directory } = this.options;
    const config = join(directory, 'presage.toml');
    const program = wild
      ? [join(self, '..', `wild-daemon${extname(self)}`), config]
      : [join(self, '..', '..', `presage${extname(self)}`), 'start', '--config', config];
    const log = openSync(join(directory, 'presage.log'), 'a');
    const child = spawn(
      process.execPath,
      program,
      // A process group of its own: Ctrl-C in the terminal reaches the demo alone, which then stops the daemons in order.
      { stdio: ['ignore', 'pipe', log], detached: true, env: environment() },
    );
    closeSync(log);
    this.#child = child;
    this.#expected = false;
    child.on('exit', (code, signal) => {
      if (!this.#expected) this.#crashed(`${this.options.name} ended (${signal ?? `code ${code}`})`);
    });
    return new Promise((resolve, reject) => {
      let output = '';
      const fail = (reason: string) => {
        clearTimeout(timer);
        reject(
          new PresageError(
            'INTERNAL',
            `${this.options.name} ${reason}; see ${this.options.directory}/presage.log`,
          ),
        );
      };
      const timer = setTimeout(() => fail(`was not ready within ${READY_MS} ms`), READY_MS);
      child.once('error', (error) => fail(`did not start: ${error.message}`));
      child.once('exit', (code, signal) => fail(`ended before it was ready (${signal ?? `code ${code}`})`));
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        if (output.includes('\n')) return;
        output += text;
        if (!output.includes('\n')) return;
        clearTimeout(timer);
        resolve(output.slice(0, output.indexOf('\n')));
      });
    });
  }

  /** SIGKILL, as a power cut would. */
  async kill(): Promise<void> {
    this.#expected = true;
    await this.#end('SIGKILL');
  }

  /** SIGSTOP: it stands still, its connections open, and hears of it only when it goes on. */
  freeze(): void {
    if (this.up) this.#frozen = this.#child?.kill('SIGSTOP') === true;
  }

  thaw(): void {
    if (this.#frozen) this.#child?.kill('SIGCONT');
    this.#frozen = false;
  }

  /** SIGKILL without waiting, for the last moments of the demo's own process. */
  abandon(): void {
    this.#expected = true;
    if (this.up) this.#child?.kill('SIGKILL');
  }

  /** SIGTERM; its exit code, `null` if it had to be killed or was not running. */
  async stop(): Promise<number | null> {
    this.#expected = true;
    const child = this.#child;
    if (child === undefined || !this.up) return null;
    this.thaw();
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await this.#end('SIGTERM');
    clearTimeout(timer);
    return child.exitCode;
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.up) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await ended;
  }
}

/** The demo's environment without Presage's own variables, which would override every PoP's file alike. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PRESAGE_')));
}
