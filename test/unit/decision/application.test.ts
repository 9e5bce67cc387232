import { describe, expect, it } from 'vitest';
import { planHash, planStateOf } from '../../../protocol/agreed-plan.ts';
import { Agreement } from '../../../protocol/agreement.ts';
import type { AgreementInput, AgreementTable } from '../../../protocol/agreement-steps.ts';
import { type DecidedState, rosterOf } from '../../../protocol/decided-state.ts';
import { encodeState, stateHash } from '../../../protocol/decided-state-codec.ts';
import { ForecastApplication, type OwnView } from '../../../protocol/forecast-application.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { plan } from '../../../protocol/placement.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { encodeOperation } from '../../../protocol/roster-operations.ts';
import { charterOf } from '../../property/decision/charter.ts';
import {
  type Founder,
  founder,
  foundersOf,
  genesis,
  key16,
  originOf,
  proposal,
  REGIONS,
  SITES,
  START,
  signed,
  trust,
} from '../../property/decision/cluster.ts';

const EPOCH_MS = 5_000;

interface Pop {
  readonly self: PopId;
  readonly application: ForecastApplication;
  readonly machine: Agreement;
  readonly decided: Map<number, DecidedState>;
  timer: number;
}

const viewOf = (now: () => number, wild: boolean): OwnView => ({
  at: START + now(),
  window: START + EPOCH_MS * Math.floor(now() / EPOCH_MS),
  windowMs: EPOCH_MS,
  cap: proposal().cap,
  uses: [],
  windowShare: 100,
  resources: Array.from({ length: 40 }, (_, n) => ({
    ...{ key16: key16(n), site: SITES[0]!, size: 1000 * (n + 1), holders: [REGIONS[1]!] },
    demand: [
      {
        region: REGIONS[0]!,
        expected: wild ? 2 ** 31 - 1 : 5000,
        chance: 900,
        credit: wild ? 1000 : 700,
        held: false,
      },
    ],
  })),
  observed: () => 500,
  series: () => undefined,
});

/** Machines that hear each other at once and lose nothing: the machine's own tests do worse to it. */
class Room {
  readonly pops = new Map<PopId, Pop>();
  readonly #founders: readonly PopId[];
  readonly #origin: Uint8Array;
  #queue: { to: PopId; input: AgreementInput }[] = [];
  #now = 0;

  constructor(founders: readonly Founder[]) {
    this.#founders = founders.map(({ pop }) => pop);
    this.#origin = encodeState(originOf(founders.length));
    for (const one of founders) this.add(one);
    for (const pop of founders) this.#queue.push({ to: pop.pop, input: { type: 'start' } });
  }

  add({ pop: self, key }: Founder, wild = false): Pop {
    const application = new ForecastApplication({ self, trust, view: () => viewOf(() => this.#now, wild) });
    const none = new Map<string, Uint8Array>();
    const records: Record<AgreementTable, ReadonlyMap<string, Uint8Array>> = {
      ...{ own: none, body: none, header: none, snapshot: none },
    };
    const machine = new Agreement({
      ...{ self, genesis, application, records, epochMs: EPOCH_MS },
      founders: this.#founders,
      origin: this.#origin,
      sign: (message) => signed(key, message),
      verify: trust.verify,
      random: seededRandom(1),
    });
    const pop: Pop = { self, application, machine, decided: new Map(), timer: Number.POSITIVE_INFINITY };
    this.pops.set(self, pop);
    return pop;
  }

  tell(to: PopId, input: AgreementInput): void {
    this.#queue.push({ to, input });
  }

  /** Runs until every one of `who` has decided a height. */
  until(height: number, who: Iterable<Pop> = this.pops.values()): void {
    const waiting = [...who];
    for (let i = 0; i < 200_000 && waiting.some(({ decided }) => !decided.has(height)); i += 1) {
      const next = this.#queue.shift();
      if (next !== undefined) this.#step(next.to, next.input);
      else {
        const first = [...this.pops.values()].sort((a, b) => a.timer - b.timer)[0]!;
        this.#now = Math.max(this.#now, first.timer);
        first.timer = Number.POSITIVE_INFINITY;
        this.#step(first.self, { type: 'tick' });
      }
    }
    for (const { decided } of waiting) expect(decided.has(height)).toBe(true);
  }

  #step(to: PopId, input: AgreementInput): void {
    const pop = this.pops.get(to);
    if (pop === undefined) return;
    for (const effect of pop.machine.step(input, this.#now)) {
      if (effect.type === 'timer') pop.timer = effect.at;
      else if (effect.type === 'persist') this.tell(to, { type: 'persisted', token: effect.token });
      else if (effect.type === 'send')
        this.tell(effect.to, { type: 'direct', from: to, bytes: effect.bytes });
      else if (effect.type === 'decided') {
        pop.decided.set(effect.decided.header.height, pop.application.stateOf(effect.decided.state));
        expect(rosterOf(pop.application.stateOf(effect.decided.state))).toEqual(effect.decided.roster);
      } else if (effect.type === 'publish') {
        for (const other of this.pops.keys()) {
          if (other !== to) this.tell(other, { type: 'gossip', from: to, bytes: effect.bytes });
        }
      } else if (effect.type === 'diverged') throw new Error(`${to} diverged`);
    }
  }
}

const hashesAt = (pops: Iterable<Pop>, height: number) =>
  [...pops].map(({ decided }) => {
    const state = decided.get(height)!;
    return `${stateHash(state)} ${planHash(plan(planStateOf(state), charterOf()))}`;
  });

describe('agreement on forecasts', () => {
  it.each([1, 2, 4, 5])('%i PoPs decide the same states and plan alike', (size) => {
    const room = new Room(foundersOf(size));
    room.until(6);
    for (let height = 1; height <= 6; height += 1) {
      expect(new Set(hashesAt(room.pops.values(), height)).size).toBe(1);
    }
    const [any] = room.pops.values();
    const state = any!.decided.get(6)!;
    expect(state.vector.length).toBe(40);
    // Slots beyond a quorum need not be in: their share of heights is for the machine's own tests.
    expect(plan(planStateOf(state), charterOf()).placements.length).toBeGreaterThan(0);
  });

  it('lets a PoP in by its certificate; it takes the state over and takes part', () => {
    const room = new Room(foundersOf(4));
    room.until(2);
    const newcomer = founder(8);
    const pop = room.add(newcomer);
    const operation = encodeOperation({ kind: 'join', certificate: newcomer.sealed });
    room.tell(newcomer.pop, { type: 'joining', operation });
    room.tell(newcomer.pop, { type: 'start' });
    room.until(9);
    expect(pop.decided.get(9)?.members.map(({ pop: id }) => id)).toContain(newcomer.pop);
    expect(new Set(hashesAt(room.pops.values(), 9)).size).toBe(1);
    expect(pop.decided.get(9)?.members.find(({ pop: id }) => id === newcomer.pop)?.missed).toBeLessThan(10);
  });
});

describe('a body', () => {
  const [one] = foundersOf(4);
  const application = new ForecastApplication({ self: one!.pop, trust, view: () => viewOf(() => 0, false) });
  const epoch = {
    ...{ height: 1, chain: '00'.repeat(32), roster: rosterOf(originOf(4)) },
    state: encodeState(originOf(4)),
  };

  it('is vouched for if it is well formed, or empty', () => {
    const { body } = application.propose(epoch, []);
    expect(body.length).toBeGreaterThan(100);
    expect(application.validate(body, epoch)).toBe(true);
    expect(application.validate(new Uint8Array(0), epoch)).toBe(true);
    expect(application.validate(body.slice(0, -1), epoch)).toBe(false);
    expect(application.validate(Uint8Array.of(1, 2, 3), epoch)).toBe(false);
  });

  it('counts as empty where it is malformed: one that was decided must never stop the others', () => {
    const ok = application.propose(epoch, []).body;
    const included = (body: Uint8Array) =>
      epoch.roster.map((proposer, slot) => ({ slot, proposer, body: slot === 0 ? body : ok }));
    const odd = application.apply(epoch, included(Uint8Array.of(9, 9))).state;
    expect(odd).toEqual(application.apply(epoch, included(new Uint8Array(0))).state);
  });

  it('is empty, and the PoP passive, under rules that it does not know', () => {
    const newer = encodeState({ ...originOf(4), rules: { version: 2, streak: 0 } });
    expect(application.isPassive(newer)).toBe(true);
    expect(application.isPassive(epoch.state)).toBe(false);
    expect(application.propose({ ...epoch, state: newer }, []).body.length).toBe(0);
  });
});

it('one PoP with wildly wrong forecasts does not change the plan', () => {
  const planOf = (wild: boolean) => {
    const founders = foundersOf(4);
    const applications = founders.map(
      ({ pop }, i) =>
        new ForecastApplication({ self: pop, trust, view: () => viewOf(() => 0, wild && i === 2) }),
    );
    let encoded: Uint8Array = encodeState(originOf(4));
    for (let height = 1; height <= 5; height += 1) {
      const epoch = {
        height,
        chain: 'aa'.repeat(32),
        roster: founders.map(({ pop }) => pop),
        state: encoded,
      };
      const included = applications.map((application, slot) => {
        return { slot, proposer: founders[slot]!.pop, body: application.propose(epoch, []).body };
      });
      encoded = applications[0]!.apply(epoch, included).state;
    }
    return planHash(plan(planStateOf(applications[0]!.stateOf(encoded)), charterOf()));
  };
  expect(planOf(true)).toBe(planOf(false));
});
