import { seededRandom } from '../../protocol/random.ts';
import { type AbsenceTrial, absenceTrial } from './absence-trial.ts';
import { Clients, type Observation } from './clients.ts';
import { Cluster } from './cluster.ts';
import { ExpectedContent } from './content.ts';
import { DecisionLog } from './decision-log.ts';
import { areEnough } from './decision-report.ts';
import { type DemandTime, demandNow, demandTime } from './demand-time.ts';
import { EpochLog } from './epoch-log.ts';
import type { FeedEvent } from './event-feed.ts';
import { type LieAccount, NO_LIES, readLieAccount } from './lie.ts';
import { DEMO_HOST, type Load } from './load.ts';
import { MirrorLog, type MirrorRecord } from './mirror-log.ts';
import { ORIGIN_PACE } from './origin.ts';
import { OriginProcess } from './origin-process.ts';
import { pause, play } from './player.ts';
import type { Pop } from './pop.ts';
import { peerBytes, risingVerdicts } from './pop-sums.ts';
import { type PurgeTrial, purgeTrial } from './purge-trial.ts';
import type { Findings } from './report.ts';
import { Resolver } from './resolver.ts';
import { type RestartTrial, restartTrial } from './restart-trial.ts';
import type { PopProgress, Progress } from './view.ts';
import { places, roundTripMs } from './world.ts';

export interface RunOptions {
  readonly load: Load;
  readonly seed: number;
  readonly speed: number;
  readonly pops: number;
  /** Whether the PoPs decide together; else each plans from its own forecasts. */
  readonly agree: boolean;
}

/** Real beat of the demo's PoPs, ms. */
export const EPOCH_MS = 1_000;
/** Time set aside for the start of one PoP, real ms; the demand clock reaches the load after it. */
const START_MS_PER_POP = 2_500;
/** After the load, what is under way may end before it is counted, real ms. */
const SETTLE_MS = 2_000;
/** Fewer PoPs have nobody to spare for standing still, or for lying: `quorumOf` of the agreement. */
const POPS_FOR_ABSENCE = 3;
const POPS_FOR_LIES = 4;
/** The PoP that lies. The first is asked and purged through, the last is killed, the one before it stands still. */
const WILD = 1;
/** A PoP that was restarted takes part again by then, real ms, or the trial goes on without it. */
const BACK_MS = 30_000;
/** Files that a purge by tag changes and asks for. */
const TAG_FILES = 4;

/** One run: origin, cluster and clients, the load, then the trials. Everything it starts, it ends. */
export class Run {
  readonly #options: RunOptions;
  readonly #signal: AbortSignal;
  readonly #say: (text: string) => void;
  readonly #mirrors = new MirrorLog();
  readonly #decisions = new DecisionLog();
  readonly #epochs = new EpochLog();
  #lies: LieAccount = NO_LIES;
  readonly #observations: Observation[] = [];
  readonly #wrong: string[] = [];
  readonly #tally = new Map<string, { requests: number; hits: number }>();
  readonly #expected: ExpectedContent;
  readonly #resolvers: Resolver[] = [];
  #origin: OriginProcess | undefined;
  #cluster: Cluster | undefined;
  #clients: Clients | undefined;
  #time: DemandTime | undefined;
  #began = 0;
  #phase = 'Start';
  #originBytes = 0;
  #rising = 0;

  constructor(
    options: RunOptions,
    dependencies: { readonly signal: AbortSignal; readonly say: (text: string) => void },
  ) {
    this.#options = options;
    this.#signal = dependencies.signal;
    this.#say = dependencies.say;
    this.#expected = new ExpectedContent(options.load.files);
  }

  /** Where the PoPs keep their data and logs, once there is such a place. */
  get directory(): string | undefined {
    return this.#cluster?.directory;
  }

  /** Carries the demo out. Fails with `CANCELLED` when the signal ends it. */
  async findings(): Promise<Findings> {
    const startedAt = Date.now();
    const { load, seed, speed, agree } = this.#options;
    const cluster = await this.#start();
    const clients = await this.#connect(cluster);
    const before = await Promise.all(cluster.pops.map((pop) => pop.state()));
    const peerBefore = await peerBytes(cluster.pops);

    this.#phase = 'Load';
    const time = this.#time!;
    await pause((load.start - time.offset) / speed - Date.now(), this.#signal);
    this.#began = Date.now();
    // If the start took longer than planned, the load is played later on the demand clock, not faster.
    const playTime = demandTime(load.start, this.#began, speed);
    const lateness = await play(load.requests, playTime, clients, {
      seen: (observation) => this.#observe(observation),
      signal: this.#signal,
    });
    const loadEndMs = clients.elapsedMs();
    const epochAccount = this.#epochs.account();
    this.#check();
    const observations = [...this.#observations];
    this.#phase = 'Counting';
    await pause(SETTLE_MS, this.#signal);
    await this.#reconcile(cluster, loadEndMs);
    const counts = await this.#origin!.counts();
    const after = await Promise.all(cluster.pops.map((pop) => pop.state()));
    const peerAfter = await peerBytes(cluster.pops);
    const verdicts = await risingVerdicts(cluster.pops);
    const weights = agree ? await cluster.pops[0]!.weights() : {};

    const purges = await this.#purges(cluster, clients);
    this.#check();
    const restart = await this.#restart(cluster, clients, popular(load, observations)[TAG_FILES + 1]!);
    this.#check();
    const absence = await this.#absence(cluster, clients);
    this.#check();
    this.#phase = 'Stop';
    const exits = await cluster.stop();
    return {
      load,
      seed,
      speed,
      epochMs: EPOCH_MS,
      pops: cluster.pops.map(({ address }) => address),
      observations,
      loadEndMs,
      lateness,
      mirrors: this.#mirrors,
      wrongAnswers: this.#wrong,
      originBytes: counts.bytes,
      originRequests: counts.requests,
      originRepeats: { requests: counts.repeats, bytes: counts.repeatedBytes },
      planning: agree ? 'agreed' : 'own',
      epochAccount,
      decisions: this.#decisions.compare(),
      absence,
      lies: this.#wildPop && { pop: this.#wildPop.name, ...this.#lies },
      weights,
      rising: { reports: this.#rising, verdicts },
      peerBytes: peerBefore === null || peerAfter === null ? null : peerAfter - peerBefore,
      epochs: Math.max(...after.map(({ epoch }, i) => epoch - before[i]!.epoch)),
      purges,
      restart,
      crashes: cluster.crashes,
      exits,
      realSeconds: (Date.now() - startedAt) / 1000,
    };
  }

  /** Ends whatever still runs; safe to call at any time and more than once. */
  async end(options: { readonly keep: boolean }): Promise<void> {
    this.#clients?.close();
    for (const resolver of this.#resolvers) resolver.close();
    await this.#cluster?.stop();
    await this.#origin?.stop();
    if (!options.keep) await this.#cluster?.remove();
  }

  /** Kills what still runs, without waiting: for a process that is ending already. */
  abandon(): void {
    for (const pop of this.#cluster?.pops ?? []) pop.abandon();
  }

  progress(): Progress {
    const { load, speed } = this.#options;
    const elapsed = this.#began === 0 ? 0 : (Date.now() - this.#began) * speed;
    return {
      phase: this.#phase,
      done: Math.min(1, elapsed / (load.end - load.start)),
      ...(this.#time !== undefined && { demandAt: demandNow(this.#time, Date.now()) }),
      pops: (this.#cluster?.pops ?? []).map((pop) => this.#popProgress(pop)),
      originBytes: this.#originBytes,
    };
  }

  #popProgress(pop: Pop): PopProgress {
    const tally = this.#tally.get(pop.address) ?? { requests: 0, hits: 0 };
    const mirrored = this.#mirrors.totals(pop.address);
    return { name: pop.name, up: pop.up, ...tally, ...mirrored };
  }

  async #start(): Promise<Cluster> {
    const { load, seed, speed, pops, agree } = this.#options;
    const reserveMs = 2_000 + START_MS_PER_POP * pops;
    const time = demandTime(load.start, Date.now() + reserveMs, speed);
    this.#time = time;
    this.#origin = await OriginProcess.start({
      host: '127.0.0.1',
      seed,
      pace: ORIGIN_PACE,
      files: [...load.files.values()],
    });
    const cluster = await Cluster.prepare(
      {
        ...{ pops, originPort: this.#origin.port, time, epochMs: EPOCH_MS, agree },
        ...(agree && pops >= POPS_FOR_LIES && { wild: WILD }),
      },
      { heard: (pop, event) => this.#heard(pop, event) },
    );
    this.#cluster = cluster;
    this.#say(`${pops} PoPs in ${cluster.directory}, origin on port ${this.#origin.port}, seed ${seed}`);
    await cluster.start(this.#signal);
    this.#check();
    this.#say('All PoPs are connected');
    return cluster;
  }

  async #connect(cluster: Cluster): Promise<Clients> {
    for (const region of places(this.#options.pops).keys()) {
      const nearestFirst = [...cluster.pops].sort(
        (a, b) => roundTripMs(region, a.options.region) - roundTripMs(region, b.options.region),
      );
      const resolver = new Resolver(
        nearestFirst.map(({ address }) => ({ address, port: cluster.ports.dns })),
      );
      await resolver.open();
      this.#resolvers.push(resolver);
    }
    const clients = new Clients({ port: cluster.ports.http }, { resolvers: this.#resolvers });
    this.#clients = clients;
    return clients;
  }

  #check(): void {
    this.#signal.throwIfAborted();
  }

  #observe(observation: Observation): void {
    this.#observations.push(observation);
    const tally = this.#tally.get(observation.pop) ?? { requests: 0, hits: 0 };
    tally.requests += 1;
    if (observation.cacheStatus.hit) tally.hits += 1;
    this.#tally.set(observation.pop, tally);
    if (!observation.cacheStatus.hit && observation.cacheStatus.detail !== 'peer') {
      this.#originBytes += observation.bytes;
    }
    this.#verify(observation, (version) => version === 1);
  }

  /** Holds an answer's bytes against those of the version that it names. */
  #verify(observation: Observation, known: (version: number) => boolean): void {
    const { path, version, hash, status, pop } = observation;
    if (status === 0 || status >= 500) return;
    const right =
      status === 200 &&
      version !== undefined &&
      known(version) &&
      hash === this.#expected.hash(path, version);
    if (!right) this.#wrong.push(`${path} from ${pop}: status ${status}, version ${version ?? 'unknown'}`);
  }

  #heard(pop: Pop, event: FeedEvent): void {
    if (event.type === 'rising' && this.#phase === 'Load') this.#rising += 1;
    if (event.type === 'epoch' && this.#phase === 'Load') this.#epochs.add(pop.name, event);
    if (event.type === 'decision') this.#decisions.add(pop.name, event);
    if (event.type === 'wild') this.#lies = readLieAccount(event.data);
    if (event.type !== 'mirror') return;
    const { key, size, source, region, at } = event.data;
    if (typeof key !== 'string' || typeof size !== 'number' || typeof at !== 'number') return;
    if (source !== 'plan' && source !== 'speculative') return;
    this.#record(pop, key, size, source, typeof region === 'string' ? region : undefined, at);
  }

  /** `at`: real Unix ms; before the clients began, it counts as their beginning. */
  #record(
    pop: Pop,
    key: string,
    size: number,
    source: MirrorRecord['source'],
    region: string | undefined,
    at: number,
  ): void {
    const atMs = (this.#clients?.elapsedMs() ?? 0) - (Date.now() - at);
    const path = key.startsWith(`${DEMO_HOST}/`) ? key.slice(DEMO_HOST.length) : key;
    this.#mirrors.add({
      ...{ pop: pop.address, path, size, source, atMs: Math.max(0, atMs) },
      ...(region !== undefined && { region }),
    });
  }

  /** Adds replicas that a PoP holds as mirrored but whose events were lost; they count as pulled at the very end. */
  async #reconcile(cluster: Cluster, endMs: number): Promise<void> {
    for (const pop of cluster.pops) {
      for (const source of ['plan', 'speculative'] as const) {
        for (const { key, size } of await pop.mirrored(source)) {
          const path = key.startsWith(`${DEMO_HOST}/`) ? key.slice(DEMO_HOST.length) : key;
          if (this.#mirrors.has(pop.address, path)) continue;
          this.#mirrors.add({ pop: pop.address, path, size, source, atMs: endMs });
        }
      }
    }
  }

  #world(cluster: Cluster, clients: Clients) {
    return {
      pops: cluster.pops,
      clients,
      expected: this.#expected,
      change: (path: string) => this.#origin!.change(path),
    };
  }

  get #wildPop(): Pop | undefined {
    return this.#cluster?.pops.find(({ options }) => options.wild);
  }

  async #restart(cluster: Cluster, clients: Clients, path: string): Promise<RestartTrial | undefined> {
    if (cluster.pops.length < 2) return undefined;
    this.#phase = 'Kill and restart';
    const victim = cluster.pops.at(-1)!;
    this.#say(`Killing ${victim.name}, purging without it, starting it again`);
    return restartTrial(victim, path, {
      ...this.#world(cluster, clients),
      random: seededRandom(this.#options.seed + 2),
      traffic: this.#options.load.requests.slice(-2_000),
      seen: (observation) => this.#verify(observation, () => true),
    });
  }

  /** Only once the PoP that was killed decides again: the others are too few to decide without both. */
  async #absence(cluster: Cluster, clients: Clients): Promise<AbsenceTrial | undefined> {
    const { pops } = cluster;
    if (!this.#options.agree || pops.length < POPS_FOR_ABSENCE) return undefined;
    this.#phase = 'Absence';
    const [absent, victim] = pops.slice(-2) as [Pop, Pop];
    const tip = this.#decisions.tipOfOthers();
    await this.#decisions.until(() => this.#decisions.tip(victim.name) > tip, BACK_MS, this.#signal);
    this.#check();
    this.#say(`Stopping ${absent.name} in its tracks for many heights`);
    const absence = await absenceTrial(absent, {
      others: pops.filter((pop) => pop !== absent),
      clients,
      decisions: this.#decisions,
      signal: this.#signal,
      traffic: this.#options.load.requests.slice(-2_000),
      seen: (observation) => this.#verify(observation, () => true),
    });
    // A busy machine decides slowly; what was promised can only be told after so many heights.
    await this.#decisions.until(() => areEnough(this.#decisions.compare()), BACK_MS, this.#signal);
    return absence;
  }

  async #purges(cluster: Cluster, clients: Clients): Promise<readonly PurgeTrial[]> {
    this.#phase = 'Purge';
    const { load } = this.#options;
    const paths = popular(load, this.#observations);
    const path = paths[0]!;
    this.#say(`Changing ${path} at the origin and purging it through ${cluster.pops[0]!.name}`);
    const byUrl = await purgeTrial('url', path, [path], this.#world(cluster, clients));
    const tag = load.files.get(paths[1]!)!.tags[0]!;
    const tagged = [...load.files.values()]
      .filter(({ tags, path: other }) => tags.includes(tag) && other !== path)
      .map(({ path: other }) => other)
      .slice(0, TAG_FILES);
    const byTag = await purgeTrial('tag', tag, tagged, this.#world(cluster, clients));
    return [byUrl, byTag];
  }
}

/** Paths of the load by requests, most first. */
function popular(load: Load, observations: readonly Observation[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { path } of observations) counts.set(path, (counts.get(path) ?? 0) + 1);
  const asked = [...counts].sort(([, a], [, b]) => b - a).map(([path]) => path);
  return [...asked, ...load.files.keys()];
}
