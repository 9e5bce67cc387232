import type { KeyObject } from 'node:crypto';
import type { Certificate } from '../../protocol/certificate.ts';
import type { SignedCharter } from '../../protocol/charter-document.ts';
import { NO_CHARTER } from '../../protocol/decided-state.ts';
import type { PresageError } from '../../protocol/errors.ts';
import type { Founder } from '../../protocol/founders.ts';
import type { Cluster, Genesis } from '../../protocol/genesis.ts';
import type { Compressor, Fields, Random } from '../../protocol/ports.ts';
import { seededRandom } from '../../protocol/random.ts';
import { demandClock } from '../adapters/clock.ts';
import type { Config } from '../config.ts';
import type { Identity } from '../identity.ts';
import { type OnClose, type Pop, startPop } from '../pop.ts';
import { type ShutdownPhase, shutdown } from '../shutdown.ts';
import type { ClusterNetwork } from './cluster-network.ts';
import { Life, lifeClock } from './life.ts';
import type { Twist } from './network-hooks.ts';
import { ask, type ClientRequest, type ClientResponse, type Connections } from './simulated-client.ts';
import { type MindTwists, type SharedWork, simulatedMind, simulatedPool } from './simulated-mind.ts';
import { Diary, Tallies } from './tallies.ts';
import { VirtualBlobs } from './virtual-blobs.ts';
import type { VirtualClock } from './virtual-clock.ts';
import { type DiskConditions, VirtualDatabase } from './virtual-database.ts';
import type { VirtualOrigin } from './virtual-origin.ts';

/** Compression is a function of bytes like any other, and tested elsewhere. */
const PLAIN: Compressor = { compress: () => undefined, expand: (bytes) => bytes };

/** What the operator gave a PoP. */
export interface Papers {
  readonly key: KeyObject;
  readonly own: Founder;
  readonly cluster: Cluster;
  readonly genesis: Genesis;
  readonly charter: SignedCharter;
  /** Absent for one that is to get the list from its peers. */
  readonly founders: readonly Founder[] | undefined;
  /** The list as it was signed, to be handed on; none where it would be too long. */
  readonly sealedFounders: Uint8Array | undefined;
}

export interface SimulatedPopOptions {
  readonly index: number;
  readonly papers: Papers;
  readonly config: Config;
  readonly clock: VirtualClock;
  readonly network: ClusterNetwork;
  readonly origin: VirtualOrigin;
  readonly work: SharedWork;
  readonly random: Random;
  readonly disk: DiskConditions;
  /** Of demand time against real time. */
  readonly speed: number;
  /** Lines of its log that are kept. */
  readonly logLines: number;
  readonly lies?: (MindTwists & { readonly network?: Twist | undefined }) | undefined;
  /** Hears what the PoP makes known, as by `GET /events`. */
  readonly happened: (pop: SimulatedPop, type: string, data: Fields) => void;
  /** Called at each fsync that succeeded, before anybody was told; a good moment to crash. */
  readonly synced?: ((pop: SimulatedPop) => void) | undefined;
}

/** One PoP of a simulated cluster: what the daemon runs, in a virtual world. Its disk outlives its crashes. */
export class SimulatedPop {
  readonly index: number;
  readonly certificate: Certificate;
  readonly database = new VirtualDatabase();
  readonly blobs = new VirtualBlobs();
  readonly metrics = new Tallies();
  readonly log: Diary;
  /** The operator's list of revocations, in a file that it reads when it starts; a crash takes it from nobody. */
  revocations: Uint8Array | undefined;
  /** How wrong its time of day is, ms. */
  skewMs = 0;
  /** Its disk refuses writes. */
  diskFails = false;
  /** How slow its disk is, beside what the seed drew. */
  diskFactor = 1;
  /** That its actors have given up, or it could not start. */
  failure: PresageError | undefined;
  readonly #options: SimulatedPopOptions;
  #life = new Life();
  #connections: Connections = new Map();
  #pop: Pop | undefined;
  #phases: ShutdownPhase[] = [];
  #up = false;

  constructor(options: SimulatedPopOptions) {
    this.#options = options;
    this.index = options.index;
    this.certificate = options.papers.own.certificate;
    this.log = new Diary(() => options.clock.now, options.logLines);
  }

  get id(): Certificate['pop'] {
    return this.certificate.pop;
  }

  /** It was started, and has neither ended nor crashed since. */
  get up(): boolean {
    return this.#up;
  }

  /** Its parts, once it runs. */
  get running(): Pop | undefined {
    return this.#pop;
  }

  /** Its time of day, Unix ms. */
  get now(): number {
    return lifeClock(this.#life, this.#options.clock, () => this.skewMs).now();
  }

  /** What its demand clock shows, Unix ms. */
  get demandNow(): number {
    return demandClock({ now: () => this.now }, { speed: this.#options.speed }).now();
  }

  /** Resolves when it runs; never if it crashes before. */
  async start(): Promise<void> {
    if (this.#up) return;
    this.#up = true;
    const life = new Life();
    this.#life = life;
    this.#phases = [];
    const {
      index,
      papers,
      config,
      clock: virtual,
      network,
      origin,
      work,
      lies,
      speed,
      synced,
    } = this.#options;
    const clock = lifeClock(life, virtual, () => this.skewMs);
    const random = seededRandom(this.#options.random.uint32());
    const { log, metrics } = this;
    const conditions = () => {
      const { minMs, maxMs } = this.#options.disk;
      return { minMs: minMs * this.diskFactor, maxMs: maxMs * this.diskFactor };
    };
    const refuses = () => this.diskFails;
    const disk = { clock, random, conditions, refuses };
    const onClose: OnClose = (name, run, deadlineMs = 5_000) =>
      void this.#phases.unshift({ name, deadlineMs, run });
    const failed = (error: PresageError) => {
      if (life.alive) this.failure = error;
    };
    const pop = await startPop(
      config,
      identityOf(papers),
      {
        ...{ clock, random, log, metrics, demand: demandClock(clock, { speed }), compressor: PLAIN },
        events: {
          emit: (type, data) => {
            if (life.alive) this.#options.happened(this, type, data);
          },
        },
        database: this.database.open({ ...disk, ...(synced && { synced: () => synced(this) }) }),
        openBlobs: async (hooks) =>
          this.blobs.open({
            ...{ ...disk, ...hooks },
            budgetBytes: config.storage.budget,
            memoryBytes: config.storage.memory,
            maxObjectBytes: config.storage.maxObject,
          }),
        origin: origin.client(clock),
        countries: undefined,
        connect: async (known, operator) => {
          const made = network.join(index, this.certificate, life, {
            twist: lies?.network,
            onRevocations: (list) => {
              known.putRevocations(list);
              operator.revocations.learned(list);
            },
          });
          for (const list of [this.revocations, known.revocations]) if (list) made.revoke(list);
          return made;
        },
        startMind: (options) => simulatedMind(options, life, work, lies ?? {}),
        startPool: simulatedPool,
        utilisation: () => 0.1,
        yieldTurn: async () => undefined,
      },
      onClose,
      failed,
    );
    if (life.alive) this.#pop = pop;
  }

  /** kill -9, or the power. */
  crash(): void {
    if (!this.#up) return;
    this.#end(true);
    this.database.crash(this.#options.random);
    this.blobs.crash();
  }

  /** SIGTERM. Resolves when all is closed. */
  async stop(): Promise<void> {
    if (!this.#up || !this.#pop) return;
    const life = this.#life;
    const clock = lifeClock(life, this.#options.clock, () => this.skewMs);
    await shutdown(this.#phases, { clock, log: this.log })();
    if (life.alive) this.#end(false);
  }

  /** A client's request; undefined if nobody answers. */
  async request(request: ClientRequest): Promise<ClientResponse | undefined> {
    const life = this.#life;
    if (!this.#pop) return undefined;
    const response = await ask(this.#pop.edge, request, this.#connections);
    return life.alive ? response : undefined;
  }

  #end(silently: boolean): void {
    this.#up = false;
    this.#life.end();
    this.#pop = undefined;
    this.#options.network.leave(this.id, silently);
  }
}

function identityOf({ key, own, cluster, genesis, charter, founders, sealedFounders }: Papers): Identity {
  const { certificate, sealed } = own;
  const { operatorKey } = cluster;
  return {
    ...{ self: certificate.pop, name: certificate.name, region: certificate.region, privateKey: key, own },
    charter: charter.charter,
    membership: {
      ...{ privateKey: key, certificate: sealed, operatorKey, genesis, cluster, own: certificate, charter },
      ...(founders && sealedFounders && { founders: { list: founders, sealed: sealedFounders } }),
      warnings: [],
    },
    cluster: founders && { genesis, operatorKey, founders, terms: NO_CHARTER },
  };
}
