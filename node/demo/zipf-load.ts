import type { Random } from '../../protocol/ports.ts';
import { seededRandom } from '../../protocol/random.ts';
import { type Catalogue, catalogue, type Page } from './catalogue.ts';
import { below, exponential, type Load, type LoadRequest, poisson, WeightedChoice } from './load.ts';
import { places } from './world.ts';

/** Visits in all, those of the flash crowds not counted. */
const VISITS = 1_900;
const CLIENTS = 250;
/** Chance that a visitor follows a link, again after every page. */
const FOLLOW = 0.4;
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Popularity is reckoned anew after this time, as pages are published and grow old. */
const POPULARITY_MS = 10 * MINUTE_MS;
/** News draws this many times what its rank says when it is new, and halves in this time. */
const NEWS_FACTOR = 12;
const NEWS_HALF_LIFE_MS = 1.5 * HOUR_MS;
/** A crowd grows for so long, then dies away with this time constant. */
const CROWD_RISE_MS = 6 * MINUTE_MS;
const CROWD_DECAY_MS = 20 * MINUTE_MS;
/** Depth of the day curve: the night has (1 − depth) / (1 + depth) of the day's visits. */
const DAY_DEPTH = 0.6;
const BUSIEST_HOUR = 15;

/** Zipf popularity, a day curve by region, pages with companions, news, and flash crowds that spread. */
export function zipfLoad(options: {
  readonly seed: number;
  readonly start: number;
  readonly durationMs: number;
  readonly regions: number;
}): Load {
  const random = seededRandom(options.seed);
  const end = options.start + options.durationMs;
  const site = catalogue(random, { start: options.start, end, regions: options.regions });
  const visitors = new Visitors(random, site, end);
  steadyVisits(random, site, visitors, { ...options, end });
  for (const crowd of site.crowds) {
    crowd.beginsAt.forEach((begin, region) => {
      for (let n = 0; n < crowd.visits; n += 1)
        visitors.visit(region, crowd.page, crowdDelay(random) + begin);
    });
  }
  const requests = visitors.requests.sort((a, b) => a.at - b.at);
  return {
    name: 'zipf',
    description: `Zipf popularity over ${site.pages.length} pages with companions, a day curve, news and ${site.crowds.length} flash crowds`,
    start: options.start,
    end,
    requests,
    files: site.files,
    skipped: {},
  };
}

function steadyVisits(
  random: Random,
  site: Catalogue,
  visitors: Visitors,
  options: { readonly start: number; readonly end: number; readonly regions: number },
): void {
  const regions = places(options.regions);
  const perMinute = (VISITS * MINUTE_MS) / (options.end - options.start) / regions.length;
  let choices: WeightedChoice[] = [];
  let choicesUntil = Number.NEGATIVE_INFINITY;
  for (let minute = options.start; minute < options.end; minute += MINUTE_MS) {
    if (minute >= choicesUntil) {
      choices = regions.map(
        (_, region) => new WeightedChoice(site.pages.map((page) => popularity(page, region, minute))),
      );
      choicesUntil = minute + POPULARITY_MS;
    }
    regions.forEach((place, region) => {
      const visits = poisson(random, perMinute * dayCurve(minute, place.utcOffsetH));
      for (let n = 0; n < visits; n += 1) {
        const page = choices[region]!.draw(random);
        if (page >= 0) visitors.visit(region, page, minute + random.float() * MINUTE_MS);
      }
    });
  }
}

/** Relative rate of visits at a time of day, 1 on average. */
export function dayCurve(at: number, utcOffsetH: number): number {
  const hour = (at / HOUR_MS + utcOffsetH) % 24;
  return 1 + DAY_DEPTH * Math.cos((2 * Math.PI * (hour - BUSIEST_HOUR)) / 24);
}

function popularity(page: Page, region: number, at: number): number {
  const age = at - page.publishedAt;
  if (age < 0) return 0;
  const taste = page.weight * page.taste[region]!;
  return age === Number.POSITIVE_INFINITY ? taste : taste * NEWS_FACTOR * 2 ** (-age / NEWS_HALF_LIFE_MS);
}

/** Time from the beginning of a crowd to one of its visits: a linear rise, then an exponential decay. */
function crowdDelay(random: Random): number {
  const rising = CROWD_RISE_MS / 2 / (CROWD_RISE_MS / 2 + CROWD_DECAY_MS);
  return random.float() < rising
    ? CROWD_RISE_MS * Math.sqrt(random.float())
    : CROWD_RISE_MS + exponential(random, CROWD_DECAY_MS);
}

/** Turns visits into requests: a page, its companions unless the browser has them, perhaps a link. */
class Visitors {
  readonly requests: LoadRequest[] = [];
  readonly #random: Random;
  readonly #site: Catalogue;
  readonly #end: number;
  /** What each client's browser holds, by region and client. */
  readonly #browsers = new Map<number, Set<string>>();

  constructor(random: Random, site: Catalogue, end: number) {
    this.#random = random;
    this.#site = site;
    this.#end = end;
  }

  visit(region: number, page: number, at: number): void {
    const client = below(this.#random, CLIENTS);
    let here: number | undefined = page;
    let when = at;
    while (here !== undefined && when < this.#end) {
      const shown: Page = this.#site.pages[here]!;
      if (shown.publishedAt > when) return;
      this.#load(region, client, shown, when);
      if (this.#random.float() >= FOLLOW) return;
      here = shown.links[below(this.#random, shown.links.length)];
      when += 8_000 + exponential(this.#random, 30_000);
    }
  }

  #load(region: number, client: number, page: Page, at: number): void {
    const number = region * CLIENTS + client;
    let browser = this.#browsers.get(number);
    if (browser === undefined) {
      browser = new Set();
      this.#browsers.set(number, browser);
    }
    this.#ask(region, client, page.path, at);
    for (const path of page.companions) {
      if (browser.has(path)) continue;
      browser.add(path);
      this.#ask(region, client, path, at + 200 + exponential(this.#random, 900));
    }
  }

  #ask(region: number, client: number, path: string, at: number): void {
    if (at < this.#end) this.requests.push({ at: Math.round(at), region, client, path });
  }
}
