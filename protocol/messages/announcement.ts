import * as v from 'valibot';
import type { Key16, RegionId } from '../ids.ts';
import { idBytes } from '../ids.ts';
import { TOPICS } from '../ports.ts';
import { decode, encode } from '../wire/codec.ts';
import { key16, regionId, rows, uint } from '../wire/schemas.ts';

/** An operator's word of demand that is to come: a premiere, a release, a live event. */
export interface Announcement {
  readonly key16: Key16;
  /** Demand time at which demand begins, ms. */
  readonly at: number;
  /** Requests expected in the first hour; 0 if nothing was said. */
  readonly expect: number;
  /** Only from this region; from everywhere if absent. */
  readonly region: RegionId | undefined;
}

/** Announcements in one message. */
export const ANNOUNCEMENTS_MAX = 256;

/** `[1, [[key16, at, expect, region | nil]…]]` */
const spec = {
  name: 'announcement',
  schema: v.strictTuple([
    v.literal(1),
    rows(v.strictTuple([key16, uint(), uint(0x7fff_ffff), v.nullable(regionId)]), ANNOUNCEMENTS_MAX),
  ]),
  maxBytes: TOPICS.announcement.maxBytes,
};

export const encodeAnnouncements = (list: readonly Announcement[]): Uint8Array =>
  encode([
    1,
    list.slice(0, ANNOUNCEMENTS_MAX).map((a) => [idBytes(a.key16), a.at, a.expect, a.region ?? null]),
  ]);

/** Fails with `WIRE_*`. */
export const decodeAnnouncements = (bytes: Uint8Array): Announcement[] =>
  decode(bytes, spec)[1].map(([key, at, expect, region]) => ({
    key16: key,
    at,
    expect,
    region: region ?? undefined,
  }));
