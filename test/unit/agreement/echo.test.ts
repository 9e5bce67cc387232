import { describe, expect, it } from 'vitest';
import { blocksOf, EchoBlocks } from '../../../protocol/agreement-echo.ts';
import { digestOf } from '../../../protocol/agreement-header.ts';
import { decodeAgreement, encodeAgreement, type SlotDigest } from '../../../protocol/messages/agreement.ts';

const SIZE = 150;
const id = (slot: number, edition = 0) => digestOf(Uint8Array.of(slot & 255, edition));
const pairs = (slots: readonly number[]): SlotDigest[] => slots.map((slot) => [slot, id(slot)]);
const every = Array.from({ length: SIZE }, (_, slot) => slot);

describe('a compact ECHO', () => {
  it('says in 150 bytes what pairs say in five thousand', () => {
    const compact = encodeAgreement({ kind: 'compact-echo', height: 7, blocks: blocksOf(7, pairs(every)) });
    const plain = encodeAgreement({ kind: 'echo', height: 7, echoes: pairs(every) });
    expect(compact.length).toBeLessThan(150);
    expect(plain.length).toBeGreaterThan(5_000);
    expect(decodeAgreement(compact)).toMatchObject({ kind: 'compact-echo', height: 7 });
  });

  it('is read by whoever has the same proposals, in whatever order it was made up', () => {
    const blocks = new EchoBlocks(7, SIZE, (slot) => id(slot));
    const slots = [140, 3, 70, 64, 1];
    const opened = blocks.take(9, blocksOf(7, pairs(slots)));
    expect(opened.every(([sender]) => sender === 9)).toBe(true);
    expect(opened.flatMap(([, echoes]) => echoes).sort(([a], [b]) => a - b)).toEqual(
      pairs([1, 3, 64, 70, 140]),
    );
  });

  it('waits for proposals that come later', () => {
    const known = new Map([[1, id(1)]]);
    const blocks = new EchoBlocks(7, SIZE, (slot) => known.get(slot));
    expect(blocks.take(9, blocksOf(7, pairs([1, 2])))).toEqual([]);
    known.set(5, id(5));
    expect(blocks.proposed(5)).toEqual([]);
    known.set(2, id(2));
    expect(blocks.proposed(2)).toEqual([[9, pairs([1, 2])]]);
    expect(blocks.proposed(2), 'counted once').toEqual([]);
  });

  it('counts for nothing in the block of a proposal that differs, or of another height', () => {
    const blocks = new EchoBlocks(7, SIZE, (slot) => id(slot, slot === 2 ? 1 : 0));
    expect(blocks.take(9, blocksOf(7, pairs([1, 2, 64])))).toEqual([[9, pairs([64])]]);
    expect(blocks.take(9, blocksOf(8, pairs([64])))).toEqual([]);
  });

  it('keeps a bounded number of a sender waiting, and none out of range', () => {
    const known = new Map<number, string>();
    const blocks = new EchoBlocks(7, 70, (slot) => known.get(slot));
    for (let slot = 0; slot < 20; slot += 1) blocks.take(9, blocksOf(7, pairs([slot, 40])));
    blocks.take(9, blocksOf(7, pairs([69, 71])));
    for (let slot = 0; slot < 70; slot += 1) known.set(slot, id(slot));
    expect(blocks.proposed(40)).toHaveLength(8);
    expect(blocks.proposed(69)).toEqual([]);
  });
});
