import { readFile } from 'node:fs/promises';
import { PresageError } from '../../protocol/errors.ts';
import type { Log, Random } from '../../protocol/ports.ts';
import type { Config } from '../config.ts';
import { type Endpoint, printEndpoint } from '../config-units.ts';
import type { Connector, ConnectorStatus, HeardUrl } from './connector.ts';
import {
  SignalIntake,
  type SignalIntakeDeps,
  type SignalledResource,
  type SignalVerdict,
  type SourceCounts,
} from './signal-intake.ts';
import type { Webhook } from './webhook.ts';

export interface SignalSourcesDeps extends SignalIntakeDeps {
  readonly log: Log;
  readonly random: Random;
}

/** For `status`: a source, whether it can be reached, and what it sent. */
export interface SignalSourceRow extends SourceCounts {
  /** `listening` where this PoP waits to be told. */
  readonly state: ConnectorStatus['state'] | 'listening';
  readonly failures: number;
  readonly code: string | undefined;
}

/** Shorter secrets are guessed. */
const SECRET_LEAST = 16;
const RPC = 'rpc';

/** All sources of signals that are configured; none by default. What is told by RPC is taken in any case. */
export class SignalSources {
  readonly #intake: SignalIntake;
  readonly #connectors: Connector[] = [];
  #webhook: Webhook | undefined;

  private constructor(intake: SignalIntake) {
    this.#intake = intake;
  }

  /** Opens what is configured. Fails with `CONFIG_INVALID`. */
  static async open(config: Config['signals'], deps: SignalSourcesDeps): Promise<SignalSources> {
    const intake = new SignalIntake(deps);
    const sources = new SignalSources(intake);
    const { clock, random, log, metrics } = deps;
    const connecting = {
      ...{ clock, random, log, metrics },
      concerns: (url: string) => intake.concerns(url),
      take: (source: string, heard: readonly HeardUrl[]) => void intake.take(source, heard),
    };
    // What is not configured is not loaded either.
    const { listen, secret } = config.webhook;
    if (listen !== undefined) {
      if (secret === undefined) {
        throw new PresageError(
          'CONFIG_INVALID',
          'signals.webhook.listen is set, but signals.webhook.secret is not: name a file that holds a secret',
        );
      }
      const { listenWebhook } = await import('./webhook.ts');
      const taking = { clock, log, metrics, take: intake.take.bind(intake) };
      sources.#webhook = await listenWebhook({ listen, secret: await readSecret(secret) }, taking);
      log.info('signals are taken by webhook', { address: printEndpoint(sources.#webhook.address) });
    }
    for (const server of config.mastodon) {
      const { pollMastodon } = await import('./mastodon.ts');
      sources.#connectors.push(pollMastodon({ server }, connecting));
    }
    if (config.jetstream !== undefined) {
      const { listenJetstream } = await import('./jetstream.ts');
      sources.#connectors.push(listenJetstream({ url: config.jetstream }, connecting));
    }
    return sources;
  }

  /** Where the webhook listens, if it does. */
  get webhook(): Endpoint | undefined {
    return this.#webhook?.address;
  }

  /** A signal by RPC, and what became of it. Fails as `SignalIntake.resolve` does. */
  tell(heard: HeardUrl): { readonly resource: SignalledResource; readonly verdict: SignalVerdict } {
    const resource = this.#intake.resolve(heard.url);
    const [verdict = 'INTERNAL'] = this.#intake.take(RPC, [heard]);
    return { resource, verdict };
  }

  /** By name. */
  rows(): SignalSourceRow[] {
    const rows = new Map<string, SignalSourceRow>();
    const none = { taken: 0, repeated: 0, refused: 0, lastAt: undefined };
    const listening = { state: 'listening', failures: 0, code: undefined } as const;
    if (this.#webhook) rows.set('webhook', { source: 'webhook', ...none, ...listening });
    for (const connector of this.#connectors) {
      const { source, state, failures, code } = connector.status();
      rows.set(source, { source, ...none, state, failures, code });
    }
    for (const counts of this.#intake.counts())
      rows.set(counts.source, { ...listening, ...rows.get(counts.source), ...counts });
    return [...rows.values()].sort((a, b) => (a.source < b.source ? -1 : 1));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#connectors.map((connector) => connector.close()), this.#webhook?.close()]);
  }
}

async function readSecret(path: string): Promise<Uint8Array> {
  let text: string;
  try {
    text = (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new PresageError(
      'CONFIG_INVALID',
      `signals.webhook.secret: ${(error as Error).message}`,
      {},
      error,
    );
  }
  if (text.length < SECRET_LEAST) {
    throw new PresageError(
      'CONFIG_INVALID',
      `signals.webhook.secret: ${path} holds fewer than ${SECRET_LEAST} characters`,
    );
  }
  return Buffer.from(text);
}
