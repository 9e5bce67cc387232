import { sign } from 'node:crypto';
import { lie } from '../../../node/demo/lie.ts';
import type { Dice } from '../../../node/simulator/dice.ts';
import type { Twist } from '../../../node/simulator/network-hooks.ts';
import type { MindTwists, SharedWork } from '../../../node/simulator/simulated-mind.ts';
import type { Charter } from '../../../protocol/charter.ts';
import { PresageError } from '../../../protocol/errors.ts';
import type { ProtocolName, TopicName } from '../../../protocol/ports.ts';
import { LIES, Liar, type Lie } from '../agreement/liar.ts';
import { GENESIS, popOf } from './operator.ts';

/** What a PoP may do that lies, beside twisting its votes. */
const VICES = ['garbage', 'replay', 'deaf', 'corrupt', 'wild', 'votes'] as const;
type Vice = (typeof VICES)[number];

/** Protocols that hand over what the operator or an origin made. */
const CONTENT: ReadonlySet<ProtocolName> = new Set(['replica', 'chunk', 'name', 'charter', 'catalogue']);
/** Messages that are kept to be said again. */
const REPLAYED = 50;

/** A Byzantine PoP: an honest one whose words are twisted on their way out, and whose forecasts may be nonsense. */
export function lyingPop(
  index: number,
  dice: Dice,
  cluster: {
    readonly size: number;
    readonly side: readonly number[];
    readonly charter: Charter;
    readonly work: SharedWork;
    readonly wild: boolean;
  },
): MindTwists & { readonly network: Twist } {
  const drawn = dice.shuffled(VICES).slice(0, dice.between(1, 4));
  const vices = new Set<Vice>(cluster.wild ? ['wild'] : drawn);
  // Two machines under one name are for the scenario of the agreement alone.
  const lies = new Set(dice.shuffled(LIES.filter((one) => one !== 'twins')).slice(0, dice.between(1, 4)));
  const network = new TwistedNetwork(dice, vices, liarOf(index, dice, lies, cluster));
  if (!vices.has('wild')) return { network };
  const { sites, regions } = cluster.charter;
  const fill = (key: Uint8Array) =>
    key.forEach((_, at) => {
      key[at] = dice.between(0, 256);
    });
  return { network, view: (view) => lie(view, sites[0]!.id, regions, fill) };
}

function liarOf(
  index: number,
  dice: Dice,
  lies: ReadonlySet<Lie>,
  {
    size,
    side,
    work,
  }: { readonly size: number; readonly side: readonly number[]; readonly work: SharedWork },
): Liar {
  const { key } = popOf(index);
  const signed = (message: Uint8Array) => new Uint8Array(sign(null, message, key));
  return new Liar({ ...{ genesis: GENESIS, dice, lies, size, side, decode: work.decode }, sign: signed });
}

class TwistedNetwork implements Twist {
  readonly #dice: Dice;
  readonly #vices: ReadonlySet<Vice>;
  readonly #liar: Liar;
  readonly #said = new Map<TopicName, Uint8Array[]>();

  constructor(dice: Dice, vices: ReadonlySet<Vice>, liar: Liar) {
    [this.#dice, this.#vices, this.#liar] = [dice, vices, liar];
  }

  gossip(topic: TopicName, bytes: Uint8Array, to: number): readonly Uint8Array[] {
    const said = topic === 'agree' && this.#vices.has('votes') ? this.#votes(bytes, to) : [bytes];
    if (this.#vices.has('garbage') && this.#dice.chance(0.2)) said.push(this.#garbage(bytes));
    if (this.#vices.has('replay')) said.push(...this.#replayed(topic, bytes));
    return said;
  }

  request(protocol: ProtocolName, bytes: Uint8Array, to: number): Uint8Array | undefined {
    if (protocol === 'agreeSync' && this.#vices.has('votes')) return this.#votes(bytes, to)[0];
    return this.#vices.has('garbage') && this.#dice.chance(0.2) ? this.#garbage(bytes) : bytes;
  }

  reply(protocol: ProtocolName, bytes: Uint8Array): Uint8Array | undefined {
    if (this.#vices.has('deaf') && this.#dice.chance(0.5)) return undefined;
    const corrupts = this.#vices.has('corrupt') && CONTENT.has(protocol) && this.#dice.chance(0.7);
    return corrupts || (this.#vices.has('garbage') && this.#dice.chance(0.2)) ? this.#garbage(bytes) : bytes;
  }

  #votes(bytes: Uint8Array, to: number): Uint8Array[] {
    try {
      return this.#liar.tell(bytes, to);
    } catch (error) {
      // What was twisted before may not decode any more.
      if (!(error instanceof PresageError)) throw error;
      return [bytes];
    }
  }

  #replayed(topic: TopicName, bytes: Uint8Array): Uint8Array[] {
    const said = this.#said.get(topic) ?? [];
    this.#said.set(topic, said);
    said.push(bytes);
    if (said.length > REPLAYED) said.shift();
    return this.#dice.chance(0.2) ? [this.#dice.pick(said)] : [];
  }

  #garbage(bytes: Uint8Array): Uint8Array {
    if (bytes.length === 0) return Uint8Array.of(this.#dice.between(0, 256));
    const garbage = bytes.slice(
      0,
      this.#dice.chance(0.3) ? this.#dice.between(1, bytes.length + 1) : undefined,
    );
    garbage[this.#dice.between(0, garbage.length)]! ^= this.#dice.between(1, 256);
    return garbage;
  }
}
