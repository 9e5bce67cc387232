import type { ClusterNetwork } from '../../../node/simulator/cluster-network.ts';
import type { Dice } from '../../../node/simulator/dice.ts';
import type { SimulatedPop } from '../../../node/simulator/simulated-pop.ts';
import type { VirtualClock } from '../../../node/simulator/virtual-clock.ts';
import type { VirtualOrigin } from '../../../node/simulator/virtual-origin.ts';
import type { Draw, Fault } from './draw.ts';
import { revocationsOf } from './operator.ts';

/** How long a PoP stays away after a crash, ms. */
const AWAY_MS = [50, 500, 3_000, 15_000];
/** Longer than a dead connection goes unnoticed. */
const SILENT_MS = 8_000;
/** More messages than any mailbox holds. */
const FLOOD = 9_000;

export interface MischiefDeps {
  readonly drawn: Draw;
  readonly dice: Dice;
  readonly clock: VirtualClock;
  readonly network: ClusterNetwork;
  readonly origin: VirtualOrigin;
  readonly pops: readonly SimulatedPop[];
  start(pop: SimulatedPop): void;
  crash(pop: SimulatedPop): void;
  stop(pop: SimulatedPop): void;
}

/** What goes wrong, drawn from the seed, until it is called off. */
export class Mischief {
  readonly #deps: MischiefDeps;
  #over = false;
  #endedAt: number | undefined;
  /** Those that are not to come back. */
  readonly gone = new Set<SimulatedPop>();
  /** Of those, how many nobody may have heard say so. */
  unheard = 0;
  originFailed = false;
  disksFailed = false;
  #fastestMs = 0;
  #slowestMs = 0;

  constructor(deps: MischiefDeps) {
    this.#deps = deps;
    this.originFailed = deps.drawn.origin.failures > 0;
  }

  /** How far the fastest clock that there was is from the slowest, ms: a stamp outlives the error that it was made with. */
  get clocksApartMs(): number {
    return this.#fastestMs - this.#slowestMs;
  }

  begin(): void {
    const { drawn, dice, pops } = this.#deps;
    const { hostileMs } = drawn;
    const has = (fault: Fault) => drawn.faults.has(fault);
    const some = (fault: Fault, meanMs: number, act: () => void) => {
      if (has(fault)) this.#nowAndThen(meanMs, act);
    };
    const { pops: size } = drawn;
    const pace = size > 10 ? 3 : 1;
    some('partition', 6_000 * pace, () => this.#partition());
    some('one-way', 5_000 * pace, () => this.#blackHole());
    some('flapping', 900 * pace, () => (dice.chance(0.5) ? this.#partition() : this.#mend()));
    some('crash', 4_000 * pace, () => this.#crash(dice.pick(pops)));
    some('slow-disk', 4_000, () =>
      this.#for(dice.pick(pops), (pop, on) => {
        pop.diskFactor = on ? dice.pick([5, 30]) : 1;
      }),
    );
    some('full-disk', 5_000, () =>
      this.#for(dice.pick(pops), (pop, on) => {
        pop.diskFails = on;
        this.disksFailed = true;
      }),
    );
    some('damage', 3_000, () => dice.pick(pops).blobs.damage(dice.random));
    this.#readClocks();
    some('jump', 4_000, () => {
      dice.pick(pops).skewMs += dice.pick([-5_000, -500, 500, 5_000]);
      this.#readClocks();
    });
    some('origin', 6_000, () => this.#cutOrigin());
    some('flood', 5_000, () => this.#flood(dice.pick(pops)));
    if (drawn.leaver !== undefined && dice.chance(0.5)) this.#once(() => this.#leave(), hostileMs);
    if (drawn.revoked !== undefined) this.#once(() => this.#revoke(), hostileMs);
  }

  /** At an fsync: whether this is the moment to crash. */
  tear(pop: SimulatedPop): void {
    const { drawn, dice } = this.#deps;
    if (this.#over || drawn.tear === 0 || !dice.chance(drawn.tear)) return;
    this.#crash(pop);
  }

  /** From now on nothing goes wrong; who is to go has gone. */
  end(): void {
    const { drawn, network, origin, pops, clock } = this.#deps;
    this.#over = true;
    this.#endedAt ??= clock.now;
    network.links.heal();
    origin.down = false;
    origin.conditions = { ...origin.conditions, failures: 0 };
    for (const pop of pops) {
      pop.diskFails = false;
      pop.diskFactor = 1;
      if (!this.gone.has(pop)) this.#deps.start(pop);
    }
    if (drawn.leaver !== undefined) this.#leave();
    if (drawn.revoked !== undefined) this.#revoke();
  }

  /** Who is to go and is still here. */
  get pending(): string | undefined {
    const { drawn, pops } = this.#deps;
    const goer = drawn.leaver ?? drawn.revoked;
    return goer === undefined || this.gone.has(pops[goer]!) ? undefined : `PoP ${goer} has still to go`;
  }

  /** SIGTERM, for good. */
  #leave(): void {
    const { drawn, pops, stop, clock } = this.#deps;
    const pop = pops[drawn.leaver!]!;
    const connected = pop.running?.peers.connected().length ?? 0;
    // By then every connection that was dead has been found out.
    const settled = this.#endedAt !== undefined && clock.now - this.#endedAt > SILENT_MS;
    const heard = settled && connected >= Math.min(drawn.pops - 1, 40);
    if (this.gone.has(pop) || !pop.running || (this.#over && !heard)) return;
    this.gone.add(pop);
    if (!heard) this.unheard += 1;
    stop(pop);
  }

  /** The operator's list is put beside the certificate of somebody who is up, and a signal sent. */
  #revoke(): void {
    const { drawn, pops, dice } = this.#deps;
    const banned = pops[drawn.revoked!]!;
    const bearers = pops.filter((pop) => pop !== banned && !this.gone.has(pop) && pop.running);
    if (this.gone.has(banned) || bearers.length === 0) return;
    this.gone.add(banned);
    const bearer = dice.pick(bearers);
    bearer.revocations = revocationsOf([banned.id]);
    bearer.running?.network?.revoke(bearer.revocations);
  }

  #readClocks(): void {
    for (const { skewMs } of this.#deps.pops) {
      this.#fastestMs = Math.max(this.#fastestMs, skewMs);
      this.#slowestMs = Math.min(this.#slowestMs, skewMs);
    }
  }

  #nowAndThen(meanMs: number, act: () => void): void {
    const { clock, dice } = this.#deps;
    clock.after(-meanMs * Math.log(1 - dice.random.float()), () => {
      if (this.#over) return;
      act();
      this.#nowAndThen(meanMs, act);
    });
  }

  #once(act: () => void, withinMs: number): void {
    const { clock, dice } = this.#deps;
    clock.after(dice.between(0, withinMs), () => this.#over || act());
  }

  #for(pop: SimulatedPop, set: (pop: SimulatedPop, on: boolean) => void): void {
    const { clock, dice } = this.#deps;
    set(pop, true);
    clock.after(dice.between(200, 4_000), () => this.#over || set(pop, false));
  }

  #crash(pop: SimulatedPop): void {
    if (!pop.up || this.gone.has(pop)) return;
    const { dice, clock, crash, start } = this.#deps;
    crash(pop);
    clock.after(dice.pick(AWAY_MS), () => {
      if (!this.#over && !this.gone.has(pop)) start(pop);
    });
  }

  #partition(): void {
    const { network, pops, dice, clock } = this.#deps;
    network.links.partition(pops.map(() => dice.between(0, 2)));
    network.cut();
    clock.after(dice.between(300, 9_000), () => this.#over || this.#mend());
  }

  #blackHole(): void {
    const { network, pops, dice, clock } = this.#deps;
    for (let holes = dice.between(1, 1 + Math.ceil(pops.length / 2)); holes > 0; holes -= 1)
      network.links.blackHole(dice.between(0, pops.length), dice.between(0, pops.length));
    network.cut();
    clock.after(dice.between(300, 8_000), () => this.#over || this.#mend());
  }

  #mend(): void {
    this.#deps.network.links.mend();
  }

  #cutOrigin(): void {
    const { origin, clock, dice } = this.#deps;
    origin.down = true;
    this.originFailed = true;
    clock.after(dice.between(200, 4_000), () => {
      origin.down = false;
    });
  }

  /** Far more at once than a mailbox holds: what is freshest counts, and commands are refused. */
  #flood({ running }: SimulatedPop): void {
    for (let sent = 0; running && sent < FLOOD; sent += 1)
      running.actors.forecaster.tell({ type: 'requested', keys: [] });
  }
}
