import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeTextReply,
  encodeTextCall,
  encodeTextGossip,
  TEXT_RECORDS_MAX,
} from '../../../protocol/messages/text-record.ts';
import { openTextRecord, signTextRecord, TEXT_RECORD_LIFE_MS } from '../../../protocol/text-record.ts';
import { settled } from '../../step-clock.ts';
import { type Identity, identity, Records } from './world.ts';

const NAME = '_acme-challenge.cdn.example';
const values = (pop: { answered: Map<string, number> }) => [...pop.answered.keys()].sort();
const record = (by: Identity, value: string, expiresAt: number, name = NAME) =>
  signTextRecord({ name, value, expiresAt, author: by.pop }, by.key);

async function three() {
  const world = new Records();
  const [a, b, c] = [
    await world.start(identity()),
    await world.start(identity()),
    await world.start(identity()),
  ];
  await world.clock.advance(0);
  return { world, a: a!, b: b!, c: c! };
}

describe('short-lived records', () => {
  it('are in force at every PoP when a wait returns, by push alone if gossip fails', async () => {
    const { world, a, b, c } = await three();
    world.gossips = false;
    const set = a.set();
    await world.clock.advance(10);
    const { acknowledged, missing } = await set;
    expect([...acknowledged.keys()].sort()).toEqual([b.id.pop, c.id.pop].sort());
    expect(missing.size).toBe(0);
    for (const pop of [a, b, c]) expect(values(pop)).toEqual([`${NAME} token`]);
    for (const pop of [a, b, c]) expect(pop.disk.rows.size).toBe(1);
  });

  it('name who is missing, and reach it through another when it is back', async () => {
    const { world, a, b, c } = await three();
    world.relink((x, y) => x !== c.id.pop && y !== c.id.pop);
    const set = a.set();
    await world.clock.advance(10);
    const { missing } = await set;
    expect([...missing.keys()]).toEqual([c.id.pop]);
    // It is back, and only the second can reach it.
    world.relink((x, y) => ![x, y].includes(a.id.pop));
    await world.clock.advance(2_000);
    expect(values(c)).toEqual([`${NAME} token`]);
    expect(values(b)).toEqual(values(c));
  });

  it('survive a restart, until they expire', async () => {
    const { world, a } = await three();
    void a.set({ lifeMs: 30_000 });
    void a.set({ value: 'long', lifeMs: 90_000 });
    await world.clock.advance(10);
    const again = await world.start(a.id, a.disk);
    expect(values(again)).toEqual([`${NAME} long`, `${NAME} token`]);
    await world.clock.advance(31_000);
    expect(again.book.size).toBe(1);
    expect(a.disk.rows.size).toBe(1);
    const last = await world.start(a.id, a.disk);
    expect(values(last)).toEqual([`${NAME} long`]);
  });

  it('live on when they are set again, wherever that is', async () => {
    const { world, a, b } = await three();
    void a.set({ lifeMs: 30_000 });
    await world.clock.advance(20_000);
    void b.set({ lifeMs: 30_000 });
    await world.clock.advance(20_000);
    expect(a.book.size).toBe(1);
    await world.clock.advance(12_000);
    expect(a.book.size).toBe(0);
  });

  it('are not acknowledged before they are on disk, and come again when the disk has room', async () => {
    const { world, a, b } = await three();
    b.disk.full = true;
    const set = a.set({ waitMs: 3_000 });
    await world.clock.advance(3_500);
    const { missing } = await set;
    expect([...missing.keys()]).toEqual([b.id.pop]);
    b.disk.full = false;
    await world.clock.advance(60_000 - 5_000);
    expect(b.disk.rows.size).toBe(1);
  });

  it('are taken only for names in our zones, for a bounded time and in bounded number', async () => {
    const { world, a } = await three();
    const refused = async (over: object) => {
      const set = a.set(over);
      set.catch(() => undefined);
      await world.clock.advance(10);
      return expect(set).rejects.toMatchObject({ code: 'RPC_PARAMS' });
    };
    await refused({ name: 'other.example' });
    await refused({ name: 'evilcdn.example' });
    await refused({ name: 'with space.cdn.example' });
    await refused({ name: `${'a'.repeat(64)}.cdn.example` });
    await refused({ value: 'x'.repeat(513) });
    await refused({ value: 'ü'.repeat(257) });
    for (let i = 0; i < 16; i += 1) void a.set({ value: `v${i}`, wait: false });
    await world.clock.advance(10);
    await refused({ value: 'one too many' });
    const far = record(a.id, 'far', world.clock.now() + 2 * TEXT_RECORD_LIFE_MS);
    expect(a.book.refusal(far)).toBe('WIRE_FUTURE');
  });

  it('of one PoP gone wrong leave room for those of others', async () => {
    const { world, a, b, c } = await three();
    const expiresAt = world.clock.now() + 60_000;
    for (let i = 0; i < TEXT_RECORDS_MAX; i += 128) {
      const batch = Array.from({ length: 128 }, (_, n) =>
        record(b.id, 'x', expiresAt, `n${i + n}.cdn.example`),
      );
      const call = encodeTextCall({ kind: 'push', records: batch });
      const asked = a.handle(b.id.pop, call);
      await world.clock.advance(0);
      await asked;
    }
    expect(a.book.size).toBe(TEXT_RECORDS_MAX / 4);
    const set = c.set();
    await world.clock.advance(10);
    await set;
    expect(values(a)).toContain(`${NAME} token`);
  });
});

describe('records from peers', () => {
  it('are refused if anybody else signed them, or nobody that is certified', async () => {
    const { world, a, b, c } = await three();
    const stranger = identity();
    const expiresAt = world.clock.now() + 60_000;
    const forged = record({ pop: b.id.pop, key: stranger.key }, 'forged', expiresAt);
    expect(() => openTextRecord(forged.body, forged.signature)).toThrow(
      expect.objectContaining({ code: 'WIRE_SIGNATURE' }),
    );
    const push = async (records: Parameters<typeof encodeTextGossip>[0]) => {
      const asked = a.handle(c.id.pop, encodeTextCall({ kind: 'push', records }));
      await world.clock.advance(0);
      return decodeTextReply(await asked);
    };
    const good = record(b.id, 'good', expiresAt);
    const stale = record(b.id, 'stale', world.clock.now() - 1);
    const unknown = record(stranger, 'unknown', expiresAt);
    // One that is good is taken though those beside it are not.
    expect(await push([forged, unknown, stale, good])).toEqual({ kind: 'push', acknowledged: [good.id] });
    expect(values(a)).toEqual([`${NAME} good`]);
    // By gossip only its author tells of a record.
    expect(await a.receive(c.id.pop, encodeTextGossip([good]))).toEqual({
      verdict: 'reject',
      code: 'WIRE_ORIGIN',
    });
    expect(await a.receive(b.id.pop, encodeTextGossip([forged]))).toEqual({
      verdict: 'reject',
      code: 'WIRE_SIGNATURE',
    });
  });

  it('are never more than noise to a PoP that is sent noise', async () => {
    const { world, a, b } = await three();
    const expiresAt = world.clock.now() + 60_000;
    const seeds = [
      encodeTextGossip([record(b.id, 'x', expiresAt)]),
      encodeTextCall({ kind: 'push', records: [record(b.id, 'y', expiresAt)] }),
      encodeTextCall({ kind: 'compare', digest: [['ab'.repeat(16), expiresAt]] }),
    ];
    const edits = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1, maxLength: 4 });
    const noise = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.constantFrom(...seeds), edits).map(([bytes, changes]) => {
        const out = Uint8Array.from(bytes);
        for (const [at, value] of changes) out[at % out.length] = value;
        return out;
      }),
    );
    await fc.assert(
      fc.asyncProperty(noise, async (bytes) => {
        const verdict = await a.receive(b.id.pop, bytes);
        expect(['accept', 'reject', 'ignore']).toContain(verdict.verdict);
        const asked = a.handle(b.id.pop, bytes).then(
          () => 'answered',
          (error: { code: string }) => error.code,
        );
        await settled();
        expect(await asked).toMatch(/^(answered|WIRE_\w+)$/);
      }),
      { seed: 20261123, numRuns: 300 },
    );
    for (const text of values(a)) expect(['x', 'y']).toContain(text.split(' ')[1]);
  });
});
