import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { connect } from 'node:net';
import type { Certificate } from '../../protocol/certificate.ts';
import { coded } from '../../protocol/errors.ts';
import type { PopId } from '../../protocol/ids.ts';
import type { Clock, Log, Metrics } from '../../protocol/ports.ts';

/** How a service address is checked: not at all, by a connection, or by a request. */
export type CheckKind = 'off' | 'tcp' | 'http' | 'https';

/** What is checked of a PoP: the addresses that DNS answers with and the ports of its certificate. */
export type CheckTarget = Pick<Certificate, 'pop' | 'addressesV4' | 'addressesV6' | 'ports'>;

export interface CheckOptions {
  readonly kind: Exclude<CheckKind, 'off'>;
  /** Real ms between rounds; 5 s by default. */
  readonly intervalMs?: number | undefined;
  /** Real ms that one check may take; 2 s by default. */
  readonly timeoutMs?: number | undefined;
}

export interface CheckDeps {
  /** All PoPs that DNS may name, this one among them. */
  readonly targets: () => readonly CheckTarget[];
  /** Hears of each round: which PoPs answered, and which did not. Those of which nothing can be told are left out. */
  readonly checked: (answered: ReadonlyMap<PopId, boolean>) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

const INTERVAL_MS = 5_000;
const TIMEOUT_MS = 2_000;
/** Checks under way at once. */
const AT_ONCE = 64;
/** What a server says that wants to be left alone (RFC 9110 §15.6.4); any other answer shows that it serves. */
const UNAVAILABLE = 503;
/** Errors of our own network, which say nothing of the PoP: this machine has no route of that family, or no ports left. */
const OURS = new Set(['ENETUNREACH', 'EADDRNOTAVAIL', 'EMFILE', 'ENOBUFS', 'EAFNOSUPPORT', 'EINVAL']);

type Outcome = boolean | undefined;

/**
 * Checks the service addresses of all PoPs at regular intervals, as their clients would reach them. One failure changes
 * nothing: who hears of the rounds counts them (`protocol/hysteresis.ts`).
 */
export class ServiceChecks {
  readonly #options: CheckOptions;
  readonly #deps: CheckDeps;
  #cancel: (() => void) | undefined;
  #closed = false;

  constructor(options: CheckOptions, deps: CheckDeps) {
    this.#options = options;
    this.#deps = deps;
  }

  /** Resolves after the first round, so that nothing is answered that has not been looked at; goes on by itself. */
  async start(): Promise<void> {
    await this.round();
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }

  #schedule(): void {
    if (this.#closed) return;
    this.#cancel = this.#deps.clock.after(this.#options.intervalMs ?? INTERVAL_MS, () => {
      void this.round()
        .catch((error: unknown) =>
          this.#deps.log.error('dns: a round of checks failed', { error: coded(error).message }),
        )
        .then(() => this.#schedule());
    });
  }

  /** Checks every address of every PoP once. A PoP has answered if each address of which it can be told has. */
  async round(): Promise<void> {
    const { kind } = this.#options;
    const jobs = this.#deps.targets().flatMap((target) => {
      const { http, https } = target.ports;
      const port = kind === 'http' ? http : kind === 'https' ? https : https || http;
      return [...target.addressesV4, ...target.addressesV6].map((host) => ({ pop: target.pop, host, port }));
    });
    const answered = new Map<PopId, boolean>();
    let next = 0;
    const work = async () => {
      while (next < jobs.length) {
        const { pop, host, port } = jobs[next++]!;
        // A service that does not run is no service that answers.
        const outcome = port === 0 ? false : await this.#check(host, port);
        if (outcome === undefined) continue;
        this.#deps.metrics.count('dns_checks_total', { outcome: outcome ? 'answered' : 'failed' });
        answered.set(pop, outcome && (answered.get(pop) ?? true));
      }
    };
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, jobs.length) }, work));
    if (!this.#closed) this.#deps.checked(answered);
  }

  #check(host: string, port: number): Promise<Outcome> {
    const { kind, timeoutMs = TIMEOUT_MS } = this.#options;
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    const failed = (error: NodeJS.ErrnoException) => resolve(OURS.has(error.code ?? '') ? undefined : false);
    // Asks after the server itself, not a resource (RFC 9110 §9.3.7): no origin hears of it.
    const options = { host, port, path: '*', method: 'OPTIONS', agent: false, timeout: timeoutMs };
    const probe =
      kind === 'tcp'
        ? connect({ host, port, timeout: timeoutMs }, () => resolve(true))
        : // Whose name the certificate carries is for clients to judge: here nothing is believed that is said.
          (kind === 'http' ? requestHttp(options) : requestHttps({ ...options, rejectUnauthorized: false }))
            .on('response', ({ statusCode }) => resolve(statusCode !== UNAVAILABLE))
            .end();
    probe.on('error', failed).on('timeout', () => resolve(false));
    // A connection that trickles is never idle.
    const cancel = this.#deps.clock.after(timeoutMs, () => resolve(false));
    return promise.finally(() => {
      cancel();
      probe.destroy();
    });
  }
}
