import type { ErrorCode } from './errors.ts';
import type { ContentHash, PopId } from './ids.ts';

/**
 * The ports through which actors touch the world. Each is small enough to be implemented twice: for real under
 * `node/adapters/`, and on virtual time for the simulator. Contract suites in `test/contract/` hold both to it.
 */

/** Real time. `now` is Unix time in ms and may jump; `monotonic` never goes back and has no epoch. */
export interface Clock {
  now(): number;
  monotonic(): number;
  /** Calls `fn` once after `delayMs`; the returned function calls it off. */
  after(delayMs: number, fn: () => void): () => void;
}

/**
 * The demand clock: offset + speed × real time, Unix ms. Windows, rings, seasons, announcements and TTLs use it;
 * agreement, gossip, transfers and deadlines use real time. In production the two are the same.
 */
export interface DemandClock {
  readonly speed: number;
  now(): number;
  /** Demand time at a real time, Unix ms: for a beat the same at every PoP, whenever it is asked. */
  at(realMs: number): number;
}

/** Seeded in the simulator and the tests, from the system's entropy in the daemon. */
export interface Random {
  /** Uniform in [0, 1). */
  float(): number;
  /** Uniform in 0 … 2³²−1. */
  uint32(): number;
}

export type Fields = Readonly<Record<string, unknown>>;

/** Structured log. `fields` never holds client addresses, tokens or request bodies. */
export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  child(fields: Fields): Log;
}

export type Labels = Readonly<Record<string, string>>;

/** Metrics by name; names carry their unit (`_seconds`, `_bytes`, `_total`). Each name keeps one set of label keys. */
export interface Metrics {
  count(name: string, labels?: Labels, by?: number): void;
  gauge(name: string, value: number, labels?: Labels): void;
  observe(name: string, seconds: number, labels?: Labels): void;
}

/** What happens, for `GET /events`, the dashboard and the demo. `data` is plain JSON. */
export interface Events {
  emit(type: string, data: Fields): void;
}

/** Compression of chunks in transfer (zstd). */
export interface Compressor {
  /** The compressed form, or `undefined` where it does not pay. */
  compress(bytes: Uint8Array): Uint8Array | undefined;
  /** Fails with `CONTENT_MISMATCH` on damage or when the result would exceed `maxBytes`. */
  expand(bytes: Uint8Array, maxBytes: number): Uint8Array;
}

/** What a gossip validator says of a message; `ignore` and `reject` carry the reason that is counted. */
export type Verdict =
  | { readonly verdict: 'accept' }
  | { readonly verdict: 'ignore' | 'reject'; readonly code: ErrorCode };

/** Hears the messages of a topic; a verdict that takes its time holds up the forwarding of that message alone. */
export type GossipReceiver = (author: PopId, bytes: Uint8Array) => Verdict | Promise<Verdict>;

/**
 * Topics, one version each; the suffix in the network is the cluster's genesis id. `flood` topics go to every
 * subscriber at once, the others along the mesh.
 */
export const TOPICS = {
  summary: { id: 'summary/1', maxBytes: 64 * 1024, flood: false },
  rising: { id: 'rising/1', maxBytes: 16 * 1024, flood: true },
  purge: { id: 'purge/1', maxBytes: 16 * 1024, flood: true },
  catalogue: { id: 'catalogue/1', maxBytes: 64 * 1024, flood: false },
  announcement: { id: 'announcement/1', maxBytes: 32 * 1024, flood: false },
  /** Short-lived TXT records. */
  record: { id: 'record/1', maxBytes: 16 * 1024, flood: true },
  /** Hints of coming demand that one PoP was told. */
  signal: { id: 'signal/1', maxBytes: 16 * 1024, flood: false },
  /** PROPOSE, ECHO and VOTE of the agreement. */
  agree: { id: 'agree/1', maxBytes: 64 * 1024, flood: false },
} as const;
export type TopicName = keyof typeof TOPICS;

/** Lossy, duplicating, reordering broadcast with authenticated authors. Accelerates; never carries correctness. */
export interface Gossip {
  publish(topic: TopicName, bytes: Uint8Array): Promise<void>;
  /** One subscriber per topic. `author` is the authenticated origin, not the forwarder; own messages do not come back. */
  subscribe(topic: TopicName, receive: GossipReceiver): void;
}

/** Stream protocols, one version each. All are unary calls: one request frame, one reply frame, both capped. */
export const PROTOCOLS = {
  /** Digest exchange and delivery of purges; the reply acknowledges. */
  purge: { id: '/presage/purge/1', maxRequestBytes: 1 << 20, maxReplyBytes: 1 << 20, concurrency: 8 },
  /** Versions and holdings that a peer missed. */
  catalogue: {
    id: '/presage/catalogue/1',
    maxRequestBytes: 64 * 1024,
    maxReplyBytes: 4 << 20,
    concurrency: 4,
  },
  /** Metadata and manifest of a resource's replica. */
  replica: { id: '/presage/replica/1', maxRequestBytes: 4096, maxReplyBytes: 1 << 20, concurrency: 32 },
  /** One chunk of a content. */
  chunk: { id: '/presage/chunk/1', maxRequestBytes: 256, maxReplyBytes: (1 << 20) + 4096, concurrency: 16 },
  /** Names for key16s, between PoPs that the site allows. */
  name: { id: '/presage/name/1', maxRequestBytes: 64 * 1024, maxReplyBytes: 1 << 20, concurrency: 4 },
  /** Leases for the ranked origin fetch. */
  lease: { id: '/presage/lease/1', maxRequestBytes: 4096, maxReplyBytes: 4096, concurrency: 64 },
  /** Short-lived TXT records: delivery, which the reply acknowledges, and comparison. */
  record: {
    id: '/presage/record/1',
    maxRequestBytes: 512 * 1024,
    maxReplyBytes: 512 * 1024,
    concurrency: 4,
  },
  /** What the operator signed and this PoP lacks: a charter by its hash, the founders, a list of revocations. */
  charter: { id: '/presage/charter/1', maxRequestBytes: 64, maxReplyBytes: 513 * 1024, concurrency: 4 },
  /** Bodies, decisions and requests for them; one-way, the reply is empty. */
  agreeSync: { id: '/presage/agree-sync/1', maxRequestBytes: 16 << 20, maxReplyBytes: 16, concurrency: 16 },
} as const;
export type ProtocolName = keyof typeof PROTOCOLS;

export interface CallOptions {
  /** Real ms until the call fails with `PEER_TIMEOUT`. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
}

/** Unary calls to admitted peers. Fails with `PEER_UNKNOWN`, `PEER_TIMEOUT`, `PEER_BUSY`, `PEER_REFUSED` or `WIRE_*`. */
export interface Streams {
  call(peer: PopId, protocol: ProtocolName, request: Uint8Array, options: CallOptions): Promise<Uint8Array>;
  /** One handler per protocol. A `PresageError` that it throws reaches the caller as `PEER_REFUSED` with its code. */
  handle(protocol: ProtocolName, handler: (from: PopId, request: Uint8Array) => Promise<Uint8Array>): void;
}

/** Admitted, connected peers. */
export interface Peers {
  readonly self: PopId;
  connected(): readonly PopId[];
  /** Measured round trip in ms, if there is a measurement. */
  roundTripMs(peer: PopId): number | undefined;
  /** `listener` hears every admission and every loss; returns its removal. */
  watch(listener: (peer: PopId, up: boolean) => void): () => void;
}

/**
 * One typed table of the database. Keys are strings and iterate in byte order. A record that does not decode is
 * reported, moved to the quarantine table and treated as absent. Writes of one `batch` are atomic.
 */
export interface Table<V> {
  readonly name: string;
  get(key: string): Promise<V | undefined>;
  /** `gte` inclusive, `lt` exclusive. */
  entries(range?: {
    gte?: string;
    lt?: string;
    reverse?: boolean;
    limit?: number;
  }): AsyncIterable<[string, V]>;
  put(key: string, value: V, options?: WriteOptions): Promise<void>;
  del(key: string, options?: WriteOptions): Promise<void>;
  batch(writes: readonly TableWrite<V>[], options?: WriteOptions): Promise<void>;
}
export type TableWrite<V> = { type: 'put'; key: string; value: V } | { type: 'del'; key: string };
/** `sync`: the promise resolves only after fsync. Without it a crash of the machine may lose the write, never tear it. */
export interface WriteOptions {
  readonly sync?: boolean;
}

/** Tables of the one database of a PoP. The prefix numbers are an append-only registry: never reuse one. */
export interface Database {
  table<V>(spec: TableSpec<V>): Table<V>;
  close(): Promise<void>;
}
export interface TableSpec<V> {
  readonly name: string;
  /** Unique, append-only. */
  readonly prefix: number;
  encode(value: V): Uint8Array;
  /** Throws `PresageError` when the bytes are damaged. */
  decode(bytes: Uint8Array): V;
}

/** Chunk size of stored and transferred content, bytes. The last chunk of a content may be shorter. */
export const CHUNK_BYTES = 256 * 1024;

/**
 * Content by SHA-256. A content becomes visible only when complete and verified; a writer that is not finished
 * leaves nothing visible, and its verified chunks can be resumed by `resume`.
 */
export interface Blobs {
  has(hash: ContentHash): boolean;
  /** Length in bytes of a stored content. */
  size(hash: ContentHash): number | undefined;
  /** The whole content if it is in memory now; never touches the disk. */
  peek(hash: ContentHash): Uint8Array | undefined;
  /** Bytes `start` … `end` (exclusive), in pieces of at most `CHUNK_BYTES`. Fails with `CONTENT_MISSING` or `CONTENT_MISMATCH`. */
  read(hash: ContentHash, start?: number, end?: number): AsyncIterable<Uint8Array>;
  /** SHA-256 of each chunk, in order. */
  chunkHashes(hash: ContentHash): Promise<readonly ContentHash[]>;
  /** Stores a content that is at hand whole. Fails with `STORE_FULL`. */
  put(bytes: Uint8Array, keeping?: Keeping): Promise<ContentHash>;
  /** Streams an unknown content in; the hash is known at `finish`. */
  create(keeping?: Keeping): Promise<BlobWriter>;
  /** Writes a known content chunk by chunk, in any order, each chunk verified; survives a restart. */
  resume(manifest: Manifest, keeping?: Keeping): Promise<BlobAssembler>;
  /** Encrypts a stored content on disk, unless it is. */
  seal(hash: ContentHash): Promise<void>;
  delete(hash: ContentHash): Promise<void>;
  /** Moves to or from the memory tier. */
  setTier(hash: ContentHash, tier: Tier): Promise<void>;
  usage(): { readonly contents: number; readonly diskBytes: number; readonly memoryBytes: number };
  list(): Iterable<{ readonly hash: ContentHash; readonly size: number; readonly tier: Tier }>;
  close(): Promise<void>;
}
export type Tier = 'memory' | 'disk';
/** How a content is kept: `sealed` ones stand on disk encrypted. Once sealed, always sealed. */
export interface Keeping {
  readonly sealed: boolean;
}
export interface BlobWriter {
  write(bytes: Uint8Array): Promise<void>;
  /** Makes the content durable and visible. */
  finish(): Promise<{ hash: ContentHash; size: number; chunks: readonly ContentHash[] }>;
  abort(): Promise<void>;
}
/** What a content is made of: its length and the SHA-256 of each of its chunks of `CHUNK_BYTES`. */
export interface Manifest {
  readonly hash: ContentHash;
  readonly size: number;
  readonly chunks: readonly ContentHash[];
}
export interface BlobAssembler {
  /** Chunks that are still missing. */
  missing(): readonly number[];
  /** Fails with `CONTENT_MISMATCH` if the bytes do not hash to the chunk's name. */
  write(index: number, bytes: Uint8Array): Promise<void>;
  /** Makes the content durable and visible once all chunks are there and the whole hashes to its name. */
  finish(): Promise<void>;
  /** Gives up; chunks that were written are kept for a later `resume`, within the store's bounds. */
  abort(): Promise<void>;
}
