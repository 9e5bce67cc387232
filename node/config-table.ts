import { availableParallelism, hostname } from 'node:os';
import { KINDS, type Kind } from './config-kinds.ts';

/** One key of the configuration. Flag, variable, help and `presage config` all follow from it. */
export interface KeySpec<T> {
  readonly kind: Kind<T>;
  /** As it would be written in the file; absent: the key is not set. */
  readonly default?: unknown;
  readonly doc: string;
  /** Flag without dashes, where it is not the key itself in kebab case. */
  readonly flag?: string;
}

/** A key that may be left unset. */
const optional = <T>(kind: Kind<T>, doc: string, flag?: string): KeySpec<T | undefined> => ({
  kind: kind as Kind<T | undefined>,
  doc,
  ...(flag !== undefined && { flag }),
});

const key = <T>(kind: Kind<T>, value: unknown, doc: string, flag?: string): KeySpec<T> => ({
  kind,
  default: value,
  doc,
  ...(flag !== undefined && { flag }),
});

/** Leaves a core to the event loop; more than four gain little before thousands of series are tracked. */
const DEFAULT_WORKERS = Math.max(1, Math.min(4, availableParallelism() - 1));

const DEFAULT_NAME =
  hostname()
    .split('.')[0]
    ?.replace(/[^a-z0-9-]/gi, '')
    .replace(/^-+|-+$/g, '')
    .slice(0, 63) || 'pop';

/** Every key that a PoP's own configuration has. What PoPs must hold in common stands in the charter instead. */
export const KEYS = {
  name: key(
    KINDS.name,
    DEFAULT_NAME,
    'Name of this PoP, unique in the cluster; its certificate must carry it.',
  ),
  region: key(KINDS.region, 'local', 'Region of this PoP, one of the charter.'),
  dataDir: key(KINDS.path, '.presage', 'Directory of database, blobs, identity and RPC socket.'),
  origin: optional(
    KINDS.url,
    'Without a charter: serve every host name from this origin, e.g. https://origin.example.net.',
  ),
  'http.listen': key(
    KINDS.endpoint,
    '127.0.0.1:8080',
    'Where clients are served over HTTP; "off" for none.',
    'http',
  ),
  'http.tls.certificate': optional(KINDS.path, 'PEM file; with it, clients are served over HTTPS.'),
  'http.tls.key': optional(KINDS.path, 'PEM file with the private key of http.tls.certificate.'),
  'http.tls.directory': optional(
    KINDS.path,
    'Directory of further certificates, NAME.pem beside NAME.key; clients are shown the one that has the name they ask for.',
  ),
  'http.heuristic': key(
    KINDS.share,
    0,
    'Freshness of responses that state none, as a share of the time since Last-Modified; 0 for none, 0.1 is usual.',
  ),
  'http.heuristicMax': key(KINDS.duration, '1d', 'Such freshness is never longer than this.'),
  'http.staleIfError': key(
    KINDS.duration,
    '1h',
    'How long a stale response stands in for an origin that fails, if the response itself does not say.',
  ),
  'http.originTimeout': key(KINDS.duration, '15s', 'How long the origin may take to begin its answer.'),
  'http.direct': key(
    KINDS.direct,
    'auto',
    'Whether answers from memory go to the system past the streams of Node: auto where it can be had (64-bit Linux, package koffi), which takes up to 32 MiB more for the hottest large ones, or off.',
  ),
  'dns.listen': key(
    KINDS.endpoints,
    '127.0.0.1:5353',
    'Where DNS is answered, UDP and TCP; "off" for nowhere.',
    'dns',
  ),
  'dns.zones': key(KINDS.zones, [], 'Zones answered with authority, besides those of the charter.'),
  'dns.zoneFiles': optional(
    KINDS.path,
    'Directory of zone files, such as cdn.example.net.zone; read anew on SIGHUP.',
  ),
  'dns.dnssec': optional(
    KINDS.path,
    'Directory of the keys that zones are signed with, such as cdn.example.net.key, the same at every PoP; see `presage keys zone`.',
  ),
  'dns.threads': key(KINDS.workers, 1, 'Threads that answer DNS; with 1 the main thread does.'),
  'dns.batch': key(
    KINDS.batch,
    'auto',
    'Whether datagrams go through the system many at a time: auto where it can be had (64-bit Linux, package koffi), on the same with a warning where it cannot, off one by one.',
  ),
  'dns.check': key(
    KINDS.check,
    'off',
    'How service addresses of PoPs are checked before DNS names them, at the ports of their certificates: tcp, http or https.',
  ),
  'p2p.listen': key(
    KINDS.multiaddrs,
    ['/ip4/0.0.0.0/tcp/7400', '/ip6/::/tcp/7400'],
    'Where other PoPs connect. Unused without a certificate.',
    'listen',
  ),
  'p2p.bootstrap': key(
    KINDS.multiaddrs,
    [],
    'PoPs to connect to at start, with their /p2p/ peer ids.',
    'bootstrap',
  ),
  'p2p.announce': key(
    KINDS.multiaddrs,
    [],
    'Addresses told to peers in place of the ones listened on.',
    'announce',
  ),
  'cluster.certificate': optional(
    KINDS.path,
    'Certificate of this PoP from `presage keys`; absent: a cluster of one.',
  ),
  'cluster.key': optional(KINDS.path, 'Private key that the certificate was issued for.'),
  'cluster.charter': optional(
    KINDS.path,
    'Charter signed by the operator; read anew on SIGHUP, and a newer one distributed to all PoPs.',
  ),
  'cluster.founders': optional(
    KINDS.path,
    'First members, signed by the operator, the same at every PoP; absent: asked of the peers.',
  ),
  'cluster.revocations': optional(KINDS.path, 'Revocations signed by the operator; read anew on SIGHUP.'),
  'storage.budget': key(KINDS.size, '10GiB', 'Disk that stored content may take.'),
  'storage.memory': key(KINDS.size, '64MiB', 'Memory in which hot content is kept besides the disk.'),
  'storage.maxObject': key(KINDS.size, '1GiB', 'Largest response that is stored.'),
  'mirror.bandwidth': key(
    KINDS.rate,
    '50MiB/s',
    'Rate up to which content is mirrored; client traffic goes before.',
  ),
  'memory.history': key(KINDS.size, '128MiB', 'Memory for the demand history.'),
  'epoch.length': key(KINDS.duration, '30s', 'Beat of a PoP without a charter.'),
  'clock.offset': key(KINDS.offset, '0ms', 'Demand time = offset + speed × Unix time; for replaying logs.'),
  'clock.speed': key(KINDS.speed, 1, 'Demand time that passes in a unit of real time.'),
  'rpc.listen': optional(
    KINDS.endpoint,
    'Loopback address of the dashboard, metrics and RPC besides the socket in dataDir; needs the token in rpc.token.',
    'rpc',
  ),
  'geo.database': optional(
    KINDS.path,
    'GeoIP country table (mmdb); absent: the networks of the charter alone.',
  ),
  'forecast.workers': key(KINDS.workers, DEFAULT_WORKERS, 'Threads that forecast and plan.'),
  'signals.mastodon': key(
    KINDS.urls,
    [],
    'Mastodon servers whose trending links are read, e.g. https://mastodon.social.',
  ),
  'signals.jetstream': optional(
    KINDS.webSocket,
    'Jetstream of Bluesky whose posts are read, e.g. wss://jetstream2.us-east.bsky.network/subscribe.',
  ),
  'signals.webhook.listen': optional(
    KINDS.endpoint,
    'Where signed hints of coming demand are taken: POST /signal.',
  ),
  'signals.webhook.secret': optional(
    KINDS.path,
    'File with the secret that signs them, 16 characters or more.',
  ),
  'ingest.syslog': optional(
    KINDS.endpoint,
    'UDP address where caches in front send access logs by syslog.',
    'syslog',
  ),
  'ingest.host': optional(KINDS.name, 'Host name of logged requests that do not carry one.'),
  'log.level': key(KINDS.level, 'info', 'Least severity that is logged.'),
} as const;

export type ConfigPath = keyof typeof KEYS;
type ValueOf<P extends ConfigPath> = (typeof KEYS)[P] extends KeySpec<infer T> ? T : never;
type Child<Prefix extends string> = ConfigPath extends infer P
  ? P extends `${Prefix}${infer Rest}`
    ? Rest extends `${infer Head}.${string}`
      ? Head
      : Rest
    : never
  : never;
type Section<Prefix extends string> = {
  readonly [K in Child<Prefix>]: `${Prefix}${K}` extends ConfigPath
    ? ValueOf<`${Prefix}${K}`>
    : Section<`${Prefix}${K}.`>;
};

/**
 * The effective configuration, nested as in the file: sizes in bytes, rates in bytes a second, durations in ms,
 * paths absolute, lists read-only. A key that is not set is `undefined`.
 */
export type Config = Section<''>;

export const PATHS = Object.keys(KEYS) as readonly ConfigPath[];

/** The specification of a key with its value's type forgotten. */
export const specOf = (path: ConfigPath): KeySpec<unknown> => KEYS[path] as KeySpec<unknown>;

/** `http.listen` → `http`, `storage.maxObject` → `storage-max-object`. */
export const flagOf = (path: ConfigPath): string =>
  specOf(path).flag ?? path.replaceAll('.', '-').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** `storage.maxObject` → `PRESAGE_STORAGE_MAX_OBJECT`. */
export const variableOf = (path: ConfigPath): string =>
  `PRESAGE_${path.replaceAll('.', '_').replace(/[A-Z]/g, (letter) => `_${letter}`)}`.toUpperCase();
