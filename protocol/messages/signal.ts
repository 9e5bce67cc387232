import * as v from 'valibot';
import { idBytes, type Key16, type RegionId } from '../ids.ts';
import { TOPICS } from '../ports.ts';
import { decode, encode } from '../wire/codec.ts';
import { key16, regionId, rows, uint } from '../wire/schemas.ts';

/** How the author came by a signal. The index travels; append only. */
export const SIGNAL_WAYS = ['webhook', 'rpc'] as const;
export type SignalWay = (typeof SIGNAL_WAYS)[number];

/** A hint that a resource will be asked for, as the PoP that was given it tells the others. */
export interface ToldSignal {
  readonly way: SignalWay;
  readonly key16: Key16;
  /** On the scale of whoever gave it, 1 or more. */
  readonly strength: number;
  /** Demand time, ms. */
  readonly at: number;
  /** Only for this region; for all if absent. */
  readonly region: RegionId | undefined;
}

/** Signals in one message: with the longest of regions some 8 KiB. */
export const SIGNALS_MAX = 128;
const STRENGTH_MAX = 0x7fff_ffff;

/** `[1, [[way, key16, strength, at, region | nil]…]]` */
const spec = {
  name: 'signal',
  schema: v.strictTuple([
    v.literal(1),
    rows(
      v.strictTuple([
        uint(SIGNAL_WAYS.length - 1),
        key16,
        v.pipe(uint(STRENGTH_MAX), v.minValue(1)),
        uint(),
        v.nullable(regionId),
      ]),
      SIGNALS_MAX,
    ),
  ]),
  maxBytes: TOPICS.signal.maxBytes,
};

export const encodeSignals = (list: readonly ToldSignal[]): Uint8Array =>
  encode([
    1,
    list
      .slice(0, SIGNALS_MAX)
      .map(({ way, key16: key, strength, at, region }) => [
        SIGNAL_WAYS.indexOf(way),
        idBytes(key),
        Math.max(1, Math.min(STRENGTH_MAX, Math.ceil(strength))),
        at,
        region ?? null,
      ]),
  ]);

/** Fails with `WIRE_*`. */
export const decodeSignals = (bytes: Uint8Array): ToldSignal[] =>
  decode(bytes, spec)[1].map(([way, key, strength, at, region]) => ({
    way: SIGNAL_WAYS[way] ?? 'webhook',
    key16: key,
    ...{ strength, at, region: region ?? undefined },
  }));
