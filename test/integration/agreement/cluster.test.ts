import type { KeyObject } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { type AgreementMessage, agreementSpec } from '../../../actors/agreement.ts';
import type { ActorRef } from '../../../actors/kernel/actor.ts';
import { ActorSystem } from '../../../actors/kernel/system.ts';
import { AgreedForecast, type AgreementSetup } from '../../../forecasting/agreed-forecast.ts';
import { systemClock } from '../../../node/adapters/clock.ts';
import { openLevel } from '../../../node/adapters/level.ts';
import { inspect } from '../../../protocol/certificate.ts';
import type { Decision } from '../../../protocol/decision.ts';
import type { OwnView } from '../../../protocol/forecast-application.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../../protocol/ids.ts';
import { popIdOf } from '../../../protocol/pop-key.ts';
import type { Database } from '../../../protocol/ports.ts';
import {
  certify,
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
/** A forecast of one resource that no two PoPs make alike. */
const viewAt = (at: number): OwnView => ({
  ...{ at, window: at, windowMs: EPOCH_MS, windowShare: 100, uses: [] },
  cap: { storageBudgetMiB: 100, fillKiBps: 1_000, load: 0, state: 'up' },
  resources: [
    {
      key16: '0123456789abcdef0123456789abcdef' as Key16,
      ...{ site: 'main' as SiteId, size: 10_000, holders: [] },
      demand: [
        {
          region: 'eu' as RegionId,
          ...{ expected: 1_000 + (systemRandom.uint32() % 1_000), chance: 700, credit: 600, held: true },
        },
      ],
    },
  ],
  observed: () => 1_000,
  series: () => undefined,
});

/** A member with real network, signatures and disk. */
class Member {
  readonly decided: Decision[] = [];
  #network: TestPop | undefined;
  #database: Database | undefined;
  #system: ActorSystem | undefined;
  readonly #key: KeyObject;
  readonly #directory: string;
  readonly #operator = operator;
  readonly self: PopId;
  readonly sealed: Uint8Array;

  constructor(key: KeyObject, directory: string) {
    this.#key = key;
    this.#directory = directory;
    this.self = popIdOf(key);
    this.sealed = certify(operator, key);
  }

  get height(): number {
    return this.decided.at(-1)?.height ?? 0;
  }

  addresses(): string[] {
    return this.#network?.addresses().slice(0, 1) ?? [];
  }

  async start(founders: AgreementSetup['founders'], bootstrap: string[]): Promise<void> {
    this.#network = await startPop(this.#operator, { privateKey: this.#key, bootstrap });
    const { gossip, streams, peers, metrics } = this.#network;
    const log = testLog();
    this.#database = await openLevel(join(this.#directory, this.self), { log, metrics });
    this.#system = new ActorSystem({ clock: systemClock, log, metrics, yieldTurn: () => setImmediate() });
    let forecast: AgreedForecast | undefined;
    const agreement: ActorRef<AgreementMessage> = this.#system.actor(
      agreementSpec({
        ...{ self: this.self, genesis: operator.genesis, database: this.#database, gossip, streams, peers },
        machine: {
          join: async (records) => {
            forecast = new AgreedForecast(
              this.self,
              {
                ...{
                  genesis: operator.genesis,
                  operatorKey: operator.cluster.operatorKey,
                  founders,
                  records,
                },
                ...{ epochMs: EPOCH_MS, seed: systemRandom.uint32() },
                privateKey: new Uint8Array(this.#key.export({ format: 'der', type: 'pkcs8' })),
              },
              () => viewAt(Date.now()),
            );
          },
          step: async (input, now) => forecast!.step(input, now),
          heard: async (from, bytes, now) => forecast!.heard(from, bytes, now),
        },
        joining: undefined,
        leave: () => new Uint8Array(0),
        decided: (decision) => this.decided.push(decision),
        degraded: () => undefined,
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
    const founders = members.map(({ sealed }) => ({
      certificate: inspect(sealed, operator.cluster.operatorKey, operator.genesis),
      sealed,
    }));
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
        last!.decided.some(({ height, jumped, again }) => height > away && !jumped && !again);
      await until('a vote after the restart', voted, 30_000);
      const hashes = new Map<number, string>();
      for (const { height, hash, included } of members.flatMap(({ decided }) => decided)) {
        expect(hashes.get(height) ?? hash).toBe(hash);
        hashes.set(height, hash);
        expect(included).toBeGreaterThanOrEqual(3);
      }
      expect(last!.decided.some(({ again }) => again)).toBe(true);
    } finally {
      await Promise.allSettled(members.map((member) => member.stop()));
      await rm(directory, { recursive: true, force: true });
    }
  });
});
