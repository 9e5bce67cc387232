import { createHash, type KeyObject, sign, verify } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type AgreementMessage, agreementSpec } from '../../../actors/agreement.ts';
import type { ActorRef } from '../../../actors/kernel/actor.ts';
import { ActorSystem } from '../../../actors/kernel/system.ts';
import { systemClock } from '../../../node/adapters/clock.ts';
import { openLevel } from '../../../node/adapters/level.ts';
import type { Application, Decided } from '../../../protocol/agreement-steps.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { popIdOf, publicKeyFromRaw, publicKeyOf } from '../../../protocol/pop-key.ts';
import type { Database } from '../../../protocol/ports.ts';
import {
  createOperator,
  newKey,
  startPop,
  systemRandom,
  type TestPop,
  testLog,
  until,
} from '../network/cluster.ts';

const SIZE = 4;
const EPOCH_MS = 1_000;
const application: Application = {
  propose: ({ height }) => ({
    body: Buffer.from(`proposal for ${height} ${systemRandom.uint32()}`),
    carried: [],
  }),
  validate: (body) => body.length > 0,
  apply: ({ state }, included) => {
    const hash = createHash('sha256').update(state);
    for (const { slot, body } of included) hash.update(Uint8Array.of(slot)).update(body);
    return { state: hash.digest(), roster: undefined };
  },
};

/** A member with real network, signatures and disk. */
class Member {
  readonly decided: Decided[] = [];
  #network: TestPop | undefined;
  #database: Database | undefined;
  #system: ActorSystem | undefined;
  readonly #key: KeyObject;
  readonly #directory: string;
  readonly #operator = operator;
  readonly self: PopId;

  constructor(key: KeyObject, directory: string) {
    this.#key = key;
    this.#directory = directory;
    this.self = popIdOf(key);
  }

  get height(): number {
    return this.decided.at(-1)?.header.height ?? 0;
  }

  addresses(): string[] {
    return this.#network?.addresses().slice(0, 1) ?? [];
  }

  async start(founders: readonly PopId[], bootstrap: string[]): Promise<void> {
    this.#network = await startPop(this.#operator, { privateKey: this.#key, bootstrap });
    const { gossip, streams, peers, metrics } = this.#network;
    const log = testLog();
    this.#database = await openLevel(join(this.#directory, this.self), { log, metrics });
    this.#system = new ActorSystem({ clock: systemClock, log, metrics, yieldTurn: () => setImmediate() });
    const agreement: ActorRef<AgreementMessage> = this.#system.actor(
      agreementSpec({
        ...{ database: this.#database, gossip, streams, peers },
        decided: (decided) => this.decided.push(decided),
        options: {
          ...{
            self: this.self,
            genesis: operator.genesis,
            founders,
            origin: new Uint8Array(32),
            application,
          },
          ...{ random: systemRandom, epochMs: EPOCH_MS },
          sign: (message) => new Uint8Array(sign(null, message, this.#key)),
          verify: (pop, message, signature) =>
            verify(null, message, publicKeyFromRaw(publicKeyOf(pop)), signature),
        },
      }),
    );
    const root = this.#system.group('root', 'one-for-one', { restarts: 0, withinMs: 1_000 }, [agreement]);
    await this.#system.start(root, (error) => {
      throw error;
    });
  }

  async stop(): Promise<void> {
    await this.#network?.close();
    await this.#system?.stop(5_000);
    await this.#database?.close();
  }
}

const operator = createOperator();

describe('four PoPs on a real network, with real keys and disks', () => {
  it('decide the same heights, one of them through a restart', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'presage-agreement-'));
    const members = Array.from({ length: SIZE }, () => new Member(newKey(), directory));
    const founders = members.map(({ self }) => self);
    const [last] = members.slice(-1);
    const up = async (member: Member) =>
      member.start(
        founders,
        members.flatMap((other) => other.addresses()),
      );
    try {
      for (const member of members) await up(member);
      await until('three heights', () => members.every(({ height }) => height >= 3), 30_000);
      await last!.stop();
      const away = last!.height;
      const others = members.slice(0, -1);
      await until('heights without it', () => others.every(({ height }) => height >= away + 2), 30_000);
      await up(last!);
      await until('all together', () => members.every(({ height }) => height >= away + 5), 30_000);
      // It votes again, it does not just follow.
      const voted = () =>
        last!.decided.some(({ header, jumped, again }) => header.height > away && !jumped && !again);
      await until('a vote after the restart', voted, 30_000);
      const hashes = new Map<number, string>();
      for (const { header, hash } of members.flatMap(({ decided }) => decided)) {
        expect(hashes.get(header.height) ?? hash).toBe(hash);
        hashes.set(header.height, hash);
        expect(header.included.length).toBeGreaterThanOrEqual(3);
      }
      expect(last!.decided.some(({ again }) => again)).toBe(true);
    } finally {
      await Promise.allSettled(members.map((member) => member.stop()));
      await rm(directory, { recursive: true, force: true });
    }
  });
});
