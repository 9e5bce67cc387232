import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Conversation, date, type Fields } from './conversation.ts';

let edge: Conversation;
beforeAll(async () => {
  edge = await Conversation.start();
});
afterAll(() => edge.close());

/** Whether a second request some seconds later is answered from the store. */
async function reused(fields: Fields, seconds: number, status = 200): Promise<boolean> {
  const path = edge.path();
  await edge.first(path, { fields, status }, seconds);
  const { asked } = await edge.ask(path);
  return asked === undefined;
}
const YES = true;
const NO = false;

describe('freshness (RFC 9111 §4.2)', () => {
  it.each<[string, Fields, number, boolean]>([
    ['max-age, within', { 'cache-control': 'max-age=10' }, 8, YES],
    ['max-age, beyond', { 'cache-control': 'max-age=10' }, 12, NO],
    ['max-age=0', { 'cache-control': 'max-age=0' }, 0, NO],
    ['the largest delta', { 'cache-control': 'max-age=2147483648' }, 86_400, YES],
    ['beyond the largest delta', { 'cache-control': 'max-age=99999999999999999999' }, 86_400, YES],
    ['s-maxage above a shorter max-age', { 'cache-control': 'max-age=1, s-maxage=100' }, 50, YES],
    ['s-maxage below a longer max-age', { 'cache-control': 'max-age=100, s-maxage=1' }, 50, NO],
    ['max-age above a past Expires', { 'cache-control': 'max-age=100', expires: date(-50) }, 50, YES],
    ['max-age=0 below a future Expires', { 'cache-control': 'max-age=0', expires: date(500) }, 50, NO],
    ['Expires, within', { expires: date(100) }, 50, YES],
    ['Expires, beyond', { expires: date(10) }, 50, NO],
    ['Expires by the origin’s own clock', { date: date(-500), expires: date(-400) }, 0, NO],
    ['nothing stated', {}, 0, NO],
    ['nothing stated but a change long ago', { 'last-modified': date(-86_400 * 300) }, 0, NO],
    ['an unknown directive beside', { 'cache-control': 'a, max-age=100, b="c, d"' }, 50, YES],
    ['two lines', { 'cache-control': ['public', 'max-age=100'] }, 50, YES],
    ['letters in either case', { 'cache-control': 'MaX-AgE=100' }, 50, YES],
    ['a quoted number', { 'cache-control': 'max-age="100"' }, 50, YES],
    ['a leading zero', { 'cache-control': 'max-age=0100' }, 50, YES],
  ])('%s', async (_what, fields, seconds, expected) => {
    expect(await reused(fields, seconds)).toBe(expected);
  });

  it.each<[string, Fields]>([
    ['a word for a number', { 'cache-control': 'max-age=abc' }],
    ['a number with a tail', { 'cache-control': 'max-age=100s' }],
    ['a negative number', { 'cache-control': 'max-age=-100' }],
    ['a fraction', { 'cache-control': 'max-age=100.5' }],
    ['no number', { 'cache-control': 'max-age' }],
    ['single quotes', { 'cache-control': "max-age='100'" }],
    ['space before the sign', { 'cache-control': 'max-age =100' }],
    ['space after the sign', { 'cache-control': 'max-age= 100' }],
    ['the name within a quotation', { 'cache-control': 'a="max-age=100"' }],
    ['two times, the first over', { 'cache-control': 'max-age=0, max-age=100' }],
    ['Expires: 0', { expires: '0' }],
    ['Expires: -1', { expires: '-1' }],
    ['two Expires', { expires: [date(100), date(100)] }],
    ['a date of another zone', { expires: date(100).replace('GMT', 'CET') }],
    ['a date without its comma', { expires: date(100).replace(',', '') }],
    ['a number in the date', { expires: date(100).replace(/\d{4}/, '27') }],
  ])('is none where it cannot be read (§4.2.1): %s', async (_what, fields) => {
    expect(await reused(fields, 0)).toBe(NO);
  });

  it.each<[string, Fields, boolean]>([
    ['an age below', { age: '30' }, YES],
    ['an age above', { age: '200' }, NO],
    ['the largest age', { age: '2147483648' }, NO],
    ['an age beyond the largest', { age: '99999999999' }, NO],
    ['a list, of which the first counts', { age: '0, 200' }, YES],
    ['a list, of which the first counts', { age: '200, 0' }, NO],
    ['two lines, of which the first counts', { age: ['0', '200'] }, YES],
    ['two lines, of which the first counts', { age: ['200', '0'] }, NO],
    ['a word, which is ignored', { age: 'old' }, YES],
    ['a negative number, which is ignored', { age: '-200' }, YES],
    ['a fraction, which is ignored', { age: '200.5' }, YES],
    ['a Date long ago (apparent age)', { date: date(-200) }, NO],
    ['a Date ahead', { date: date(200) }, YES],
  ])('counts what age a response brings (§4.2.3, §5.1): %s', async (_what, fields, expected) => {
    expect(await reused({ ...fields, 'cache-control': 'max-age=100' }, 50)).toBe(expected);
  });

  it('says how old a stored response is, from its arrival and its age (§4, §5.1)', async () => {
    const path = edge.path();
    const first = await edge.first(path, { fields: { 'cache-control': 'max-age=100', age: '30' } }, 10);
    expect(first.fields.age).toBe('30');
    const second = await edge.ask(path);
    expect(Number(second.fields.age)).toBeGreaterThanOrEqual(40);
    expect(Number(second.fields.age)).toBeLessThan(70);
    expect(second.fields.date).toBe(first.fields.date);
  });
});

describe('guessed freshness (RFC 9111 §4.2.2)', () => {
  it('where the operator wants it, is a share of the time since the last change', async () => {
    const guessing = await Conversation.start({ heuristic: { fraction: 0.1, maxSeconds: 3_600 } });
    const cases: [status: number, fields: Fields, seconds: number, expected: boolean][] = [
      [200, { 'last-modified': date(-1_000) }, 90, YES],
      [200, { 'last-modified': date(-1_000) }, 110, NO],
      [200, { 'last-modified': date(-1_000_000) }, 3_500, YES],
      [200, { 'last-modified': date(-1_000_000) }, 3_700, NO],
      [200, {}, 0, NO],
      [200, { 'last-modified': date(-1_000), 'cache-control': 'no-cache' }, 0, NO],
      [404, { 'last-modified': date(-1_000) }, 90, YES],
      [501, { 'last-modified': date(-1_000) }, 90, YES],
      [403, { 'last-modified': date(-1_000) }, 0, NO],
      [503, { 'last-modified': date(-1_000) }, 0, NO],
      [599, { 'last-modified': date(-1_000) }, 0, NO],
      [599, { 'last-modified': date(-1_000), 'cache-control': 'public' }, 90, YES],
    ];
    for (const [at, [status, fields, seconds, expected]] of cases.entries()) {
      await guessing.first(`/${at}`, { status, fields }, seconds);
      const { asked } = await guessing.ask(`/${at}`);
      expect(asked === undefined, `${status} ${JSON.stringify(fields)}`).toBe(expected);
    }
    await guessing.close();
  });
});

describe('targeted cache control (RFC 9213)', () => {
  const beside = (targeted: string, fields: Fields = {}): Fields => ({
    'cdn-cache-control': targeted,
    ...fields,
  });
  it.each<[string, Fields, boolean]>([
    ['alone', beside('max-age=100'), YES],
    ['above no-store for others', beside('max-age=100', { 'cache-control': 'no-store' }), YES],
    ['above a shorter time', beside('max-age=100', { 'cache-control': 'max-age=1' }), YES],
    ['below a longer time', beside('max-age=1', { 'cache-control': 'max-age=100' }), NO],
    ['above a past Expires', beside('max-age=100', { expires: date(-10) }), YES],
    ['without a time, whatever Expires says', beside('public', { expires: date(100) }), NO],
    ['no-store', beside('no-store', { 'cache-control': 'max-age=100' }), NO],
    ['private', beside('private', { 'cache-control': 'max-age=100' }), NO],
    ['no-cache', beside('max-age=100, no-cache', { 'cache-control': 'max-age=100' }), NO],
    ['s-maxage first', beside('max-age=1, s-maxage=100'), YES],
    ['with an extension', beside('a=1;b, max-age=100'), YES],
    ['with an age beyond it', beside('max-age=100', { age: '200' }), NO],
    ['the last of two', beside('max-age=1, max-age=100'), YES],
    ['in two lines', { 'cdn-cache-control': ['max-age=1', 'max-age=100'] }, YES],
    ['switched off', beside('no-store=?0, max-age=100'), YES],
  ])('decides: %s', async (_what, fields, expected) => {
    expect(await reused(fields, 50)).toBe(expected);
  });

  it.each([
    ['is no dictionary', 'max-age=100, &'],
    ['has a string for a time', 'max-age="100"'],
    ['has a fraction for a time', 'max-age=100.5'],
    ['has a flag for a time', 'max-age'],
    ['has a name in capitals', 'Max-Age=100'],
    ['has space about the sign', 'max-age =100'],
    ['is empty', ''],
  ])('counts as absent if it %s', async (_what, targeted) => {
    expect(await reused(beside(targeted, { 'cache-control': 'max-age=1' }), 50)).toBe(NO);
    expect(await reused(beside(targeted, { 'cache-control': 'max-age=100' }), 50)).toBe(YES);
  });

  it('goes on to whoever comes next', async () => {
    const path = edge.path();
    await edge.first(path, { fields: beside('max-age=100') });
    expect((await edge.ask(path)).fields['cdn-cache-control']).toBe('max-age=100');
  });
});
