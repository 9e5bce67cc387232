import { createHash } from 'node:crypto';
import { canonicalTarget } from '../http/key.ts';
import type { DemoFile } from './content.ts';
import { DEMO_HOST, type Load, type LoadRequest } from './load.ts';
import { CLIENTS_PER_REGION, places } from './world.ts';

/** What the replay needs of a line of a request log. */
export interface LogLine {
  /** Unix ms. */
  readonly at: number;
  /** Host name or address of the client. */
  readonly client: string;
  readonly method: string;
  readonly url: string;
  readonly status: number;
  readonly bytes: number;
}

/** Longest file that the demo's origin makes, whatever the log says; larger ones are served at this size. */
const MOST_BYTES = 8 * 1024 * 1024;
/** As the charter of the demo has it: nothing is dropped from a query. */
const VERBATIM = { dropParameters: [], sortParameters: false, ignoreQuery: false };
const SHARED_DOMAINS = new Set(['com', 'net', 'gov', 'edu', 'org', 'mil', 'us', 'int', 'arpa']);

/**
 * A real log as a load: answered GET requests in the order of their time, each client in a region by the top-level
 * domain of its name (by a hash where that tells nothing), each file as large as the log's largest answer for it.
 */
export async function replayLoad(
  lines: AsyncIterable<LogLine> | Iterable<LogLine>,
  options: { readonly regions: number; readonly name: string },
): Promise<Load> {
  const skipped: Record<string, number> = {};
  const skip = (reason: string) => {
    skipped[reason] = (skipped[reason] ?? 0) + 1;
  };
  const requests: LoadRequest[] = [];
  const sizes = new Map<string, number>();
  const clients = new Map<string, { region: number; client: number }>();
  const counts: number[] = places(options.regions).map(() => 0);
  for await (const line of lines) {
    const path = pathOf(line.url);
    if (line.method !== 'GET') skip('not GET');
    else if (line.status !== 200 || line.bytes <= 0) skip('answered without a body');
    else if (path === undefined) skip('path not usable');
    else {
      let who = clients.get(line.client);
      if (who === undefined) {
        const region = regionOf(line.client, options.regions);
        who = { region, client: counts[region]! % CLIENTS_PER_REGION };
        counts[region]! += 1;
        clients.set(line.client, who);
      }
      requests.push({ at: line.at, ...who, path });
      sizes.set(path, Math.max(sizes.get(path) ?? 0, Math.min(MOST_BYTES, line.bytes)));
    }
  }
  requests.sort((a, b) => a.at - b.at);
  const files = new Map<string, DemoFile>();
  for (const [path, size] of sizes) {
    files.set(path, { path, size, type: typeOf(path), tags: tagsOf(path), maxAgeS: 7 * 86_400 });
  }
  const start = requests[0]?.at ?? 0;
  const cut = [...files.values()].filter(({ size }) => size === MOST_BYTES).length;
  return {
    name: 'log',
    description: `${options.name}: ${requests.length} requests of ${clients.size} clients for ${files.size} files${cut === 0 ? '' : `, ${cut} of them cut to ${MOST_BYTES} bytes`}`,
    start,
    end: (requests.at(-1)?.at ?? start) + 1000,
    requests,
    files,
    skipped,
  };
}

/** The request target in the form in which PoPs ask the origin for it, or `undefined` if it is none. */
function pathOf(url: string): string | undefined {
  try {
    return canonicalTarget(DEMO_HOST, url, VERBATIM).path;
  } catch {
    return undefined;
  }
}

/** Position in `PLACES` of a log's client. */
export function regionOf(client: string, regions: number): number {
  const used = places(regions);
  const domain = client.slice(client.lastIndexOf('.') + 1).toLowerCase();
  const known = used.findIndex((place) => place.domains.includes(domain));
  if (known >= 0) return known;
  const hash = createHash('sha256').update(client).digest().readUInt32LE(0);
  return SHARED_DOMAINS.has(domain) ? hash % Math.min(2, used.length) : hash % used.length;
}

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html',
  htm: 'text/html',
  txt: 'text/plain',
  css: 'text/css',
  js: 'text/javascript',
  gif: 'image/gif',
  jpg: 'image/jpeg',
  jpeg: 'image/jpeg',
  png: 'image/png',
  xbm: 'image/x-xbitmap',
  mpg: 'video/mpeg',
  wav: 'audio/wav',
  pdf: 'application/pdf',
};

function typeOf(path: string): string {
  const file = path.split('?', 1)[0]!;
  if (file.endsWith('/')) return 'text/html';
  return TYPES[file.slice(file.lastIndexOf('.') + 1).toLowerCase()] ?? 'application/octet-stream';
}

/** Tags of a log's file: its first directory and its kind, in characters that a surrogate key may have. */
function tagsOf(path: string): readonly string[] {
  const directory = (path.split('/')[1] ?? '').replace(/[^A-Za-z0-9_-]/g, '').slice(0, 40);
  return [`dir-${directory || 'root'}`, `kind-${typeOf(path).split('/')[0]!}`];
}
