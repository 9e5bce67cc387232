import { Names } from '../../../actors/names.ts';
import { openNetwork, sealNetwork } from '../../../forecasting/kept-network.ts';
import { freshNetwork } from '../../../forecasting/recurrent-training.ts';
import { readPost } from '../../../node/signals/jetstream.ts';
import { SignalIntake } from '../../../node/signals/signal-intake.ts';
import { Sites } from '../../../node/sites.ts';
import type { RegionId, SiteId } from '../../../protocol/ids.ts';
import { decodeSignals, encodeSignals } from '../../../protocol/messages/signal.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { key16, START } from '../../property/decision/cluster.ts';
import { StepClock } from '../../step-clock.ts';
import { bytesOf, mustHold, roundTrip, type Target, textOf } from '../target.ts';

const region = 'eu' as RegionId;
const clock = new StepClock();
const intake = new SignalIntake({
  sites: new Sites({
    sites: [
      {
        ...{ id: 'www' as SiteId, hosts: ['www.example.net'], origin: 'http://origin.invalid' },
        ...{ secret: new Uint8Array(32), allow: ['*'], private: false, shield: 'home', cutOff: 'revalidate' },
        normalise: { dropParameters: ['utm_*'], sortParameters: true, ignoreQuery: false },
      },
    ],
  }),
  names: new Names(),
  ...{ regions: () => [region], horizonMs: () => 7_200_000, clock },
  demand: { speed: 1, now: () => clock.now(), at: (real) => real },
  metrics: { count: () => undefined, gauge: () => undefined, observe: () => undefined },
  deliver: (signals) => {
    for (const { key16: key } of signals) mustHold(/^[0-9a-f]{32}$/.test(key), 'a resource that is none');
  },
});

const network = {
  parameters: freshNetwork(seededRandom(1)),
  trainedAt: START,
  trial: { series: 30, without: 0.2, with: 0.19 },
};

const post = JSON.stringify({
  ...{ did: 'did:plc:a', time_us: 1_700_000_000_000_000, kind: 'commit' },
  commit: {
    ...{ operation: 'create', collection: 'app.bsky.feed.post', rkey: '3l' },
    record: {
      text: 'look',
      embed: { $type: 'app.bsky.embed.external', external: { uri: 'https://www.example.net/a' } },
      facets: [{ features: [{ $type: 'app.bsky.richtext.facet#link', uri: 'https://www.example.net/b' }] }],
    },
  },
});

/** What comes from social feeds, webhooks and other PoPs' signals, and the network on disk. */
export const signalTargets: readonly Target[] = [
  {
    ...{ name: 'signal', shape: 'messagepack' },
    seeds: [
      encodeSignals([
        { way: 'rpc', key16: key16(1), strength: 4, at: START, region },
        { way: 'webhook', key16: key16(2), strength: 1, at: START, region: undefined },
      ]),
    ],
    run: roundTrip(decodeSignals, encodeSignals),
  },
  {
    ...{ name: 'signal-url', shape: 'text' },
    seeds: ['https://www.example.net/a?b=1&utm_source=x', 'http://www.example.net:80/%2e/', '/a'].map(
      bytesOf,
    ),
    run: (input) => intake.take('fuzz', [{ url: textOf(input), strength: 1 }])[0],
  },
  {
    ...{ name: 'jetstream-post', shape: 'text', seeds: [bytesOf(post)] },
    words: ['"external"', '"facets"', '"features"', '"uri"', '"record"', '"commit"', 'null', '[]'],
    run(input) {
      const read = readPost(textOf(input));
      mustHold(read === undefined || read.links.length <= 8, 'a post of too many links');
      return read === undefined ? 'other' : read.links.length;
    },
  },
  {
    ...{ name: 'kept-network', shape: 'bytes', seeds: [sealNetwork(network)], maxBytes: 16 * 1024 },
    run(input) {
      const opened = openNetwork(input);
      if (opened === undefined) return 'refused';
      mustHold(Buffer.from(sealNetwork(opened)).equals(input), 'a network that is not as it was sealed');
      return 'opened';
    },
  },
];
