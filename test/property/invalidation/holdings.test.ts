import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldingsLog, type NextCall, PeerHoldings } from '../../../protocol/holdings.ts';
import type { ContentHash, Key16 } from '../../../protocol/ids.ts';
import {
  type CatalogueDelta,
  type CatalogueReply,
  decodeCatalogueGossip,
  decodeCatalogueReply,
  encodeCatalogueGossip,
  encodeCatalogueReply,
} from '../../../protocol/messages/catalogue.ts';
import { popOf } from '../../unit/invalidation/pops.ts';

const KEYS = Array.from(
  { length: 6 },
  (_, i) => (i * 0x111).toString(16).padStart(3, '0').padEnd(32, 'a') as Key16,
);
const contentOf = (n: number) => n.toString(16).padStart(64, '0') as ContentHash;
const SPEAKER = popOf(1);

/** A PoP that holds things, tells of them, and now and then starts anew. */
class Speaker {
  readonly held = new Map<Key16, ContentHash>();
  log: HoldingsLog;
  #life = 1;

  constructor() {
    this.log = this.#newLog();
  }

  #newLog(): HoldingsLog {
    const log = new HoldingsLog(
      this.#life,
      (id) => {
        const content = this.held.get(id as Key16);
        return { id, ...(content && { held: { content, size: 1, fence: new Map() } }) };
      },
      2,
    );
    for (const key of this.held.keys()) log.include(key);
    return log;
  }

  set(key: Key16, content: ContentHash | undefined): void {
    if (content) {
      this.held.set(key, content);
      this.log.include(key);
    } else {
      this.held.delete(key);
      this.log.exclude(key);
    }
    this.log.append(key);
  }

  restart(): void {
    this.#life += 1;
    this.log = this.#newLog();
  }
}

const act = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('set' as const),
      key: fc.nat(5),
      content: fc.option(fc.nat(3)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('publish' as const), rows: fc.integer({ min: 1, max: 3 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('deliver' as const), which: fc.nat(10), keep: fc.boolean() }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('ask' as const), calls: fc.nat(3) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('request' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('answer' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
);

describe('what is known of a peer', () => {
  it('is what it holds, after one undisturbed conversation, whatever gossip was lost, repeated or reordered', () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), (acts) => {
        const speaker = new Speaker();
        const listener = new PeerHoldings();
        const onTheWay: CatalogueDelta[] = [];
        /** A call that was answered, the reply to which is on its way: gossip may overtake it. */
        let slow: { readonly call: NonNullable<NextCall>; readonly reply: CatalogueReply } | undefined;
        const answerOf = (call: NonNullable<NextCall>) =>
          decodeCatalogueReply(encodeCatalogueReply(speaker.log.answer(call)));
        const converse = (first: NextCall, calls: number) => {
          let call = first;
          for (let i = 0; call && i < calls; i += 1) {
            call = listener.answered(SPEAKER, call, answerOf(call));
          }
          return call;
        };
        for (const one of acts) {
          if (one.kind === 'set') {
            speaker.set(KEYS[one.key]!, one.content === null ? undefined : contentOf(one.content));
          } else if (one.kind === 'publish') {
            const delta = speaker.log.publish(one.rows);
            if (delta) onTheWay.push(decodeCatalogueGossip(encodeCatalogueGossip(delta)));
          } else if (one.kind === 'deliver' && onTheWay.length > 0) {
            const at = one.which % onTheWay.length;
            listener.heard(SPEAKER, onTheWay[at]!);
            if (!one.keep) onTheWay.splice(at, 1);
          } else if (one.kind === 'ask' && !slow) converse(listener.first(SPEAKER), one.calls);
          else if (one.kind === 'request' && !slow) {
            const call = listener.first(SPEAKER);
            if (call) slow = { call, reply: answerOf(call) };
          } else if (one.kind === 'answer' && slow) {
            const next = listener.answered(SPEAKER, slow.call, slow.reply);
            slow = next && { call: next, reply: answerOf(next) };
          }
          if (one.kind === 'restart') speaker.restart();
        }
        expect(converse(listener.first(SPEAKER), 20)).toBeUndefined();
        for (const key of KEYS) {
          const content = speaker.held.get(key);
          expect(listener.holders(key).map((holder) => holder.content)).toEqual(content ? [content] : []);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it.each(['log', 'page'] as const)('is not set back by a %s that gossip has overtaken', (kind) => {
    const speaker = new Speaker();
    const listener = new PeerHoldings();
    const [key] = KEYS as [Key16];
    const answer = (call: NonNullable<NextCall>) => speaker.log.answer(call);
    const gossip = () => listener.heard(SPEAKER, speaker.log.publish(9)!);
    const begin = listener.first(SPEAKER)!;
    listener.answered(SPEAKER, begin, answer(begin));
    speaker.set(key, contentOf(1));
    gossip();
    speaker.set(key, undefined);
    const call: NonNullable<NextCall> = kind === 'page' ? { kind, shard: 1 } : listener.first(SPEAKER)!;
    const overtaken = answer(call);
    gossip();
    speaker.set(key, contentOf(2));
    gossip();
    let next: NextCall = listener.answered(SPEAKER, call, overtaken);
    while (next) next = listener.answered(SPEAKER, next, answer(next));
    expect(listener.holders(key).map(({ content }) => content)).toEqual([contentOf(2)]);
  });
});
