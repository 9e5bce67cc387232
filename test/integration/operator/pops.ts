import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openLevel } from '../../../node/adapters/level.ts';
import {
  createCharter,
  createFounders,
  createOperator,
  createPop,
  type OperatorFiles,
  type PopFiles,
} from '../../../node/cli/keys-issue.ts';
import { loadConfig } from '../../../node/config.ts';
import { type Identity, loadIdentity } from '../../../node/identity.ts';
import { OperatorDocuments } from '../../../node/operator-documents.ts';
import { type OperatorOperation, OperatorWord } from '../../../node/operator-word.ts';
import { NO_CHARTER } from '../../../protocol/charter-terms.ts';
import type { Decision } from '../../../protocol/decision.ts';
import { PresageError } from '../../../protocol/errors.ts';
import type { PopId } from '../../../protocol/ids.ts';
import type { Database, Log, Streams } from '../../../protocol/ports.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { CountingMetrics, StepClock, silentLog } from '../../step-clock.ts';

/** What `operator.decided` is told before a charter or a ban has been decided. */
export const NOTHING: Pick<Decision, 'charter' | 'banned' | 'certificate' | 'roster'> = {
  charter: NO_CHARTER,
  banned: 0,
  certificate: undefined,
  roster: [],
};

/** A PoP as far as its operator's word goes. */
export interface WordedPop {
  readonly identity: Identity;
  readonly word: OperatorWord;
  readonly metrics: CountingMetrics;
  readonly charterFile: string;
  /** What it logged at the level of errors. */
  readonly errors: string[];
  readonly proposed: OperatorOperation[];
  /** Lists of revocations that its network was given. */
  readonly revoked: Uint8Array[];
  close(): Promise<void>;
}

/** An operator with PoPs that reach each other by frames in memory. */
export class WordedCluster {
  readonly clock = new StepClock();
  readonly operator: OperatorFiles;
  /** What a PoP answers in place of its own answer. */
  readonly lies = new Map<PopId, (honest: Uint8Array) => Uint8Array>();
  readonly #files = new Map<string, PopFiles>();
  readonly #answerers = new Map<PopId, (request: Uint8Array) => Promise<Uint8Array>>();
  readonly #running = new Set<WordedPop>();

  private constructor(operator: OperatorFiles) {
    this.operator = operator;
  }

  static async found(directory: string, names: readonly string[]): Promise<WordedCluster> {
    const cluster = new WordedCluster(await createOperator({ directory, name: 'test' }));
    for (const name of names) {
      await mkdir(join(directory, name));
      const fields = { name, region: 'eu' };
      const options = { directory: join(directory, name), now: Date.now() };
      cluster.#files.set(name, await createPop(cluster.operator, fields, options));
    }
    await createFounders(
      cluster.operator,
      [...cluster.#files.values()].map(({ certificatePath }) => certificatePath),
    );
    return cluster;
  }

  /** Signs a charter and puts it where a PoP reads it. */
  async charter(name: string, version: number, more = ''): Promise<string> {
    const path = join(this.operator.directory, name, 'charter.pem');
    const toml = `version = ${version}\nregions = ["eu"]\n${more}\n`;
    await createCharter(this.operator, toml, { path, force: true });
    return path;
  }

  async start(
    name: string,
    options: { founders?: string | false; revocations?: string } = {},
  ): Promise<WordedPop> {
    const { directory } = this.operator;
    const file = this.#files.get(name);
    if (!file) throw new RangeError(name);
    const charterFile = join(directory, name, 'charter.pem');
    const config = loadConfig({
      env: {},
      flags: {
        ...{ 'data-dir': join(directory, name), 'cluster-certificate': file.certificatePath },
        ...{ 'cluster-key': file.keyPath, 'cluster-charter': charterFile },
        ...(options.founders !== false && {
          'cluster-founders': options.founders ?? join(directory, 'founders.pem'),
        }),
        ...(options.revocations !== undefined && { 'cluster-revocations': options.revocations }),
      },
    });
    const identity = await loadIdentity(config, Date.now());
    const metrics = new CountingMetrics();
    const errors: string[] = [];
    const log: Log = { ...silentLog, error: (message) => void errors.push(message), child: () => log };
    const database: Database = await openLevel(join(directory, name, 'db'), { log, metrics });
    const word = await OperatorWord.open(config, identity, { database, log, metrics });
    const documents = new OperatorDocuments({
      ...{ clock: this.clock, log, metrics, random: seededRandom(1) },
      streams: this.#streams(identity.self),
      peers: {
        self: identity.self,
        connected: () => [...this.#answerers.keys()].filter((pop) => pop !== identity.self),
        roundTripMs: () => undefined,
        watch: () => () => undefined,
      },
    });
    const proposed: OperatorOperation[] = [];
    const revoked: Uint8Array[] = [];
    word.proposeTo((operation) => void proposed.push(operation));
    word.connect(documents, (list) => {
      revoked.push(list);
      word.revocations.learned(list);
    });
    const pop: WordedPop = {
      ...{ identity, word, metrics, charterFile, errors, proposed, revoked },
      close: async () => {
        this.#running.delete(pop);
        this.#answerers.delete(identity.self);
        documents.close();
        await database.close();
      },
    };
    this.#running.add(pop);
    return pop;
  }

  async stop(): Promise<void> {
    for (const pop of this.#running) await pop.close();
  }

  #streams(self: PopId): Streams {
    return {
      call: async (peer, _protocol, request) => {
        const answer = this.#answerers.get(peer);
        if (!answer) throw new PresageError('PEER_UNKNOWN');
        const honest = await answer(request);
        return this.lies.get(peer)?.(honest) ?? honest;
      },
      handle: (_protocol, handler) => {
        this.#answerers.set(self, (request) => handler(self, request));
      },
    };
  }
}
