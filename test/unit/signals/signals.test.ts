import { describe, expect, it } from 'vitest';
import { Names } from '../../../actors/names.ts';
import type { Signal } from '../../../forecasting/signals.ts';
import { linksOf } from '../../../node/signals/jetstream.ts';
import { LinkTally } from '../../../node/signals/link-tally.ts';
import { SignalIntake } from '../../../node/signals/signal-intake.ts';
import { SignatureCheck, signatureOf, WINDOW_MS } from '../../../node/signals/webhook-signature.ts';
import { Sites } from '../../../node/sites.ts';
import type { Site } from '../../../protocol/charter.ts';
import { codeOf } from '../../../protocol/errors.ts';
import { key16Of, type RegionId, type ResourceKey, type SiteId } from '../../../protocol/ids.ts';
import { StepClock } from '../../step-clock.ts';

const eu = 'eu' as RegionId;
const site = (id: string, hosts: string[]): Site => ({
  id: id as SiteId,
  hosts,
  origin: 'http://origin.invalid',
  secret: new Uint8Array(32).fill(id.charCodeAt(0)),
  normalise: { dropParameters: ['utm_*'], sortParameters: true, ignoreQuery: false },
  allow: ['*'],
  private: false,
  shield: 'home',
  cutOff: 'revalidate',
});
const www = site('www', ['www.example.net']);

function intake(sites: readonly Site[] = [www]) {
  const clock = new StepClock();
  const names = new Names();
  const delivered: Signal[] = [];
  const made = new SignalIntake({
    sites: new Sites({ sites }),
    names,
    ...{ regions: () => [eu], horizonMs: () => 7_200_000, clock },
    demand: { speed: 1, now: () => clock.now(), at: (real) => real },
    metrics: { count: () => undefined, gauge: () => undefined, observe: () => undefined },
    deliver: (signals) => void delivered.push(...signals),
  });
  return { made, clock, names, delivered };
}

describe('the intake of signals', () => {
  it('maps URLs to resources by the site’s own rule, and learns their names', () => {
    const { made, names, delivered } = intake();
    const url = 'https://WWW.example.net/a/../film?b=2&a=1&utm_source=feed#now';
    expect(made.take('rpc', [{ url, strength: 3, region: 'eu' }])).toEqual(['taken']);
    const key16 = key16Of('www.example.net/film?a=1&b=2' as ResourceKey, www.secret);
    expect(delivered).toMatchObject([{ source: 'rpc', key16, strength: 3, region: 'eu' }]);
    expect(names.get(key16)?.key).toBe('www.example.net/film?a=1&b=2');
  });

  it('refuses what it must, each with a code', () => {
    const { made, delivered, clock } = intake();
    const verdict = (url: string, more: object = {}) => made.take('rpc', [{ url, strength: 1, ...more }])[0];
    expect(verdict('https://elsewhere.example/')).toBe('HTTP_UNKNOWN_SITE');
    expect(verdict('ftp://www.example.net/')).toBe('INPUT_MALFORMED');
    expect(verdict('/film')).toBe('INPUT_MALFORMED');
    expect(verdict(`https://www.example.net/${'x'.repeat(9_000)}`)).toBe('HTTP_TOO_LARGE');
    expect(verdict('https://www.example.net/film?token=secret')).toBe('HTTP_FORBIDDEN');
    expect(verdict('https://www.example.net/film', { strength: 0 })).toBe('INPUT_MALFORMED');
    expect(verdict('https://www.example.net/film', { strength: Number.NaN })).toBe('INPUT_MALFORMED');
    expect(verdict('https://www.example.net/film', { region: 'moon' })).toBe('INPUT_MALFORMED');
    expect(verdict('https://www.example.net/film', { at: clock.now() + 3_600_000 })).toBe('INPUT_MALFORMED');
    expect(delivered).toEqual([]);
    expect(made.counts()).toMatchObject([{ source: 'rpc', taken: 0, refused: 9 }]);
  });

  it('takes a site for every host name only for what was asked for here', () => {
    const { made, names, delivered } = intake([site('any', ['*'])]);
    expect(made.concerns('https://news.example/story')).toBe(false);
    const { secret } = site('any', ['*']);
    const key = 'news.example/story' as ResourceKey;
    names.learn(key16Of(key, secret), { key, site: 'any' as SiteId });
    expect(made.take('jetstream', [{ url: 'https://news.example/story', strength: 1 }])).toEqual(['taken']);
    expect(delivered).toHaveLength(1);
  });

  it('takes what is repeated once, unless it has grown, and again when its time is over', async () => {
    const { made, clock } = intake();
    const say = (strength: number) =>
      made.take('feed', [{ url: 'https://www.example.net/film', strength }])[0];
    expect([say(2), say(2), say(3), say(4)]).toEqual(['taken', 'repeated', 'repeated', 'taken']);
    await clock.advance(7_200_000);
    expect(say(1)).toBe('taken');
  });

  it('bounds what a source may send, and how many sources there are', async () => {
    const { made, clock } = intake();
    const say = (source: string, n: number) =>
      made.take(source, [{ url: `https://www.example.net/${n}`, strength: 1 }])[0];
    const verdicts = Array.from({ length: 700 }, (_, n) => say('feed', n));
    expect(verdicts.filter((one) => one === 'taken')).toHaveLength(600);
    expect(verdicts.at(-1)).toBe('MAILBOX_FULL');
    expect(say('other', 1)).toBe('taken');
    await clock.advance(60_000);
    expect(say('feed', 1_000)).toBe('taken');
    for (let i = 0; i < 100; i += 1) say(`source ${i}`, 1);
    expect(made.counts()).toHaveLength(64);
    expect(say('one more', 1)).toBe('MAILBOX_FULL');
  });
});

describe('signatures of the webhook', () => {
  const secret = Buffer.from('a secret of some length');
  const body = Buffer.from('{"url":"https://www.example.net/film"}');
  const now = 1_700_000_000_000;
  const stamp = String(now / 1000);
  const check = (
    timestamp: unknown,
    signature: unknown,
    bytes = body,
    at = now,
    made = new SignatureCheck(secret),
  ) => {
    try {
      made.check(timestamp, signature, bytes, at);
      return 'good';
    } catch (error) {
      return codeOf(error);
    }
  };

  it('hold for this body, this timestamp and a few minutes, once', () => {
    const signature = signatureOf(secret, stamp, body);
    expect(check(stamp, signature)).toBe('good');
    expect(check(stamp, signature, Buffer.from('{}'))).toBe('SIGNAL_SIGNATURE');
    expect(check(String(now / 1000 + 1), signature)).toBe('SIGNAL_SIGNATURE');
    expect(check(stamp, signature, body, now + WINDOW_MS + 1000)).toBe('SIGNAL_SIGNATURE');
    expect(check(stamp, signature, body, now - WINDOW_MS - 1000)).toBe('SIGNAL_SIGNATURE');
    expect(check(undefined, signature)).toBe('SIGNAL_SIGNATURE');
    expect(check(stamp, undefined)).toBe('SIGNAL_SIGNATURE');
    expect(check(stamp, 'sha256=00')).toBe('SIGNAL_SIGNATURE');
    expect(check(stamp, signatureOf(Buffer.from('another'), stamp, body))).toBe('SIGNAL_SIGNATURE');
    const once = new SignatureCheck(secret);
    expect(check(stamp, signature, body, now, once)).toBe('good');
    expect(check(stamp, signature, body, now, once)).toBe('SIGNAL_SIGNATURE');
  });
});

describe('links of posts', () => {
  it('are those of the card and of the text, each once, and nothing else', () => {
    const facet = (uri: unknown, type = 'app.bsky.richtext.facet#link') => ({
      index: { byteStart: 0, byteEnd: 3 },
      features: [{ $type: type, uri }],
    });
    expect(
      linksOf({
        embed: { $type: 'app.bsky.embed.external', external: { uri: 'https://a.example/', title: 't' } },
        facets: [
          facet('https://a.example/'),
          facet('https://b.example/'),
          facet('did:plc:x', 'app.bsky.richtext.facet#mention'),
          facet(7),
        ],
      }),
    ).toEqual(['https://a.example/', 'https://b.example/']);
    for (const record of [{}, { embed: null, facets: 3 }, { embed: { external: 7 }, facets: [{}] }])
      expect(linksOf(record)).toEqual([]);
  });

  it('are counted by account, told when they grow, and forgotten', () => {
    const tally = new LinkTally();
    for (const account of ['a', 'b', 'a']) tally.add('https://a.example/', account, 0);
    expect(tally.take(1)).toEqual([{ url: 'https://a.example/', strength: 2 }]);
    expect(tally.take(2)).toEqual([]);
    tally.add('https://a.example/', 'c', 3);
    expect(tally.take(4)).toEqual([{ url: 'https://a.example/', strength: 3 }]);
    for (let i = 0; i < 10_000; i += 1) tally.add(`https://a.example/${i}`, 'a', 5);
    expect(tally.size).toBe(2_000);
    expect(tally.take(10_000_000)).toEqual([]);
    expect(tally.size).toBe(0);
  });
});
