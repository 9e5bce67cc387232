import { hash } from 'node:crypto';
import * as v from 'valibot';
import { digestOf } from '../../../protocol/agreement-header.ts';
import {
  AgreedRoster,
  encodeOperation,
  leaveStatement,
  type RosterAuthority,
} from '../../../protocol/agreement-roster.ts';
import type {
  Application,
  Epoch,
  Included,
  Proposed,
  Transition,
} from '../../../protocol/agreement-steps.ts';
import type { PopId } from '../../../protocol/ids.ts';
import type { Random } from '../../../protocol/ports.ts';
import { decode, encode } from '../../../protocol/wire/codec.ts';
import { bytes, rows, uint } from '../../../protocol/wire/schemas.ts';
import { GENESIS, signatureOf } from './pop.ts';
import type { Witness } from './witness.ts';

export interface ApplicationOptions {
  readonly self: PopId;
  readonly random: Random;
  /** The longest body that the seed's PoPs propose. */
  readonly bodyBytes: number;
  readonly missesAllowed: number;
  /** Absent for liars, whose opinion counts for nothing. */
  readonly witness: Witness | undefined;
  readonly lies: boolean;
}

const OPERATOR = 'operator' as PopId;
/** What lets a PoP in, signed by the operator. */
export function admission(pop: PopId): Uint8Array {
  const certificate = encode([pop, signatureOf(OPERATOR, Buffer.from(pop))]);
  return encodeOperation({ kind: 'join', certificate });
}
/** How a PoP says that it goes. */
export function farewell(pop: PopId): Uint8Array {
  const through = 1_000_000;
  const signature = signatureOf(pop, leaveStatement(GENESIS, pop, 0, through));
  return encodeOperation({ kind: 'leave', pop, from: 0, through, signature });
}

const holds = (pop: PopId, message: Uint8Array, signature: Uint8Array) =>
  Buffer.compare(signatureOf(pop, message), signature) === 0;
const certificateSchema = v.strictTuple([v.string(), bytes(64, 64)]);
const AUTHORITY: RosterAuthority = {
  certified: (certificate) => {
    const [name, signature] = decode(certificate, { name: 'pass', maxBytes: 512, schema: certificateSchema });
    const pop = name as PopId;
    return holds(OPERATOR, Buffer.from(pop), signature) ? pop : undefined;
  },
  signedBy: holds,
  signedByOperator: (message, signature) => holds(OPERATOR, message, signature),
};

const bodySchema = v.strictTuple([uint(1), uint(), bytes(64 * 1024), rows(bytes(4096), 128)]);
const stateSchema = v.strictTuple([bytes(32, 32), bytes(1 << 20)]);
const readBody = (body: Uint8Array) =>
  decode(body, { name: 'body', maxBytes: 128 * 1024, schema: bodySchema });

/** The state before the first height. */
export const originOf = (founders: readonly PopId[]): Uint8Array =>
  encode([new Uint8Array(32), AgreedRoster.founded(founders).encode()]);

/** Proposals of random bytes with operations; the state is a hash over all that was included, and the roster. */
export class SimulatedApplication implements Application {
  readonly #options: ApplicationOptions;

  constructor(options: ApplicationOptions) {
    this.#options = options;
  }

  propose({ height }: Epoch, operations: readonly Uint8Array[]): Proposed {
    const { random, bodyBytes, lies, witness, self } = this.#options;
    const valid = lies && random.float() < 0.5 ? 0 : 1;
    const filling = new Uint8Array(Math.floor(random.float() * bodyBytes));
    const body = encode([valid, random.uint32(), filling, operations]);
    witness?.vouched(height, self, digestOf(body));
    return { body, carried: operations };
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

  apply({ state, height }: Epoch, included: readonly Included[]): Transition {
    const [past, rosterBytes] = decode(state, { name: 'state', maxBytes: 2 << 20, schema: stateSchema });
    const roster = AgreedRoster.decode(rosterBytes);
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
    const next = roster.next(
      {
        ...{ height, genesis: GENESIS, clock: 0, missesAllowed: this.#options.missesAllowed, operations },
        included: included.map(({ slot }) => slot),
      },
      AUTHORITY,
    );
    const changed = next.pops.join() !== roster.pops.join();
    const digest = hash('sha256', Buffer.concat(parts), 'buffer');
    return { state: encode([digest, next.encode()]), roster: changed ? next.pops : undefined, operations };
  }
}
