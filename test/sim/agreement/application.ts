import { hash } from 'node:crypto';
import * as v from 'valibot';
import { digestOf } from '../../../protocol/agreement-header.ts';
import type {
  Application,
  Epoch,
  Included,
  Proposed,
  Transition,
} from '../../../protocol/agreement-steps.ts';
import { type DecidedState, rosterOf } from '../../../protocol/decided-state.ts';
import { decodeState, encodeState } from '../../../protocol/decided-state-codec.ts';
import type { PopId } from '../../../protocol/ids.ts';
import type { Random } from '../../../protocol/ports.ts';
import { applyOperations } from '../../../protocol/roster-operations.ts';
import { decode, encode } from '../../../protocol/wire/codec.ts';
import { bytes, rows, uint } from '../../../protocol/wire/schemas.ts';
import { TRUST } from './operator.ts';
import type { Witness } from './witness.ts';

export interface ApplicationOptions {
  readonly self: PopId;
  readonly random: Random;
  /** The longest body that the seed's PoPs propose. */
  readonly bodyBytes: number;
  /** Absent for liars, whose opinion counts for nothing. */
  readonly witness: Witness | undefined;
  readonly lies: boolean;
}

/** Operations that fit into one body: fewer than may wait. */
const CARRIED = 3;
const bodySchema = v.strictTuple([uint(1), uint(), bytes(64 * 1024), rows(bytes(4096), 128)]);
const stateSchema = v.strictTuple([bytes(32, 32), bytes(1 << 20)]);
const readBody = (body: Uint8Array) =>
  decode(body, { name: 'body', maxBytes: 128 * 1024, schema: bodySchema });

/** The bytes of a state that nothing was decided in yet. */
export const firstState = (origin: DecidedState): Uint8Array =>
  encode([new Uint8Array(32), encodeState(origin)]);

/**
 * Proposals of random bytes with operations; the state is a hash over all that was included, and what the real
 * operations make of roster, bans and penalties.
 */
export class SimulatedApplication implements Application {
  readonly #options: ApplicationOptions;
  readonly #states = new WeakMap<Uint8Array, { readonly past: Uint8Array; readonly state: DecidedState }>();

  constructor(options: ApplicationOptions) {
    this.#options = options;
  }

  propose({ height }: Epoch, operations: readonly Uint8Array[]): Proposed {
    const { random, bodyBytes, lies, witness, self } = this.#options;
    const valid = lies && random.float() < 0.5 ? 0 : 1;
    const filling = new Uint8Array(Math.floor(random.float() * bodyBytes));
    const carried = operations.slice(0, CARRIED);
    const body = encode([valid, random.uint32(), filling, carried]);
    witness?.vouched(height, self, digestOf(body));
    return { body, carried };
  }

  validate(body: Uint8Array, { height }: Epoch, proposer: PopId): boolean {
    try {
      if (readBody(body)[0] !== 1) return false;
    } catch {
      return false;
    }
    this.#options.witness?.vouched(height, proposer, digestOf(body));
    return true;
  }

  apply(epoch: Epoch, included: readonly Included[]): Transition {
    const { height } = epoch;
    const { past, state } = this.#read(epoch.state);
    const parts: Uint8Array[] = [past, Uint8Array.of(height & 255)];
    const operations: Uint8Array[] = [];
    for (const { slot, body } of included) {
      parts.push(Uint8Array.of(slot), body);
      // A liar that was vouched for by nobody honest is never included, but its vouched body may be odd all the same.
      try {
        operations.push(...readBody(body)[3]);
      } catch {
        parts.push(Uint8Array.of(255));
      }
    }
    const present = new Set(included.map(({ slot }) => slot));
    const members = state.members.map((member, slot) => ({
      ...member,
      missed: present.has(slot) ? 0 : member.missed + 1,
    }));
    const next = { ...state, height, ...applyOperations({ ...state, members, height }, operations, TRUST) };
    this.#options.witness?.stands(next);
    const [before, after] = [rosterOf(state), rosterOf(next)];
    const digest = hash('sha256', Buffer.concat(parts), 'buffer');
    return {
      state: encode([digest, encodeState(next)]),
      roster: before.join() === after.join() ? undefined : after,
      operations,
    };
  }

  #read(encoded: Uint8Array): { readonly past: Uint8Array; readonly state: DecidedState } {
    const known = this.#states.get(encoded);
    if (known) return known;
    const [past, bytesOfState] = decode(encoded, { name: 'state', maxBytes: 2 << 20, schema: stateSchema });
    const read = { past, state: decodeState(bytesOfState) };
    this.#states.set(encoded, read);
    return read;
  }
}
