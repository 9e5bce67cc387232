import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Conversation, type Fields } from './conversation.ts';

let edge: Conversation;
beforeAll(async () => {
  edge = await Conversation.start();
});
afterAll(() => edge.close());

describe('what is stored (RFC 9111 §3)', () => {
  it.each([
    200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 410, 414, 418, 421, 451, 499,
    500, 501, 502, 503, 504, 599,
  ])('any final status that states freshness, until that ends: %i', async (status) => {
    const path = edge.path();
    const fields = { 'cache-control': 'max-age=100', location: '/elsewhere', 'x-a': `${status}` };
    const first = await edge.first(path, { status, fields }, 50);
    const second = await edge.ask(path);
    expect([second.asked, second.status, second.text]).toEqual([undefined, status, first.text]);
    expect(second.fields).toMatchObject({ location: '/elsewhere', 'x-a': `${status}` });
    edge.later(60);
    // A failure would be hidden by the stale answer that stands in for it.
    edge.give(path, { status: 200, fields: { 'x-b': 'new' } });
    expect((await edge.ask(path)).fields['x-b']).toBe('new');
  });

  it.each<[string, Fields, number]>([
    ['no-store', { 'cache-control': 'max-age=100, no-store' }, 200],
    ['no-store in capitals, on a line of its own', { 'cache-control': ['max-age=100', 'NO-STORE'] }, 200],
    ['private', { 'cache-control': 'private, max-age=100' }, 200],
    ['private for some fields and for all', { 'cache-control': 'private="a", private, max-age=100' }, 200],
    [
      'must-understand with a status that is unknown',
      { 'cache-control': 'max-age=100, must-understand' },
      599,
    ],
    ['neither freshness nor validator', {}, 200],
    ['a cookie, and Expires alone', { expires: 'Fri, 01 Jan 2100 00:00:00 GMT', 'set-cookie': 'a=1' }, 200],
  ])('is not what says or lacks: %s', async (_what, fields, status) => {
    const path = edge.path();
    await edge.first(path, { fields, status });
    expect((await edge.ask(path)).asked).toBeDefined();
    expect(edge.held(path)).toEqual([]);
  });

  it.each<[string, Fields]>([
    [
      'must-understand beside no-store, where the status is known',
      { 'cache-control': 'max-age=100, no-store, must-understand' },
    ],
    ['a cookie that Cache-Control knows of', { 'cache-control': 'max-age=100', 'set-cookie': 'a=1' }],
    ['private for one field', { 'cache-control': 'max-age=100, private="x-a"' }],
    ['an attachment', { 'cache-control': 'max-age=100', 'content-disposition': 'attachment' }],
    ['Pragma, which means nothing here', { 'cache-control': 'max-age=100', pragma: 'no-cache' }],
  ])('is nevertheless: %s', async (_what, fields) => {
    const path = edge.path();
    await edge.first(path, { fields: { ...fields, 'x-a': '1' } });
    const second = await edge.ask(path);
    expect(second.asked).toBeUndefined();
    expect(second.fields['set-cookie']).toBe(fields['set-cookie']);
  });
});

describe('fields that are stored (RFC 9111 §3.1)', () => {
  it('are all but those of the connection, and those that it names', async () => {
    const path = edge.path();
    const fields = {
      'cache-control': 'max-age=100',
      connection: 'x-one, X-Two',
      'x-one': '1',
      'x-two': '2',
      'keep-alive': 'timeout=9',
      'proxy-authenticate': 'Basic realm="a"',
      'proxy-authentication-info': 'a=1',
      'proxy-connection': 'keep-alive',
      te: 'trailers',
      upgrade: 'websocket',
      'x-three': ['3', '4'],
      'content-language': 'de',
      'content-security-policy': "default-src 'self'",
      'x-frame-options': 'deny',
    };
    await edge.first(path, { fields });
    const { asked, fields: got } = await edge.ask(path);
    expect(asked).toBeUndefined();
    for (const name of ['x-one', 'x-two', 'te', 'upgrade', 'proxy-connection', 'proxy-authenticate'])
      expect(got, name).not.toHaveProperty(name);
    expect(got['proxy-authentication-info']).toBeUndefined();
    expect(got['keep-alive']).not.toBe('timeout=9');
    expect(got).toMatchObject({ 'x-three': ['3', '4'], 'content-language': 'de', 'x-frame-options': 'deny' });
  });

  it.each([
    ['no-cache="x-a, X-B"', ['x-c'], ['x-a', 'x-b']],
    ['private="x-c"', ['x-a', 'x-b'], ['x-c']],
  ])('are not those that a directive names (§5.2.2): %s', async (directive, kept, left) => {
    const path = edge.path();
    const fields = { 'cache-control': `max-age=100, ${directive}`, 'x-a': '1', 'x-b': '2', 'x-c': '3' };
    expect((await edge.first(path, { fields })).fields).toMatchObject({ 'x-a': '1', 'x-b': '2', 'x-c': '3' });
    const second = await edge.ask(path);
    expect(second.asked).toBeUndefined();
    for (const name of kept) expect(second.fields).toHaveProperty(name);
    for (const name of left) expect(second.fields).not.toHaveProperty(name);
  });
});

describe('answers to credentials (RFC 9111 §3.5)', () => {
  it.each([
    ['max-age=100', false],
    ['max-age=100, public', true],
    ['max-age=100, must-revalidate', true],
    ['s-maxage=100', true],
    ['max-age=100, proxy-revalidate', false],
    ['public, no-store', false],
  ])('are stored only if they say that they may: %s', async (control, expected) => {
    const path = edge.path();
    const secret = { authorization: 'Bearer a' };
    await edge.first(path, { fields: { 'cache-control': control } }, 0, secret);
    expect((await edge.ask(path)).asked === undefined).toBe(expected);
  });
});

describe('variants (RFC 9111 §4.1)', () => {
  const FIELDS = { 'x-a': '1', 'x-b': 'one, two' };
  it.each<[string, string | string[], Fields, boolean]>([
    ['the same', 'x-a', { 'x-a': '1' }, true],
    ['another value', 'x-a', { 'x-a': '2' }, false],
    ['none', 'x-a', {}, false],
    ['an empty one', 'x-a', { 'x-a': '' }, false],
    ['another field that does not count', 'x-a', { 'x-a': '1', 'x-c': '3' }, true],
    ['the same, the name in capitals', 'X-A', { 'x-a': '1' }, true],
    ['space about commas', 'x-b', { 'x-b': 'one ,  two' }, true],
    ['the same in two lines', 'x-b', { 'x-b': ['one', 'two'] }, true],
    ['another order', 'x-b', { 'x-b': 'two, one' }, false],
    ['letters in another case', 'x-b', { 'x-b': 'One, two' }, false],
    ['both the same', 'x-a, x-b', { ...FIELDS }, true],
    ['both the same, in two lines of Vary', ['x-a', 'x-b'], { ...FIELDS }, true],
    ['one of two differs', 'x-a, x-b', { ...FIELDS, 'x-b': 'one' }, false],
    ['one of two is not there', 'x-a, x-b', { 'x-a': '1' }, false],
    ['what was not there either', 'x-c', {}, true],
    ['what was not there', 'x-c', { 'x-c': '' }, false],
    ['empty members', ', ,x-a,', { 'x-a': '1' }, true],
    ['a star', '*', { ...FIELDS }, false],
    ['a star among names', 'x-a, *', { ...FIELDS }, false],
    ['a star on a line of its own', ['x-a', '*'], { ...FIELDS }, false],
    ['a star after nothing', ', *', { ...FIELDS }, false],
  ])('are selected by what Vary names: %s', async (_what, vary, fields, expected) => {
    const path = edge.path();
    await edge.first(path, { fields: { 'cache-control': 'max-age=100', vary } }, 0, FIELDS);
    expect((await edge.ask(path, fields)).asked === undefined).toBe(expected);
  });

  it.each<[string, string, string, boolean]>([
    ['accept-language', 'de, en;q=0.5', 'en;q=0.5, DE', true],
    ['accept-language', 'de, en;q=0.5', 'de;q=1.0,en; q=0.5', true],
    ['accept-language', 'de, en;q=0.5', 'en, de;q=0.5', false],
    ['accept-encoding', 'gzip, br', 'br,gzip;q=0.8, deflate', true],
    ['accept-encoding', 'gzip, br', 'gzip', false],
    ['accept-encoding', 'gzip;q=0', 'identity', true],
  ])('are the same whatever the spelling of %s: %s and %s', async (name, a, b, expected) => {
    const path = edge.path();
    await edge.first(path, { fields: { 'cache-control': 'max-age=100', vary: name } }, 0, { [name]: a });
    expect((await edge.ask(path, { [name]: b })).asked === undefined).toBe(expected);
  });

  it('stand beside each other', async () => {
    const path = edge.path();
    for (const kind of ['1', '2', '1', '2'])
      await edge.first(path, { fields: { 'cache-control': 'max-age=100', vary: 'x-a' }, body: kind }, 0, {
        'x-a': kind,
      });
    expect(edge.held(path)).toHaveLength(2);
    for (const kind of ['1', '2'])
      expect(await edge.ask(path, { 'x-a': kind })).toMatchObject({ text: kind, asked: undefined });
  });
});

describe('what a change makes invalid (RFC 9111 §4.4)', () => {
  const fields = { 'cache-control': 'max-age=100' };
  it.each(['POST', 'PUT', 'DELETE', 'PATCH'] as const)('after %s', async (method) => {
    const [path, made, other] = [edge.path(), edge.path(), edge.path()];
    for (const each of [path, made, other]) await edge.first(each, { fields });
    edge.give(path, { status: 500 });
    await edge.ask(path, {}, method);
    expect((await edge.ask(path)).asked, 'a failure changes nothing').toBeUndefined();
    edge.give(path, {
      status: 201,
      fields: { location: made, 'content-location': `http://other.example${other}` },
    });
    await edge.ask(path, {}, method);
    expect((await edge.ask(made)).asked).toBeDefined();
    expect((await edge.ask(path)).asked).toBeDefined();
    expect((await edge.ask(other)).asked, 'another host is not ours to judge').toBeUndefined();
  });
});
