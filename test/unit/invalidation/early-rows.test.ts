import { describe, expect, it } from 'vitest';
import { EarlyRows } from '../../../protocol/early-rows.ts';
import type { ContentHash } from '../../../protocol/ids.ts';
import type { CatalogueRow } from '../../../protocol/messages/catalogue.ts';
import { variantId } from '../../../protocol/versions.ts';
import { keyIn, popOf } from './pops.ts';

const row = (name: string, time?: number): CatalogueRow => {
  const stamp = { time: time ?? 0, counter: 0, pop: popOf(1) };
  const version = { content: '0'.repeat(64) as ContentHash, size: 1, validator: '', stamp };
  return { id: variantId(keyIn(name), ''), ...(time !== undefined && { version }) };
};

describe('rows that are told too early', () => {
  it('are kept until they are taken, of each variant the newest', () => {
    const rows = new EarlyRows();
    rows.add([row('a', 5), row('b', 7), row('c')]);
    rows.add([row('a', 9), row('b', 6)]);
    expect(rows.take()).toEqual([row('b', 7), row('a', 9)]);
    expect(rows.size).toBe(0);
  });

  it('are bounded, and the first to be told are the first to go', () => {
    const rows = new EarlyRows();
    rows.add(Array.from({ length: 5_000 }, (_, n) => row(`page ${n}`, n + 1)));
    const kept = rows.take();
    expect(kept).toHaveLength(4_096);
    expect(kept[0]).toEqual(row('page 904', 905));
  });
});
