import { loadConfig } from '../../../node/config.ts';
import { ClusterNetwork } from '../../../node/simulator/cluster-network.ts';
import { Dice } from '../../../node/simulator/dice.ts';
import { SharedWork } from '../../../node/simulator/simulated-mind.ts';
import { SimulatedPop, type SimulatedPopOptions } from '../../../node/simulator/simulated-pop.ts';
import { Moments, VirtualClock } from '../../../node/simulator/virtual-clock.ts';
import { VirtualNetwork } from '../../../node/simulator/virtual-network.ts';
import { VirtualOrigin } from '../../../node/simulator/virtual-origin.ts';
import { MAX_DRIFT_MS } from '../../../protocol/hybrid-clock.ts';
import type { Fields } from '../../../protocol/ports.ts';
import { AgreementChecker } from './checkers/agreement.ts';
import { BoundsChecker } from './checkers/bounds.ts';
import { BudgetChecker } from './checkers/budgets.ts';
import { CatalogueChecker } from './checkers/catalogues.ts';
import { ContentChecker } from './checkers/content.ts';
import { DemandChecker } from './checkers/demand.ts';
import { PlanChecker } from './checkers/plans.ts';
import { ProgressChecker } from './checkers/progress.ts';
import { StaleChecker } from './checkers/stale.ts';
import { type Draw, draw, type Fault } from './draw.ts';
import type { Scene, Told } from './facts.ts';
import { lyingPop } from './lying-pop.ts';
import { Mischief } from './mischief.ts';
import { charterOf, key16In, papersOf, readRevocations } from './operator.ts';
import type { Sabotage } from './sabotage.ts';
import { Watch } from './watch.ts';
import { Workload } from './workload.ts';

/** Virtual ms within which all must be as it is to be, once nothing goes wrong any more. */
const CONVERGENCE_MS = 180_000;
/** Between two looks at the whole. */
const SAMPLE_MS = 500;
/** Until the last requests have been answered. */
const LAST_MS = 3_000;
/** Within that time at rest, and so much for each connection of the PoP that has most, all know what each holds: a lost call, and a comparison. */
const REST_MS = 20_000;
const REST_PEER_MS = 2_500;
/** Requests, thousandths, beyond what any honest forecast says of these loads. */
const DEMAND_MAX = 950_000;

export interface ScenarioOptions {
  readonly seed: number;
  readonly pops?: number;
  /** Instead of those that the seed draws. */
  readonly faults?: ReadonlySet<Fault>;
  /** A deliberate defect that somebody must notice. */
  readonly sabotage?: Sabotage | undefined;
  /** Keep logs. */
  readonly verbose?: boolean;
}

export interface Outcome {
  readonly seed: number;
  readonly pops: number;
  readonly liars: number;
  readonly faults: readonly Fault[];
  /** The promise that was broken, and how. */
  readonly broken: string | undefined;
  readonly heights: number;
  /** From the end of all faults until all was as it is to be, virtual ms. */
  readonly convergedMs: number;
  readonly messages: number;
  readonly crashes: number;
  /** Plans that differ from each other. */
  readonly plans: number;
  readonly mirroredBytes: number;
  readonly counts: Readonly<Record<string, number>>;
  /** Hash of all that happened: the same for the same seed. */
  readonly trace: string;
}

/** One history of a whole cluster: faults for a while, then none; all drawn from the seed. */
export class Scenario {
  readonly #options: ScenarioOptions;
  readonly #drawn: Draw;
  readonly #dice: Dice;
  readonly #clock = new VirtualClock();
  readonly #network: ClusterNetwork;
  readonly #pops: SimulatedPop[];
  readonly #watch: Watch;
  readonly #workload: Workload;
  readonly #mischief: Mischief;
  readonly #agreement: AgreementChecker;
  readonly #plans = new PlanChecker();
  readonly #budgets: BudgetChecker;
  #crashes = 0;

  constructor(options: ScenarioOptions) {
    this.#options = options;
    const dice = new Dice(options.seed);
    const asDrawn = draw(dice, options);
    const drawn = { ...asDrawn, ...options.sabotage?.redraw?.(asDrawn) };
    this.#drawn = drawn;
    this.#dice = dice;
    const clock = this.#clock;
    const { resources } = drawn;
    const origin = new VirtualOrigin(resources, dice.apart().random, drawn.origin);
    const links = new VirtualNetwork(new Moments(clock), dice.apart().random, drawn.network);
    const byId = (id: string) => this.#pops.find((pop) => pop.id === id && !drawn.liars.has(pop.index));
    this.#network = new ClusterNetwork(links, {
      ...{ clock, random: dice.apart().random, revocations: { read: readRevocations } },
      tap: {
        replied: (from, _to, protocol, reply) => {
          const pop = protocol === 'purge' && byId(from);
          if (pop) this.#watch.replied(pop, reply);
        },
        rejected: (by, author, topic, code) => {
          const [pop, other] = [byId(author), byId(by)];
          if (pop && other) this.#watch.tell('rejected', pop, other, topic, code);
        },
      },
    });
    const charter = charterOf(drawn.epochMs, drawn.speed);
    const named = new Map(resources.map(({ key }) => [key, key16In(charter, key)]));
    const scene = () => this.#scene();
    this.#agreement = new AgreementChecker(drawn.pops);
    this.#budgets = new BudgetChecker(
      { diskBytes: drawn.storageBytes, bytesPerSecond: drawn.bytesPerSecond },
      scene,
    );
    this.#watch = new Watch(
      [
        this.#agreement,
        this.#plans,
        new DemandChecker(named.values(), DEMAND_MAX),
        new ContentChecker(),
        new StaleChecker(scene),
        this.#budgets,
        new BoundsChecker(drawn.historyBytes),
        new ProgressChecker(this.#agreement),
        new CatalogueChecker(named),
      ],
      () => clock.now,
    );
    this.#pops = this.#build(dice.apart(), origin);
    const honest = this.#pops.filter(({ index }) => !drawn.liars.has(index));
    this.#workload = new Workload({
      ...{ drawn, clock, watch: this.#watch, dice: dice.apart() },
      pops: () => honest.filter((pop) => pop.running),
    });
    this.#mischief = new Mischief({
      ...{ drawn, clock, origin, network: this.#network, pops: this.#pops, dice: dice.apart() },
      start: (pop) => this.#start(pop),
      crash: (pop) => this.#crash(pop),
      stop: (pop) => void pop.stop(),
    });
  }

  async run(): Promise<Outcome> {
    let convergedMs = 0;
    try {
      convergedMs = await this.#play();
    } catch (error) {
      this.#watch.broken ??= `crash: ${(error as Error).stack}`;
    }
    const { seed } = this.#options;
    const { pops, liars, faults } = this.#drawn;
    return {
      ...{ seed, pops, liars: liars.size, faults: [...faults], broken: this.#watch.broken },
      ...{ heights: this.#agreement.height, convergedMs, messages: this.#network.links.delivered },
      ...{ crashes: this.#crashes, plans: this.#plans.hashes.size, mirroredBytes: this.#budgets.bytes },
      ...{ counts: this.#watch.counts, trace: this.#watch.trace },
    };
  }

  /** The logs of all PoPs, for who looks into a seed. */
  logs(): string {
    return this.#pops.map((pop) => `--- PoP ${pop.index} ${pop.id}\n${pop.log.lines.join('\n')}`).join('\n');
  }

  #build(dice: Dice, origin: VirtualOrigin): SimulatedPop[] {
    const {
      pops,
      joiner,
      epochMs,
      speed,
      liars,
      wild,
      skews,
      storageBytes,
      bytesPerSecond,
      historyBytes,
      disk,
    } = this.#drawn;
    const charter = charterOf(epochMs, speed);
    const base = loadConfig({ env: {}, cwd: '/' });
    const config = {
      ...base,
      p2p: { ...base.p2p, bootstrap: pops > 1 || joiner !== undefined ? ['simulated'] : [] },
      storage: { ...base.storage, budget: storageBytes, memory: storageBytes / 4, maxObject: 1 << 20 },
      mirror: { ...base.mirror, bandwidth: bytesPerSecond },
      memory: { ...base.memory, history: historyBytes },
    };
    const work = new SharedWork();
    const count = pops + (joiner === undefined ? 0 : 1);
    const side = Array.from({ length: count }, () => dice.between(0, 2));
    return papersOf(count, pops, charter).map((papers, index) => {
      const lies = liars.has(index)
        ? lyingPop(index, dice.apart(), { size: pops, side, charter, work, wild })
        : undefined;
      const pop = new SimulatedPop({
        ...{ index, papers, config, clock: this.#clock, network: this.#network, origin, work, disk, speed },
        ...{ random: dice.apart().random, logLines: this.#options.verbose ? 2_000 : 20 },
        lies: lies ?? this.#honestly(index),
        happened: (one, type, data) => this.#happened(one, type, data),
        synced: (one) => this.#mischief.tear(one),
      });
      pop.skewMs = skews[index]!;
      this.#options.sabotage?.build?.(pop);
      return pop;
    });
  }

  #honestly(index: number): SimulatedPopOptions['lies'] {
    const { defects, twist } = this.#options.sabotage ?? {};
    return {
      defects,
      network: twist,
      decided: (state, bytes) => this.#watch.tell('stands', this.#pops[index]!, state, bytes),
    };
  }

  #happened(pop: SimulatedPop, type: string, data: Fields): void {
    if (this.#drawn.liars.has(pop.index)) return;
    if (type === 'decision') {
      const { height, hash, stateHash, planHash, included, again } = data as unknown as Told;
      this.#watch.decided(pop, { height, hash, stateHash, planHash, included, again });
    } else if (type === 'mirror' && data.source !== 'client') {
      this.#watch.tell('mirrored', pop, data.size as number, data.source as 'plan' | 'speculative');
    }
  }

  #start(pop: SimulatedPop): void {
    if (pop.up) return;
    this.#options.sabotage?.start?.(pop);
    if (!this.#drawn.liars.has(pop.index)) this.#watch.tell('started', pop);
    const running = pop.start().then(() => this.#options.sabotage?.running?.(pop));
    running.catch((error: unknown) => {
      // A full disk may keep it from starting; the operator starts it again.
      if (!pop.diskFails)
        this.#watch.broken ??= `crash: PoP ${pop.index} did not start: ${(error as Error).stack}`;
      this.#crash(pop);
      this.#clock.after(1_000, () => this.#start(pop));
    });
  }

  #crash(pop: SimulatedPop): void {
    this.#crashes += 1;
    pop.crash();
  }

  async #play(): Promise<number> {
    const [drawn, clock, watch, dice] = [this.#drawn, this.#clock, this.#watch, this.#dice];
    for (const pop of this.#pops) {
      const late = pop.index === drawn.joiner ? drawn.hostileMs / 3 : drawn.faults.size > 0 ? 2_000 : 50;
      clock.after(dice.between(0, late), () => this.#start(pop));
    }
    this.#workload.start();
    if (drawn.faults.size > 0) this.#mischief.begin();
    await this.#watched(drawn.hostileMs);
    this.#mischief.end();
    const healedAt = clock.now;
    const open = () => this.#mischief.pending ?? watch.open('unsettled', this.#scene());
    let left = open();
    let quiet = false;
    while (watch.broken === undefined && clock.now - healedAt < CONVERGENCE_MS) {
      await this.#watched(SAMPLE_MS);
      this.#mischief.end();
      if (!quiet && clock.now - healedAt > drawn.epochMs) {
        this.#workload.quieten();
        quiet = true;
      }
      left = open();
      if (left === undefined && quiet) break;
    }
    const convergedMs = clock.now - healedAt;
    if (left !== undefined) watch.broken ??= `convergence: ${left}`;
    await this.#rest();
    return convergedMs;
  }

  /** Everybody is asked for everything once more; then nothing happens any more. */
  async #rest(): Promise<void> {
    const { members } = this.#scene();
    this.#workload.end();
    let waiting = 0;
    for (const pop of members.slice(0, 10))
      for (const resource of this.#drawn.resources) {
        waiting += 1;
        void this.#workload.ask(pop, resource).finally(() => {
          waiting -= 1;
        });
      }
    const last = this.#clock.now + LAST_MS;
    while (waiting > 0 && this.#watch.broken === undefined && this.#clock.now < last)
      await this.#watched(SAMPLE_MS);
    let left: string | undefined;
    const links = Math.max(0, ...members.map(({ running }) => running?.peers.connected().length ?? 0));
    const until = this.#clock.now + REST_MS + REST_PEER_MS * links;
    do {
      left = this.#watch.open('restless', this.#scene());
      if (left !== undefined) await this.#watched(SAMPLE_MS);
    } while (left !== undefined && this.#watch.broken === undefined && this.#clock.now < until);
    if (left !== undefined) this.#watch.broken ??= `rest: ${left}`;
  }

  async #watched(ms: number): Promise<void> {
    const [clock, eyes] = [this.#clock, this.#watch];
    const end = clock.now + ms;
    while (clock.now < end && eyes.broken === undefined) {
      await clock.runSettled(Math.min(SAMPLE_MS, end - clock.now), () => eyes.broken !== undefined);
      eyes.tell('sampled', this.#scene());
    }
  }

  #scene(): Scene {
    const { liars, resources, faults } = this.#drawn;
    const honest = this.#pops.filter(({ index }) => !liars.has(index));
    const { gone, unheard, originFailed, disksFailed, clocksApartMs } = this.#mischief;
    return {
      ...{ now: this.#clock.now, honest, resources, originFailed, disksFailed },
      comparable: liars.size === 0 && clocksApartMs < MAX_DRIFT_MS,
      faultless: faults.size === 0,
      members: honest.filter((pop) => !gone.has(pop)),
      seats: this.#pops.length - gone.size,
      unheard,
    };
  }
}
