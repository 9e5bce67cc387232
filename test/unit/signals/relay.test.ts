import { describe, expect, it } from 'vitest';
import type { Signal } from '../../../forecasting/signals.ts';
import { SignalRelay } from '../../../node/signals/signal-relay.ts';
import type { Key16, PopId, RegionId } from '../../../protocol/ids.ts';
import { decodeSignals, encodeSignals, SIGNALS_MAX } from '../../../protocol/messages/signal.ts';
import { type Gossip, TOPICS } from '../../../protocol/ports.ts';
import { encode } from '../../../protocol/wire/codec.ts';
import { StepClock } from '../../step-clock.ts';

const eu = 'eu' as RegionId;
const HORIZON = 7_200_000;
const key = (n: number) => n.toString(16).padStart(32, '0') as Key16;

/** Two PoPs, of which the first is told and the second hears. */
function pair() {
  const clock = new StepClock();
  let hear: Parameters<Gossip['subscribe']>[1] = () => ({ verdict: 'accept' });
  const sent: Uint8Array[] = [];
  const speaking: Gossip = {
    publish: async (_, bytes) => void sent.push(bytes),
    subscribe: () => undefined,
  };
  const listening: Gossip = {
    publish: async () => undefined,
    subscribe: (_, receive) => {
      hear = receive;
    },
  };
  const heard: Signal[] = [];
  const shared = {
    ...{ clock, regions: () => [eu], horizonMs: () => HORIZON, nameOf: () => 'fra1' },
    demand: { speed: 1, now: () => clock.now(), at: (real: number) => real },
    metrics: { count: () => undefined, gauge: () => undefined, observe: () => undefined },
    shareable: (key16: Key16) => key16 !== key(13),
  };
  const first = new SignalRelay({ ...shared, gossip: speaking, deliver: () => undefined });
  new SignalRelay({ ...shared, gossip: listening, deliver: (signals) => void heard.push(...signals) });
  const author = 'first' as PopId;
  return { clock, first, sent, heard, hear: (bytes: Uint8Array) => hear(author, bytes) };
}

describe('signals between PoPs', () => {
  it('tell what a PoP was given, in its name, and not what all can hear themselves', async () => {
    const { clock, first, sent, heard, hear } = pair();
    const at = clock.now();
    await first.tell([
      { source: 'rpc', key16: key(1), strength: 2.5, at, region: eu },
      { source: 'webhook', key16: key(2), strength: 1, at },
      { source: 'jetstream', key16: key(3), strength: 9, at },
      { source: 'webhook@nyc1', key16: key(4), strength: 9, at },
      { source: 'rpc', key16: key(13), strength: 1, at },
    ]);
    expect(sent).toHaveLength(1);
    expect(hear(sent[0]!)).toEqual({ verdict: 'accept' });
    expect(heard).toEqual([
      { source: 'rpc@fra1', key16: key(1), strength: 3, at, region: eu },
      { source: 'webhook@fra1', key16: key(2), strength: 1, at },
    ]);
  });

  it('fit their messages, however many there are', async () => {
    const { clock, first, sent } = pair();
    const many = Array.from({ length: 300 }, (_, n) => ({
      ...{ source: 'rpc', key16: key(n + 100), strength: 1e12, at: clock.now() },
      region: 'a-region-with-a-name-that-is-full'.slice(0, 32) as RegionId,
    }));
    await first.tell(many);
    expect(sent).toHaveLength(Math.ceil(300 / SIGNALS_MAX));
    for (const bytes of sent) expect(bytes.length).toBeLessThanOrEqual(TOPICS.signal.maxBytes);
    expect(sent.flatMap((bytes) => decodeSignals(bytes))).toHaveLength(300);
  });

  it('are left out where they are stale, ahead, of no region, or too many, and refused where they are malformed', async () => {
    const { clock, heard, hear } = pair();
    await clock.advance(3 * HORIZON);
    const at = clock.now();
    const one = { way: 'rpc' as const, key16: key(1), strength: 1, at, region: undefined };
    hear(
      encodeSignals([
        { ...one, at: at - HORIZON },
        { ...one, at: at + HORIZON },
      ]),
    );
    hear(encodeSignals([{ ...one, region: 'moon' as RegionId }]));
    expect(heard).toEqual([]);
    for (let i = 0; i < 10; i += 1) hear(encodeSignals(new Array(SIGNALS_MAX).fill(one)));
    expect(heard).toHaveLength(600);
    await clock.advance(60_000);
    hear(encodeSignals([{ ...one, at: clock.now() }]));
    expect(heard).toHaveLength(601);
    for (const wrong of [[1, [[9, key(1), 1, at, null]]], [2, []], [1, [[0, 'x', 1, at, null]]], 'text']) {
      expect(hear(encode(wrong))).toMatchObject({ verdict: 'reject' });
    }
    expect(hear(new Uint8Array([1, 2, 3]))).toMatchObject({ verdict: 'reject' });
    expect(heard).toHaveLength(601);
  });
});
