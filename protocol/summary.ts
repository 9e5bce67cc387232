import type { ErrorCode } from './errors.ts';
import type { Key16, PopId, RegionId, SiteId } from './ids.ts';

/** Whether a PoP takes new replicas: `drain` by the operator, `sick` by its own health checks. */
export type PopState = 'up' | 'drain' | 'sick';

/** What a PoP can take, as it says of itself. */
export interface Capacities {
  readonly storageBudgetMiB: number;
  readonly storageFreeMiB: number;
  /** What it may spend on mirroring, KiB per second of real time. */
  readonly fillKiBps: number;
  /** 0 idle … 15 saturated. */
  readonly load: number;
  readonly state: PopState;
}

/** What mirroring was worth at a PoP within one window, in KiB: newly mirrored, newly used, newly judged unused. */
export interface Worth {
  readonly mirroredKiB: number;
  readonly usedKiB: number;
  readonly unusedKiB: number;
  /** Of what was judged, the size times the chance of use that the plan gave it. */
  readonly promisedKiB?: number;
}

/**
 * 64 bits of linear counting (Whang, Vander-Zanden and Taylor 1990) as two unsigned 32-bit halves: which of 64
 * buckets some client prefix fell into. Merging is OR; one bucket says next to nothing of a client.
 */
export type ClientBits = readonly [low: number, high: number];

/** Demand for one resource within a window. */
export interface SummaryResource {
  readonly key16: Key16;
  readonly site: SiteId;
  /** Bytes of the representation. */
  readonly size: number;
  /** Class of content, see `KINDS`. */
  readonly kind: number;
  /** 16 bits of hash of the path's directory, so that neighbours are known without their names; 0 for none. */
  readonly group: number;
  readonly clients: ClientBits;
  readonly regions: readonly {
    readonly region: RegionId;
    readonly count: number;
    readonly bytes: number;
  }[];
}

/** A PoP's window: what it saw from demand time `from` (inclusive) to `to` (exclusive), Unix ms. */
export interface Summary {
  readonly pop: PopId;
  /** Number of the window at this PoP; rises by at least one with each, across restarts too. */
  readonly sequence: number;
  readonly from: number;
  readonly to: number;
  readonly requests: number;
  readonly bytes: number;
  /** Requests and bytes of the window that no resource of the list accounts for. */
  readonly tail: { readonly requests: number; readonly bytes: number };
  readonly capacities: Capacities;
  readonly worth: Worth;
  /** The most asked first. */
  readonly resources: readonly SummaryResource[];
  /** Indices into `resources`, and how often the second came within a minute after the first. */
  readonly companions: readonly (readonly [leader: number, follower: number, count: number])[];
}

/** Classes of content. The index travels; append only. */
export const KINDS = [
  'other',
  'page',
  'image',
  'video',
  'audio',
  'script',
  'style',
  'font',
  'archive',
  'data',
] as const;

const EXTENSIONS: Readonly<Record<string, (typeof KINDS)[number]>> = {
  html: 'page',
  htm: 'page',
  php: 'page',
  gif: 'image',
  jpg: 'image',
  jpeg: 'image',
  png: 'image',
  webp: 'image',
  avif: 'image',
  svg: 'image',
  ico: 'image',
  xbm: 'image',
  mp4: 'video',
  m4s: 'video',
  ts: 'video',
  webm: 'video',
  mpg: 'video',
  mpeg: 'video',
  mov: 'video',
  avi: 'video',
  m3u8: 'video',
  mp3: 'audio',
  ogg: 'audio',
  wav: 'audio',
  au: 'audio',
  js: 'script',
  mjs: 'script',
  wasm: 'script',
  css: 'style',
  woff: 'font',
  woff2: 'font',
  ttf: 'font',
  zip: 'archive',
  gz: 'archive',
  tgz: 'archive',
  xz: 'archive',
  zst: 'archive',
  deb: 'archive',
  rpm: 'archive',
  iso: 'archive',
  json: 'data',
  xml: 'data',
  txt: 'data',
  csv: 'data',
};

/** The class of content that a path's ending suggests, as an index of `KINDS`. */
export function kindOfPath(path: string): number {
  const query = path.indexOf('?');
  const bare = query < 0 ? path : path.slice(0, query);
  const name = bare.slice(bare.lastIndexOf('/') + 1);
  const dot = name.lastIndexOf('.');
  if (dot < 0) return 1;
  const kind = EXTENSIONS[name.slice(dot + 1).toLowerCase()] ?? 'other';
  return KINDS.indexOf(kind);
}

/** 16 bits (never 0) of FNV-1a over the key up to its last slash: the directory, as the summary's `group`. */
export function groupOfKey(key: string): number {
  const query = key.indexOf('?');
  const end = (query < 0 ? key : key.slice(0, query)).lastIndexOf('/');
  let hash = 0x811c9dc5;
  for (let i = 0; i < end; i += 1) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return ((hash >>> 16) ^ hash) & 0xffff || 1;
}

const popcount = (word: number): number => {
  let x = word - ((word >>> 1) & 0x55555555);
  x = (x & 0x33333333) + ((x >>> 2) & 0x33333333);
  return Math.imul((x + (x >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
};

/** The bits of one client prefix, from a hash of it. */
export function clientBit(hash: number): ClientBits {
  const bucket = (Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 26) & 63;
  return bucket < 32 ? [(1 << bucket) >>> 0, 0] : [0, (1 << (bucket - 32)) >>> 0];
}

/** Linear counting's estimate 64 · ln(64 / empty), rounded, for 0 … 64 full buckets; 64 means 267 or more. */
const ESTIMATES = [
  0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 15, 16, 17, 18, 20, 21, 23, 24, 25, 27, 28, 30, 32, 33, 35, 37,
  39, 40, 42, 44, 46, 48, 51, 53, 55, 58, 60, 63, 65, 68, 71, 74, 78, 81, 85, 89, 93, 97, 102, 107, 113, 119,
  126, 133, 141, 151, 163, 177, 196, 222, 267, 267,
] as const;

/** About how many client prefixes set these bits. */
export function clientsOf(bits: ClientBits): number {
  return ESTIMATES[popcount(bits[0]) + popcount(bits[1])] ?? 267;
}

/** How far a window may end ahead of the receiver's demand clock before it is put down to a wrong clock. */
const AHEAD_MS = 120_000;

/**
 * What a summary must satisfy beyond its shape: signer is origin, windows move on, time is not ahead.
 * Returns the code of the first rule broken.
 *
 * @param author the authenticated author of the message
 * @param previous the newest window accepted from that PoP, if any
 * @param now demand time at the receiver
 * @param speed of the demand clock, by which the tolerance grows
 */
export function judgeSummary(
  summary: Summary,
  author: PopId,
  previous: { readonly sequence: number; readonly to: number } | undefined,
  now: number,
  speed = 1,
): ErrorCode | undefined {
  if (summary.pop !== author) return 'WIRE_ORIGIN';
  if (summary.to <= summary.from) return 'WIRE_SCHEMA';
  if (summary.to > now + AHEAD_MS * Math.max(1, speed)) return 'WIRE_FUTURE';
  if (previous !== undefined) {
    if (summary.sequence <= previous.sequence || summary.from < previous.to) return 'WIRE_STALE';
  }
  return undefined;
}
