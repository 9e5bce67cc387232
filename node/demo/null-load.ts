import { seededRandom } from '../../protocol/random.ts';
import type { DemoFile } from './content.ts';
import { below, exponential, type Load, type LoadRequest, objectSize } from './load.ts';

/**
 * Independent uniform requests over a catalogue large enough that a repetition says nothing about the future: there
 * is nothing to learn, and whatever is mirrored is wasted.
 */
const CATALOGUE = 15_000;
const REQUESTS = 9_000;
const CLIENTS = 4_000;

/** The null load, `durationMs` of demand time long. */
export function nullLoad(options: {
  readonly seed: number;
  readonly start: number;
  readonly durationMs: number;
  readonly regions: number;
}): Load {
  const random = seededRandom(options.seed);
  const files = new Map<string, DemoFile>();
  const paths: string[] = [];
  for (let i = 0; i < CATALOGUE; i += 1) {
    const path = `/object/${i}.bin`;
    paths.push(path);
    files.set(path, {
      path,
      size: objectSize(random, 16_000, 1, 500_000),
      type: 'application/octet-stream',
      tags: [`shelf-${i % 100}`],
      maxAgeS: 7 * 86_400,
    });
  }
  const requests: LoadRequest[] = [];
  const end = options.start + options.durationMs;
  const gap = options.durationMs / REQUESTS;
  for (let at = options.start + exponential(random, gap); at < end; at += exponential(random, gap)) {
    requests.push({
      at: Math.round(at),
      region: below(random, options.regions),
      client: below(random, CLIENTS),
      path: paths[below(random, CATALOGUE)]!,
    });
  }
  return {
    name: 'null',
    description: `independent uniform requests over ${CATALOGUE} objects, nothing to learn`,
    start: options.start,
    end,
    requests,
    files,
    skipped: {},
  };
}
