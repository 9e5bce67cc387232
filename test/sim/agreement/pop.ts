import { hash } from 'node:crypto';
import type { AgreementWorld } from '../../../node/simulator/agreement-world.ts';
import { VirtualDisk } from '../../../node/simulator/agreement-world.ts';
import type { DiskConditions } from '../../../node/simulator/virtual-database.ts';
import { Agreement } from '../../../protocol/agreement.ts';
import type {
  AgreementEffect,
  AgreementInput,
  AgreementWrite,
  Application,
  Decided,
  Defects,
} from '../../../protocol/agreement-steps.ts';
import { PresageError } from '../../../protocol/errors.ts';
import type { Genesis } from '../../../protocol/genesis.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { type AgreementMessage, decodeAgreement } from '../../../protocol/messages/agreement.ts';
import type { Random } from '../../../protocol/ports.ts';
import { encodeOperation } from '../../../protocol/roster-operations.ts';
import type { Witness } from './witness.ts';

export const GENESIS = '5e'.repeat(32) as Genesis;

const ALPHABET = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
/** A peer id that sorts by its number. */
export const popOf = (index: number): PopId =>
  `12D3KooW${ALPHABET[Math.floor(index / 58)]}${ALPHABET[index % 58]}${'x'.repeat(42)}` as PopId;

/** A stand-in for Ed25519 that only the PoP itself computes; liars sign with no name but their own. */
export function signatureOf(pop: PopId, message: Uint8Array): Uint8Array {
  const digest = hash('sha256', Buffer.concat([Buffer.from(pop), message]), 'buffer');
  return Buffer.concat([digest, digest]);
}

/** Of the last statements whose signatures were checked: a signature is checked by many receivers. */
const checked = new WeakMap<Uint8Array, string>();
const verify = (pop: PopId, message: Uint8Array, signature: Uint8Array): boolean => {
  const key = pop + Buffer.from(message).toString('latin1');
  if (checked.get(signature) === key) return true;
  const holds = Buffer.compare(signatureOf(pop, message), signature) === 0;
  if (holds) checked.set(signature, key);
  return holds;
};

const decoded = new WeakMap<Uint8Array, AgreementMessage | PresageError>();
/** Decodes what crossed the wire, a broadcast once for all its receivers. */
export function decodeOnce(bytes: Uint8Array): AgreementMessage {
  let known = decoded.get(bytes);
  if (!known) {
    try {
      known = decodeAgreement(bytes);
    } catch (error) {
      if (!(error instanceof PresageError)) throw error;
      known = error;
    }
    decoded.set(bytes, known);
  }
  if (known instanceof PresageError) throw known;
  return known;
}

/** Carries what a PoP sends; a liar's carrier sends something else. */
export interface Carrier {
  gossip(from: SimulatedPop, bytes: Uint8Array): void;
  direct(from: SimulatedPop, to: PopId, bytes: Uint8Array): void;
}

export interface PopOptions {
  readonly index: number;
  readonly founders: readonly PopId[];
  readonly origin: Uint8Array;
  readonly world: AgreementWorld;
  /** What it asks to be let in with when it is no member. */
  readonly pass: () => Uint8Array | undefined;
  readonly random: Random;
  readonly application: Application;
  readonly carrier: Carrier;
  readonly disk: DiskConditions;
  readonly epochMs: number;
  /** Absent for liars. */
  readonly witness: Witness | undefined;
  readonly defects: Defects;
  readonly forgetful: boolean;
  /** How often a write is the moment of a crash. */
  readonly crashAtWrite: () => boolean;
  /** Whether what was being written at a crash is lost. */
  readonly tearsWrite: () => boolean;
  /** Called when the PoP has gone down in the middle of something. */
  readonly crashed: (pop: SimulatedPop) => void;
}

/** One PoP: the real machine on a virtual clock, disk and network. */
export class SimulatedPop {
  readonly index: number;
  readonly pop: PopId;
  up = false;
  readonly #options: PopOptions;
  readonly #disk = new VirtualDisk();
  #machine: Agreement | undefined;
  #life = 0;
  #timer = 0;

  constructor(options: PopOptions) {
    this.index = options.index;
    this.pop = popOf(options.index);
    this.#options = options;
  }

  get height(): number {
    return this.#machine?.height ?? 0;
  }

  get machine(): Agreement | undefined {
    return this.#machine;
  }

  start(): void {
    const { founders, origin, application, random, epochMs, defects, witness } = this.#options;
    this.up = true;
    this.#life += 1;
    this.#machine = new Agreement({
      ...{ self: this.pop, genesis: GENESIS, founders, origin, application, verify, random, epochMs },
      sign: (message) => signatureOf(this.pop, message),
      ...{ records: this.#disk.records(), decode: decodeOnce, defects },
    });
    const effects = this.#machine.step({ type: 'start' }, this.#now);
    const told = effects.find(
      (effect): effect is { type: 'decided'; decided: Decided } => effect.type === 'decided',
    );
    witness?.restarted(this.pop, told?.decided);
    this.#run(effects);
    this.step({ type: 'joining', operation: this.#options.pass() });
  }

  crash(): void {
    if (!this.up) return;
    this.up = false;
    this.#life += 1;
    if (this.#options.forgetful) this.#disk.forget();
  }

  step(input: AgreementInput): void {
    if (this.up) this.#run(this.#machine!.step(input, this.#now));
  }

  get #now(): number {
    return this.#options.world.clock.now;
  }

  #run(effects: readonly AgreementEffect[]): void {
    const life = this.#life;
    for (const effect of effects) {
      if (life !== this.#life) return;
      this.#carryOut(effect);
    }
  }

  #carryOut(effect: AgreementEffect): void {
    const { carrier, witness, world } = this.#options;
    switch (effect.type) {
      case 'publish':
        witness?.says(this.pop, decodeOnce(effect.bytes));
        carrier.gossip(this, effect.bytes);
        return;
      case 'send':
        carrier.direct(this, effect.to, effect.bytes);
        return;
      case 'persist':
        this.#write(effect.token, effect.writes);
        return;
      case 'timer': {
        const life = this.#life;
        const timer = ++this.#timer;
        world.clock.after(Math.max(0, effect.at - this.#now), () => {
          if (life === this.#life && timer === this.#timer) this.step({ type: 'tick' });
        });
        return;
      }
      case 'decided':
        witness?.decides(this.pop, effect.decided);
        return;
      case 'equivocation':
        witness?.accused(effect.equivocation);
        this.step({
          type: 'operation',
          operation: encodeOperation({ kind: 'evidence', ...effect.equivocation }),
          purpose: `evidence ${effect.equivocation.pop}`,
        });
        return;
      case 'diverged':
        witness?.diverged(effect.height);
        return;
      case 'degraded':
      case 'fault':
        return;
    }
  }

  /** A crash may come before the write is complete, or after it but before anything was sent. */
  #write(token: number, writes: readonly AgreementWrite[]): void {
    const { world, disk, crashAtWrite, tearsWrite, crashed } = this.#options;
    const life = this.#life;
    const { clock } = world;
    clock.after(world.between(disk.minMs, disk.maxMs + 1), () => {
      if (life !== this.#life) return;
      const crash = crashAtWrite();
      if (!crash || !tearsWrite()) this.#disk.apply(writes);
      if (crash) {
        this.crash();
        crashed(this);
      } else this.step({ type: 'persisted', token });
    });
  }
}
