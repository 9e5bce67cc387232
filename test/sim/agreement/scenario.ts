import { AgreementWorld } from '../../../node/simulator/agreement-world.ts';
import type { Defects } from '../../../protocol/agreement-steps.ts';
import { encodeState } from '../../../protocol/decided-state-codec.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { type AgreementMessage, encodeAgreement } from '../../../protocol/messages/agreement.ts';
import { quorumOf } from '../../../protocol/quorum.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { firstState, SimulatedApplication } from './application.ts';
import { Attack, type AttackKind, attacksOn } from './attack.ts';
import { SimulatedForecasts } from './forecasts.ts';
import { LIES, Liar, type Lie } from './liar.ts';
import { admission, banishment, farewell, originOf } from './operator.ts';
import type { Outcome } from './outcome.ts';
import { type Carrier, decodeOnce, GENESIS, popOf, SimulatedPop, signatureOf } from './pop.ts';
import { Broken, Witness } from './witness.ts';

/** Virtual ms within which all honest PoPs must have decided two more heights, once nothing goes wrong any more. */
const CONVERGENCE_MS = 200_000;

export interface ScenarioOptions {
  readonly seed: number;
  /** Drawn from the seed if absent. */
  readonly pops?: number;
  readonly defects?: Defects;
  /** Deliberate defects of the world: disks forget at a crash; more liars than can be borne. */
  readonly forgetful?: boolean;
  readonly extraLiars?: number;
  /** As many liars as can be borne, and what they do, instead of what the seed draws. */
  readonly lies?: readonly Lie[];
  /** A schedule against the protocol, instead of what the seed draws. */
  readonly attack?: AttackKind;
  /** Nothing goes wrong but for so many liars. */
  readonly calm?: { readonly liars: number };
  /** Sees what honest PoPs say over gossip. */
  readonly said?: (message: AgreementMessage) => void;
}

/** One history: faults for a while, then none; all drawn from the seed. */
export class Scenario {
  readonly #options: ScenarioOptions;
  readonly #world: AgreementWorld;
  readonly #size: number;
  readonly #witness: Witness;
  /** By PoP the machines that run under its name: one, or two for twins. */
  readonly #machines: SimulatedPop[][] = [];
  readonly #liars = new Map<number, Liar | undefined>();
  #side: number[];
  readonly #epochMs: number;
  /** Heights without inclusion after which a PoP is evicted. */
  #missesAllowed = 100_000;
  /** The daemon's own application instead of a simulated one. */
  readonly #forecasts: boolean;
  /** Whether machines are told when to propose, as by the beat of the windows. */
  readonly #beats: boolean;
  readonly #attack: Attack | undefined;
  #joiner: number | undefined;
  #leaver: PopId | undefined;
  #banned: PopId | undefined;
  #hostile = true;
  #crashes = 0;
  #crashAtWrite = 0;

  constructor(options: ScenarioOptions) {
    this.#options = options;
    const world = new AgreementWorld(options.seed, (w) => ({
      loss: w.pick([0, 0, 0.05, 0.1, 0.2, 0.4]),
      duplicates: w.pick([0, 0.05, 0.2]),
      minMs: w.pick([1, 20]),
      maxMs: w.pick([40, 100, 300]),
      stragglers: w.pick([0, 0.02, 0.2]),
    }));
    this.#world = world;
    this.#size = options.pops ?? world.between(1, 11);
    this.#epochMs = world.pick([1_000, 1_000, 2_000]);
    this.#side = Array.from({ length: this.#size }, () => world.between(0, 2));
    const { liars: bearable } = quorumOf(this.#size);
    const count = options.calm
      ? options.calm.liars
      : options.extraLiars
        ? bearable + options.extraLiars
        : world.chance(0.6)
          ? bearable
          : world.between(0, bearable + 1);
    const liars = new Set(
      world.shuffled(Array.from({ length: this.#size }, (_, index) => index)).slice(0, count),
    );
    const founders = Array.from({ length: this.#size }, (_, index) => popOf(index));
    const honest = new Set(founders.filter((_, index) => !liars.has(index)));
    this.#witness = new Witness(founders, honest, (size) => this.#least(size));
    this.#forecasts = world.chance(0.1);
    this.#beats = world.chance(0.5);
    const bodyBytes = world.pick([4, 64, 64, this.#size > 8 ? 12_000 : 200]);
    if (world.chance(0.5)) this.#crashAtWrite = world.pick([0.005, 0.02, 0.1]);
    if (world.chance(0.6)) this.#tarry();
    const attacks = attacksOn(this.#size);
    const drawn = world.chance(0.25) && attacks.length > 0 && !options.calm ? world.pick(attacks) : undefined;
    const attack = options.attack ?? drawn;
    if (attack) {
      this.#attack = new Attack(attack, world, this.#size, liars);
      this.#side = this.#attack.side;
      world.network.heal();
      const loss = attack === 'drought' ? 0.5 : 0;
      const maxMs = world.pick([30, 80]);
      world.network.conditions = { loss, duplicates: 0, minMs: 5, maxMs, stragglers: 0 };
      this.#crashAtWrite = attack === 'relapse' ? world.pick([0.1, 0.2]) : 0;
    }
    if (count === 0 && world.chance(0.2)) this.#missesAllowed = world.pick([3, 5]);
    for (let index = 0; index < this.#size; index += 1) {
      this.#machines.push(this.#found(index, founders, liars.has(index), bodyBytes));
    }
    if (options.calm) {
      world.network.heal();
      return;
    }
    if (world.chance(0.3)) {
      this.#joiner = this.#size;
      this.#side.push(world.between(0, 2));
      this.#machines.push(this.#found(this.#size, founders, false, bodyBytes));
    }
    const left = founders.filter((pop) => honest.has(pop));
    if (world.chance(0.2) && this.#size > 1 && quorumOf(this.#size - 1).liars >= count) {
      this.#leaver = world.pick(left);
    } else if (world.chance(0.1) && this.#size > 1 && quorumOf(this.#size - 1).liars >= count - 1) {
      this.#banned = count > 0 ? popOf([...liars][0]!) : world.pick(left);
    }
  }

  run(): Outcome {
    let broken: string | undefined;
    let convergedMs = 0;
    try {
      if (!this.#options.calm) this.#faults();
      convergedMs = this.#calm();
    } catch (error) {
      if (error instanceof Broken) broken = error.message;
      else broken = `crash: ${error instanceof Error ? error.stack : String(error)}`;
    }
    const { seed } = this.#options;
    const heights = this.#witness.highest;
    return {
      ...{ seed, pops: this.#size, liars: this.#liars.size, broken, heights, convergedMs },
      attack: this.#attack?.kind,
      ...{
        messages: this.#world.network.delivered,
        crashes: this.#crashes,
        rounds: this.#witness.round,
        contested: this.#witness.contested.size,
      },
    };
  }

  #found(index: number, founders: readonly PopId[], lies: boolean, bodyBytes: number): SimulatedPop[] {
    const world = this.#world;
    const kinds = lies ? this.#kinds() : new Set<Lie>();
    const twins = kinds.has('twins');
    if (lies) {
      const plain = twins && kinds.size === 1;
      const liar = plain ? undefined : this.#liar(popOf(index), kinds);
      this.#liars.set(index, liar);
    }
    const machines: SimulatedPop[] = [];
    const state = originOf(founders, this.#missesAllowed);
    const origin = this.#forecasts ? encodeState(state) : firstState(state);
    for (let twin = 0; twin < (twins ? 2 : 1); twin += 1) {
      const random = seededRandom(world.random.uint32());
      const witness = lies ? undefined : this.#witness;
      machines.push(
        new SimulatedPop({
          ...{ index, founders, origin, world, random, epochMs: this.#epochMs, witness },
          pass: () => (popOf(index) === this.#leaver ? undefined : admission(popOf(index))),
          application: new (this.#forecasts ? SimulatedForecasts : SimulatedApplication)({
            ...{ self: popOf(index), random, bodyBytes, witness, lies: kinds.has('invalid') },
          }),
          carrier: this.#carrier(twins ? twin : undefined),
          disk: { minMs: 1, maxMs: world.pick(this.#attack?.kind === 'relapse' ? [80] : [2, 20, 80]) },
          tearsWrite: () => world.chance(this.#attack?.kind === 'relapse' ? 0.8 : 0.4),
          defects: this.#options.defects ?? {},
          forgetful: !lies && this.#options.forgetful === true,
          crashAtWrite: () => this.#hostile && this.#crashAtWrite > 0 && world.chance(this.#crashAtWrite),
          crashed: (pop) => this.#fell(pop),
        }),
      );
    }
    return machines;
  }

  #liar(pop: PopId, lies: ReadonlySet<Lie>): Liar {
    return new Liar({
      ...{
        genesis: GENESIS,
        dice: this.#world,
        lies,
        size: this.#size,
        side: this.#side,
        decode: decodeOnce,
      },
      sign: (message) => signatureOf(pop, message),
    });
  }

  /** Some PoPs are heard late by some of the others, about when these give up waiting for them. */
  #tarry(): void {
    const world = this.#world;
    const most = world.pick([400, 800, 1_600]);
    for (let slow = world.between(1, 3); slow > 0; slow -= 1) {
      const from = world.between(0, this.#size);
      for (let to = 0; to < this.#size; to += 1) {
        if (world.chance(0.6)) world.network.slow(from, to, world.between(0, most));
      }
    }
  }

  /** What must at least be included; what a defect changes on purpose is not what gives it away. */
  #least(size: number): number {
    const { liars, quorum } = quorumOf(size);
    const defect = this.#options.defects?.quorum;
    return defect === 'one short' ? quorum - 1 : defect === '2b+1' ? 2 * liars + 1 : quorum;
  }

  #kinds(): Set<Lie> {
    const world = this.#world;
    if (this.#attack?.kind === 'camps') return new Set<Lie>(['twins']);
    if (this.#attack?.scripted) return new Set<Lie>();
    if (this.#options.lies) return new Set(this.#options.lies);
    if (world.chance(0.35)) return new Set<Lie>(['twins']);
    return new Set(world.shuffled(LIES).slice(0, world.between(1, 4)));
  }

  /** A twin speaks and listens only to its side, and to the twins there; other machines to all. */
  #carrier(twin: number | undefined): Carrier {
    const post = (from: SimulatedPop, to: number, bytes: Uint8Array, type: 'gossip' | 'direct') => {
      const receivers = this.#machines[to];
      if (to === from.index || !receivers) return;
      const side = twin ?? this.#side[from.index]!;
      if (twin !== undefined && receivers.length === 1 && this.#side[to] !== twin) return;
      const receiver = receivers[receivers.length === 1 ? 0 : side];
      for (const told of this.#told(from.index, to, bytes)) {
        const { clock, network } = this.#world;
        const lone = receivers.length === 1 && !this.#liars.has(from.index);
        const delay = this.#attack && lone ? this.#attack.delay(from.index, to, decodeOnce(told)) : 0;
        if (delay === Number.POSITIVE_INFINITY) continue;
        const deliver = () => receiver?.step({ type, from: from.pop, bytes: told });
        network.carry(from.index, to, delay > 0 ? () => clock.after(delay, deliver) : deliver);
      }
    };
    const all = Array.from({ length: this.#size + 1 }, (_, index) => popOf(index));
    return {
      gossip: (from, bytes) => {
        if (this.#options.said && !this.#liars.has(from.index)) this.#options.said(decodeOnce(bytes));
        for (let to = 0; to < this.#machines.length; to += 1) post(from, to, bytes, 'gossip');
      },
      direct: (from, to, bytes) => post(from, all.indexOf(to), bytes, 'direct'),
    };
  }

  /** What really goes out to a receiver. */
  #told(from: number, to: number, bytes: Uint8Array): Uint8Array[] {
    if (!this.#liars.has(from)) return [bytes];
    if (this.#attack?.scripted) {
      return this.#attack.twist(from, to, decodeOnce(bytes)).map((message) => encodeAgreement(message));
    }
    return this.#liars.get(from)?.tell(bytes, to) ?? [bytes];
  }

  #start(pop: SimulatedPop): void {
    if (pop.up) return;
    pop.start();
    this.#connect(pop.index);
  }

  #connect(index: number): void {
    for (const [other, machines] of this.#machines.entries()) {
      if (other === index) continue;
      for (const machine of machines) {
        this.#world.clock.after(this.#world.between(5, 200), () =>
          machine.step({ type: 'peer', peer: popOf(index) }),
        );
      }
    }
  }

  #fell(pop: SimulatedPop): void {
    this.#crashes += 1;
    const away = this.#world.pick(this.#attack ? [50, 500] : [50, 500, 3_000, 20_000]);
    this.#world.clock.after(away, () => {
      if (this.#hostile) this.#start(pop);
    });
  }

  #faults(): void {
    const world = this.#world;
    const { clock, network } = world;
    if (this.#attack) {
      this.#besiege(this.#attack);
      return;
    }
    for (const pop of this.#machines.flat()) {
      const late = world.chance(0.2) ? world.between(0, 10_000) : world.between(0, 300);
      clock.after(late, () => this.#hostile && this.#start(pop));
    }
    if (this.#leaver)
      clock.after(world.between(0, 4_000), () => this.#hostile && this.#leave(world.chance(0.5)));
    if (this.#banned) clock.after(world.between(0, 4_000), () => this.#ban());
    if (this.#beats) this.#beat();
    const actions = world.between(1, 5);
    const cuts = world.chance(0.7);
    const holes = world.chance(0.4);
    const kills = world.chance(0.6);
    for (let action = 0; action < actions; action += 1) {
      clock.run(world.between(200, 2 * this.#epochMs));
      if (cuts && world.chance(0.5)) {
        const along = world.chance(0.7);
        network.partition(along ? this.#side : this.#side.map(() => world.between(0, 2)));
      }
      if (holes && world.chance(0.5) && this.#size > 1) {
        for (let hole = world.between(1, 4); hole > 0; hole -= 1) {
          network.blackHole(world.between(0, this.#size), world.between(0, this.#size));
        }
      }
      if (kills && world.chance(0.5)) {
        const pop = world.pick(world.pick(this.#machines));
        if (pop.up) {
          pop.crash();
          this.#fell(pop);
        }
      }
      clock.run(world.between(200, 3 * this.#epochMs));
      if (world.chance(0.6)) network.mend();
    }
  }

  /** The attack instead of accidents. */
  #besiege(attack: Attack): void {
    const { clock } = this.#world;
    for (const pop of this.#machines.flat()) {
      clock.after(this.#world.between(0, 100), () => this.#hostile && this.#start(pop));
    }
    if (this.#beats) this.#beat();
    for (let left = this.#world.between(4, 10); left > 0; left -= 1) {
      clock.run(this.#epochMs);
      const pop = this.#world.pick(this.#world.pick(this.#machines));
      if (attack.kind !== 'relapse' || !pop.up) continue;
      pop.crash();
      this.#fell(pop);
    }
    attack.stop();
  }

  /** At once: the others are told, and carry the leave of one who is gone already. */
  #leave(atOnce: boolean): void {
    const leaver = this.#machines.flat().find(({ pop }) => pop === this.#leaver);
    if (!leaver?.up || !this.#leaver) return;
    const operation = farewell(this.#leaver);
    leaver.step(atOnce ? { type: 'leaving', operation } : { type: 'operation', operation });
    if (atOnce) leaver.crash();
  }

  /** Somebody honest is handed the operator's list. */
  #ban(): void {
    const bearers = this.#machines.flat().filter(({ index, up }) => up && !this.#liars.has(index));
    const bearer = bearers.length > 0 ? this.#world.pick(bearers) : undefined;
    if (this.#banned)
      bearer?.step({ type: 'operation', operation: banishment(this.#banned), purpose: 'ban' });
  }

  /** The windows close at about the same time everywhere; not all PoPs are done with their forecasts in time. */
  #beat(): void {
    const world = this.#world;
    for (const pop of this.#machines.flat()) {
      if (world.chance(0.05)) continue;
      world.clock.after(world.between(0, this.#epochMs / 4), () => pop.step({ type: 'propose' }));
    }
    world.clock.after(this.#epochMs, () => this.#beat());
  }

  /** Whoever is to come is there, and whoever is to go is gone. */
  #settled(): boolean {
    const roster = this.#witness.roster(this.#witness.highest + 1) ?? [];
    if (this.#joiner !== undefined && !roster.includes(popOf(this.#joiner))) return false;
    if (this.#banned !== undefined && roster.includes(this.#banned)) return false;
    return this.#leaver === undefined || !roster.includes(this.#leaver);
  }

  /** Nothing goes wrong any more, but for the liars: all honest PoPs have to go on. */
  #calm(): number {
    const { clock, network } = this.#world;
    this.#hostile = false;
    network.heal();
    for (const pop of this.#machines.flat()) this.#start(pop);
    for (let index = 0; index < this.#machines.length; index += 1) this.#connect(index);
    this.#leave(false);
    this.#ban();
    const honest = this.#machines.filter((_, index) => !this.#liars.has(index)).flat();
    const goal = Math.max(0, ...honest.map((pop) => pop.height)) + 2;
    const began = clock.now;
    const done = () => honest.every((pop) => this.#witness.told(pop.pop) >= goal) && this.#settled();
    clock.run(CONVERGENCE_MS, done);
    if (!done()) {
      const heights = honest.map((pop) => `${pop.index}:${pop.height}`).join(' ');
      throw new Broken(`termination: ${goal} not reached by all, or roster not settled (${heights})`);
    }
    return clock.now - began;
  }
}
