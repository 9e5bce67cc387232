import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Conversation, date, type Fields, type Given } from './conversation.ts';

let edge: Conversation;
beforeAll(async () => {
  edge = await Conversation.start();
});
afterAll(() => edge.close());
const LONG_AGO = 'Wed, 01 Jan 2020 00:00:00 GMT';

describe('asking the origin whether a response still holds (RFC 9111 §4.3.1)', () => {
  it.each<[string, Fields, Fields]>([
    ['an entity tag', { etag: '"a"' }, { 'if-none-match': '"a"' }],
    ['a weak one', { etag: 'W/"a"' }, { 'if-none-match': 'W/"a"' }],
    ['a date', { 'last-modified': LONG_AGO }, { 'if-modified-since': LONG_AGO }],
    [
      'both',
      { etag: '"a"', 'last-modified': LONG_AGO },
      { 'if-none-match': '"a"', 'if-modified-since': LONG_AGO },
    ],
  ])('by %s', async (_what, validators, conditions) => {
    const path = edge.path();
    const first = await edge.first(path, { fields: { ...validators, 'cache-control': 'max-age=10' } }, 20);
    expect(first.asked).not.toHaveProperty('if-none-match');
    edge.give(path, { status: 304, fields: { ...validators, 'cache-control': 'max-age=10' } });
    const second = await edge.ask(path, { 'if-none-match': '"other"' });
    expect(second).toMatchObject({ status: 200, text: 'body', asked: conditions });
    expect((await edge.ask(path)).asked).toBeUndefined();
  });

  it.each(['no-cache', 'no-cache, max-age=100', 'max-age=100, No-Cache', 'max-age=0'])(
    'each time, if it says so: %s',
    async (control) => {
      const path = edge.path();
      await edge.first(path, { fields: { etag: '"a"', 'cache-control': control } });
      edge.give(path, { status: 304, fields: { etag: '"a"' } });
      for (let n = 0; n < 2; n++)
        expect(await edge.ask(path)).toMatchObject({ status: 200, asked: { 'if-none-match': '"a"' } });
    },
  );

  it('is answered by a new response, which takes its place', async () => {
    const path = edge.path();
    await edge.first(path, { fields: { etag: '"a"', 'cache-control': 'max-age=10' } }, 20);
    await edge.first(path, { fields: { etag: '"b"', 'cache-control': 'max-age=10' }, body: 'new' });
    await expect.poll(() => edge.held(path)[0]?.headers).toContainEqual(['etag', '"b"']);
    expect(await edge.ask(path)).toMatchObject({ text: 'new', asked: undefined, fields: { etag: '"b"' } });
  });
});

describe('what a 304 changes of the stored response (RFC 9111 §3.2, §4.3.4)', () => {
  it.each([
    ['x-test', '1', '2', true],
    ['x-content-test', '1', '2', true],
    ['cache-control', 'max-age=10', 'max-age=20', true],
    ['expires', date(1_000), date(2_000), true],
    ['content-location', '/a', '/b', true],
    ['content-type', 'text/plain', 'text/html', true],
    ['content-security-policy', "default-src 'self'", "default-src 'none'", true],
    ['set-cookie', 'a=1', 'a=2', true],
    ['content-encoding', 'a', 'b', false],
    ['content-range', 'bytes 0-3/4', 'bytes 0-1/4', false],
    ['content-md5', 'rL0Y20zC+Fzt72VPzMSk2A==', 'N7UdGUp1E+RbVvZSTy1R8g==', false],
    ['content-digest', 'sha-256=:AAAA:', 'sha-256=:BBBB:', false],
  ])('%s: %s, then %s', async (name, before, after, changes) => {
    const path = edge.path();
    const fields = { etag: '"a"', 'cache-control': 'max-age=10', 'x-kept': '1' };
    await edge.first(path, { fields: { ...fields, [name]: before } }, 3_000);
    const { 'x-kept': _kept, ...without } = fields;
    edge.give(path, { status: 304, fields: { ...without, [name]: after } });
    for (const asked of [true, false]) {
      const heard = await edge.ask(path);
      expect(heard.asked !== undefined).toBe(asked);
      expect([heard.fields[name]].flat()).toEqual([changes ? after : before]);
      expect(heard.fields).toMatchObject({ 'x-kept': '1', etag: '"a"' });
      expect(heard.text).toBe('body');
    }
  });

  it('its age, and it begins anew', async () => {
    const path = edge.path();
    const fields = { etag: '"a"', 'cache-control': 'max-age=60', age: '50' };
    await edge.first(path, { fields }, 20);
    edge.give(path, { status: 304, fields: { etag: '"a"' } });
    await edge.ask(path);
    edge.later(50);
    const heard = await edge.ask(path);
    expect(heard.asked).toBeUndefined();
    expect(Number(heard.fields.age)).toBeGreaterThanOrEqual(50);
    expect(Number(heard.fields.age)).toBeLessThan(60);
  });
});

describe('a 200 to HEAD (RFC 9111 §4.3.5)', () => {
  const FIELDS = { etag: '"a"', 'cache-control': 'max-age=10', 'x-test': '1', 'content-length': '4' };
  const afterHead = async (given: Given) => {
    const path = edge.path();
    await edge.first(path, { fields: FIELDS }, 20);
    edge.give(path, given);
    const head = await edge.ask(path, {}, 'HEAD');
    expect(head.asked).toBeDefined();
    return edge.ask(path);
  };

  it('renews what it confirms', async () => {
    const heard = await afterHead({ fields: { ...FIELDS, 'x-test': '2', 'cache-control': 'max-age=20' } });
    expect(heard).toMatchObject({ asked: undefined, text: 'body', fields: { 'x-test': '2' } });
  });

  it.each<[string, Given]>([
    ['another entity tag', { fields: { ...FIELDS, etag: '"b"' } }],
    ['another length', { fields: { ...FIELDS, 'content-length': '5' }, body: 'other' }],
  ])('forgets what it contradicts: %s', async (_what, given) => {
    const heard = await afterHead(given);
    expect(heard.asked).toBeDefined();
    expect(heard.asked).not.toHaveProperty('if-none-match');
  });

  it.each<[string, Given]>([
    ['no validator', { fields: { 'cache-control': 'max-age=20' } }],
    ['an error', { status: 404, fields: FIELDS }],
    ['that nothing be stored', { fields: { ...FIELDS, 'cache-control': 'no-store' } }],
    [
      'a coding that the stored one was not asked in',
      { fields: { ...FIELDS, 'content-encoding': 'zstd', etag: '"z"' } },
    ],
  ])('leaves the stored one as it is if it brings %s', async (_what, given) => {
    const heard = await afterHead(given);
    expect(heard.asked).toMatchObject({ 'if-none-match': '"a"' });
  });
});

describe('conditions of the client (RFC 9110 §13, RFC 9111 §4.3.2)', () => {
  const FIELDS = { etag: '"a"', 'last-modified': date(-3_000), 'cache-control': 'max-age=100' };
  it.each<[Fields, number]>([
    [{ 'if-none-match': '"a"' }, 304],
    [{ 'if-none-match': 'W/"a"' }, 304],
    [{ 'if-none-match': '"x", "a", "y"' }, 304],
    [{ 'if-none-match': ['"x"', '"a"'] }, 304],
    [{ 'if-none-match': '"x", W/"a,b"' }, 200],
    [{ 'if-none-match': '*' }, 304],
    [{ 'if-none-match': '"b"' }, 200],
    [{ 'if-none-match': '"b"', 'if-modified-since': date(0) }, 200],
    [{ 'if-modified-since': date(-3_000) }, 304],
    [{ 'if-modified-since': date(-2_000) }, 304],
    [{ 'if-modified-since': date(-4_000) }, 200],
    [{ 'if-modified-since': 'yesterday' }, 200],
    [{ 'if-match': '"a"' }, 200],
    [{ 'if-match': 'W/"a"' }, 412],
    [{ 'if-match': '"b"' }, 412],
    [{ 'if-match': '*' }, 200],
    [{ 'if-match': '"a"', 'if-none-match': '"a"' }, 304],
    [{ 'if-unmodified-since': date(-4_000) }, 412],
    [{ 'if-unmodified-since': date(-2_000) }, 200],
    [{ 'if-unmodified-since': date(-4_000), 'if-match': '"a"' }, 200],
  ])('%j: %i', async (conditions, status) => {
    const path = edge.path();
    await edge.first(path, { fields: FIELDS });
    const heard = await edge.ask(path, conditions);
    expect([heard.asked, heard.status]).toEqual([undefined, status]);
    if (status === 304) expect(heard.fields).toMatchObject({ etag: '"a"', 'cache-control': 'max-age=100' });
  });

  it('are held against Date where nothing says when the content changed', async () => {
    const path = edge.path();
    await edge.first(path, { fields: { date: date(-50), 'cache-control': 'max-age=100' } });
    expect((await edge.ask(path, { 'if-modified-since': date(-40) })).status).toBe(304);
    expect((await edge.ask(path, { 'if-modified-since': date(-60) })).status).toBe(200);
  });

  it('are held against what the origin confirms, or sends instead', async () => {
    const path = edge.path();
    await edge.first(path, { fields: FIELDS }, 200);
    edge.give(path, { status: 304, fields: FIELDS });
    expect(await edge.ask(path, { 'if-none-match': '"a"' })).toMatchObject({ status: 304, text: '' });
    edge.later(200);
    edge.give(path, { fields: { ...FIELDS, etag: '"b"' } });
    expect(await edge.ask(path, { 'if-none-match': '"a"' })).toMatchObject({ status: 200, text: 'body' });
  });
});
