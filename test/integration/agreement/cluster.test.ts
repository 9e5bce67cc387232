import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { OwnView } from '../../../protocol/forecast-application.ts';
import type { Key16, RegionId, SiteId } from '../../../protocol/ids.ts';
import { createOperator, newKey, systemRandom, until } from '../network/cluster.ts';
import { founderOf, Member } from './member.ts';

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

const operator = createOperator();

describe('four PoPs on a real network, with real keys and disks', () => {
  it('decide the same heights, one of them through a restart', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'presage-agreement-'));
    const view = () => viewAt(Date.now());
    const members = Array.from(
      { length: SIZE },
      () => new Member({ operator, key: newKey(), directory, epochMs: EPOCH_MS, view }),
    );
    const founders = members.map(({ sealed }) => founderOf(operator, sealed));
    const [last] = members.slice(-1);
    const up = async (member: Member) =>
      member.start(
        founders,
        members.flatMap((other) => other.addresses()),
      );
    try {
      for (const member of members) await up(member);
      await until('three heights', () => members.every(({ height }) => height >= 3), 90_000);
      await last!.stop();
      const away = last!.height;
      const others = members.slice(0, -1);
      await until('heights without it', () => others.every(({ height }) => height >= away + 2), 90_000);
      await up(last!);
      await until('all together', () => members.every(({ height }) => height >= away + 5), 90_000);
      // It votes again, it does not just follow.
      const voted = () =>
        last!.decided.some(({ height, jumped, again }) => height > away && !jumped && !again);
      await until('a vote after the restart', voted, 90_000);
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
