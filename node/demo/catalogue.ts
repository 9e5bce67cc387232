import type { Random } from '../../protocol/ports.ts';
import type { DemoFile } from './content.ts';
import { below, normal, objectSize } from './load.ts';

/** A page of the generated site and the files that a browser asks for with it. */
export interface Page {
  readonly path: string;
  /** Paths of images and other files, the shared ones first. */
  readonly companions: readonly string[];
  /** Pages that it links to, by position. */
  readonly links: readonly number[];
  /** Demand time (Unix ms) from which it can be asked for; what was there before the run has `-Infinity`. */
  readonly publishedAt: number;
  /** Zipf weight before taste and age. */
  readonly weight: number;
  /** Weight of each region's own taste. */
  readonly taste: readonly number[];
}

/** A topic that is on everybody's lips: it begins in one region and reaches the others within demand minutes. */
export interface FlashCrowd {
  readonly page: number;
  /** Demand time (Unix ms) at which it begins in each region. */
  readonly beginsAt: readonly number[];
  /** Visits that it brings to a region in all. */
  readonly visits: number;
}

export interface Catalogue {
  readonly pages: readonly Page[];
  readonly crowds: readonly FlashCrowd[];
  readonly files: ReadonlyMap<string, DemoFile>;
}

const PAGES = 600;
const SECTIONS = 12;
/** Share of pages that are published during the run: news, for which no cache can be warm. */
const FRESH_SHARE = 0.5;
const ZIPF_EXPONENT = 0.9;
/** Spread of a region's own taste, as the deviation of the logarithm. */
const TASTE_SIGMA = 0.6;
const CROWDS = 5;
const CROWD_VISITS = 50;
const MINUTE_MS = 60_000;

/** The generated site: a Zipf catalogue with shared and own companions, and the crowds that will come. */
export function catalogue(
  random: Random,
  span: { readonly start: number; readonly end: number; readonly regions: number },
): Catalogue {
  const files = new Map<string, DemoFile>();
  const add = (path: string, size: number, type: string, tags: readonly string[]): string => {
    files.set(path, { path, size, type, tags, maxAgeS: 7 * 86_400 });
    return path;
  };
  const shared = [
    add('/assets/site.css', 18_000, 'text/css', ['assets']),
    add('/assets/site.js', 62_000, 'text/javascript', ['assets']),
    add('/assets/logo.svg', 4_100, 'image/svg+xml', ['assets']),
    add('/assets/font.woff2', 28_000, 'font/woff2', ['assets']),
  ];
  const picture = (path: string, tags: readonly string[]) =>
    add(path, objectSize(random, 24_000, 1.1, 1_500_000), 'image/jpeg', tags);

  const pages: Page[] = [];
  const total = PAGES + CROWDS;
  for (let i = 0; i < total; i += 1) {
    const crowd = i >= PAGES;
    const section = below(random, SECTIONS);
    const stem = crowd ? `/live/story-${i - PAGES}` : `/section-${section}/page-${i}`;
    const tags = [`page-${i}`, `section-${section}`];
    const own = crowd ? 4 + below(random, 5) : below(random, 6);
    const pictures = Array.from({ length: own }, (_, n) => picture(`${stem}/image-${n}.jpg`, tags));
    if (crowd) {
      const size = objectSize(random, 300_000, 0.4, 2_000_000);
      pictures.push(add(`${stem}/clip.mp4`, size, 'video/mp4', tags));
    }
    pages.push({
      path: add(`${stem}.html`, objectSize(random, 12_000, 0.7, 200_000), 'text/html', tags),
      companions: [...shared, ...pictures],
      links: Array.from({ length: 4 }, () => below(random, PAGES)),
      publishedAt: publication(random, span, crowd),
      weight: crowd ? 0 : 1 / (i + 1) ** ZIPF_EXPONENT,
      taste: Array.from({ length: span.regions }, () => Math.exp(TASTE_SIGMA * normal(random))),
    });
  }
  const crowds = Array.from({ length: CROWDS }, (_, n) => crowdOf(random, span, PAGES + n, n));
  return { pages, crowds, files };
}

function publication(random: Random, span: { start: number; end: number }, crowd: boolean): number {
  if (crowd || random.float() >= FRESH_SHARE) return Number.NEGATIVE_INFINITY;
  return span.start + random.float() * (span.end - span.start);
}

function crowdOf(
  random: Random,
  span: { start: number; end: number; regions: number },
  page: number,
  turn: number,
): FlashCrowd {
  // The crowds are spread over the first nine tenths of the run, so that each can run its course.
  const slot = ((span.end - span.start) * 0.9) / CROWDS;
  const begin = span.start + slot * (turn + 0.5 + 0.5 * random.float());
  const first = below(random, span.regions);
  const beginsAt = Array.from({ length: span.regions }, (_, region) =>
    region === first ? begin : begin + (2 + 12 * random.float()) * MINUTE_MS,
  );
  return { page, beginsAt, visits: CROWD_VISITS };
}
