import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BlobWriter } from '../../../../protocol/ports.ts';
import { Conversation, date, type Fields, type Given } from './conversation.ts';

let edge: Conversation;
beforeAll(async () => {
  edge = await Conversation.start();
});
afterAll(() => edge.close());

describe('what the client asks of the age (RFC 9111 §5.2.1)', () => {
  const CASES: [given: Fields, seconds: number, control: string, served: boolean][] = [
    [{ 'cache-control': 'max-age=100' }, 0, 'no-cache', false],
    [{ 'cache-control': 'max-age=100' }, 0, 'max-age=0', false],
    [{ 'cache-control': 'max-age=100' }, 0, 'max-age=10', true],
    [{ 'cache-control': 'max-age=100' }, 20, 'max-age=10', false],
    [{ 'cache-control': 'max-age=100', age: '20' }, 0, 'max-age=10', false],
    [{ 'cache-control': 'max-age=100' }, 0, 'max-age=soon', false],
    [{ 'cache-control': 'max-age=100' }, 0, 'min-fresh=50', true],
    [{ 'cache-control': 'max-age=100' }, 0, 'min-fresh=200', false],
    [{ 'cache-control': 'max-age=100', age: '60' }, 0, 'min-fresh=50', false],
    [{ 'cache-control': 'max-age=100' }, 0, 'no-store', true],
    [{ 'cache-control': 'max-age=100' }, 0, 'no-transform, unknown=1', true],
  ];
  it.each<(typeof CASES)[number]>([
    ...CASES,
    [{ 'cache-control': 'max-age=100', etag: '"a"' }, 200, 'max-stale', true],
    [{ 'cache-control': 'max-age=100', etag: '"a"' }, 200, 'max-stale=150', true],
    [{ 'cache-control': 'max-age=100', etag: '"a"' }, 200, 'max-stale=50', false],
    [{ 'cache-control': 'max-age=100, must-revalidate', etag: '"a"' }, 200, 'max-stale', false],
    [{ 'cache-control': 's-maxage=100', etag: '"a"' }, 200, 'max-stale', false],
    [{ 'cache-control': 'max-age=100, no-cache', etag: '"a"' }, 0, 'max-stale', false],
  ])('%j after %i s, %s', async (fields, seconds, control, served) => {
    const path = edge.path();
    await edge.first(path, { fields }, seconds);
    expect((await edge.ask(path, { 'cache-control': control })).asked === undefined).toBe(served);
  });

  it.each(CASES.filter(([, seconds]) => seconds === 0))(
    'holds while the answer is still on its way into the store: %j, %i s, %s',
    async (fields, _seconds, control, served) => {
      const slow = await Conversation.start();
      const store = Promise.withResolvers<void>();
      const { blobs } = slow.under;
      const create = blobs.create.bind(blobs);
      blobs.create = async (options): Promise<BlobWriter> => {
        const writer = await create(options);
        const finish = writer.finish.bind(writer);
        writer.finish = () => store.promise.then(finish);
        return writer;
      };
      slow.give('/a', { fields });
      await slow.ask('/a');
      const second = slow.ask('/a', { 'cache-control': control });
      setTimeout(store.resolve, 20);
      expect((await second).asked === undefined).toBe(served);
      await slow.close();
    },
  );

  it('validates what it does not take', async () => {
    const path = edge.path();
    await edge.first(path, { fields: { 'cache-control': 'max-age=100', etag: '"a"' } });
    for (const headers of [{ 'cache-control': 'no-cache' }, { pragma: 'no-cache' }])
      expect((await edge.ask(path, headers)).asked).toMatchObject({ 'if-none-match': '"a"' });
    expect(
      (await edge.ask(path, { pragma: 'no-cache', 'cache-control': 'max-age=50' })).asked,
    ).toBeUndefined();
  });

  it('answers only-if-cached from the store or not at all', async () => {
    const path = edge.path();
    const only = { 'cache-control': 'only-if-cached' };
    expect(await edge.ask(path, only)).toMatchObject({ status: 504, asked: undefined });
    await edge.first(path, { fields: { 'cache-control': 'max-age=100' } });
    expect(await edge.ask(path, only)).toMatchObject({ status: 200, asked: undefined });
  });
});

describe('what is stale (RFC 9111 §4.2.4, RFC 5861)', () => {
  const FAILURES: Given[] = ['cut', { status: 500 }, { status: 502 }, { status: 503 }, { status: 504 }];
  it.each<[string, number, boolean]>([
    ['max-age=100', 200, true],
    ['max-age=100, stale-if-error=500', 200, true],
    ['max-age=100, stale-if-error=50', 200, false],
    ['max-age=100, stale-if-error=0', 101, false],
    ['max-age=100', 100 + 3_601, false],
    ['max-age=100, stale-if-error=9000', 100 + 3_601, true],
    ['max-age=100, must-revalidate', 101, false],
    ['max-age=100, proxy-revalidate', 101, false],
    ['max-age=100, no-cache', 101, false],
    ['s-maxage=100', 101, false],
    ['s-maxage=100, stale-if-error=500', 200, true],
    ['max-age=100, must-revalidate, stale-if-error=500', 101, false],
  ])('stands in for a failing origin as far as it may: %s after %i s', async (control, seconds, served) => {
    for (const failure of FAILURES) {
      const path = edge.path();
      await edge.first(path, { fields: { 'cache-control': control, etag: '"a"' } }, seconds);
      edge.give(path, failure);
      const heard = await edge.ask(path);
      const without = failure === 'cut' ? 502 : failure.status;
      expect([heard.status, heard.asked !== undefined]).toEqual([served ? 200 : without, true]);
      if (served) expect(Number(heard.fields.age)).toBeGreaterThanOrEqual(seconds);
    }
  });

  it('is not kept in place of any other answer', async () => {
    for (const status of [400, 403, 404, 410, 501]) {
      const path = edge.path();
      await edge.first(path, { fields: { 'cache-control': 'max-age=10', etag: '"a"' } }, 20);
      edge.give(path, { status });
      expect((await edge.ask(path)).status).toBe(status);
    }
  });

  it('is served within stale-while-revalidate, while it is renewed', async () => {
    const path = edge.path();
    const fields = { 'cache-control': 'max-age=10, stale-while-revalidate=50', etag: '"a"' };
    await edge.first(path, { fields }, 30);
    edge.give(path, { fields: { ...fields, etag: '"b"' }, body: 'new' });
    expect(await edge.ask(path)).toMatchObject({ text: 'body', fields: { etag: '"a"' } });
    await expect.poll(() => edge.held(path)[0]?.headers).toContainEqual(['etag', '"b"']);
    expect(await edge.ask(path)).toMatchObject({ text: 'new', asked: undefined });
    edge.later(100);
    edge.give(path, { fields, body: 'newest' });
    expect(await edge.ask(path)).toMatchObject({ text: 'newest' });
  });
});

describe('ranges (RFC 9110 §14)', () => {
  const BODY = '0123456789';
  const FIELDS = { 'cache-control': 'max-age=100', etag: '"a"', 'last-modified': date(-3_000) };
  it.each<[string, number, string, string | undefined]>([
    ['bytes=2-4', 206, '234', 'bytes 2-4/10'],
    ['bytes=2-', 206, '23456789', 'bytes 2-9/10'],
    ['bytes=-3', 206, '789', 'bytes 7-9/10'],
    ['bytes=-30', 206, BODY, 'bytes 0-9/10'],
    ['bytes=8-30', 206, '89', 'bytes 8-9/10'],
    ['BYTES=0-0', 206, '0', 'bytes 0-0/10'],
    ['bytes=0-1, 1-3', 206, '0123', 'bytes 0-3/10'],
    ['bytes=10-', 416, '', 'bytes */10'],
    ['bytes=-0', 416, '', 'bytes */10'],
    ['bytes=20-30, 40-', 416, '', 'bytes */10'],
    ['bytes=4-2', 200, BODY, undefined],
    ['bytes=a-b', 200, BODY, undefined],
    ['bytes', 200, BODY, undefined],
    ['lines=1-2', 200, BODY, undefined],
    [`bytes=${'0-0,'.repeat(20)}1-1`, 200, BODY, undefined],
  ])('of what is stored whole: %s', async (range, status, text, contentRange) => {
    const path = edge.path();
    await edge.first(path, { fields: FIELDS, body: BODY });
    const heard = await edge.ask(path, { range });
    expect([heard.asked, heard.status, heard.text]).toEqual([undefined, status, text]);
    expect(heard.fields['content-range']).toBe(contentRange);
  });

  it.each<[string, number]>([
    ['"a"', 206],
    ['"b"', 200],
    ['W/"a"', 200],
    [FIELDS['last-modified'], 206],
    [date(-2_000), 200],
    ['soon', 200],
  ])('if nothing has changed (§13.1.5): %s', async (ifRange, status) => {
    const path = edge.path();
    await edge.first(path, { fields: FIELDS, body: BODY });
    expect(await edge.ask(path, { range: 'bytes=1-2', 'if-range': ifRange })).toMatchObject({ status });
  });

  it('apply to 200 alone, and to GET alone', async () => {
    const path = edge.path();
    await edge.first(path, { status: 404, fields: FIELDS, body: BODY });
    expect(await edge.ask(path, { range: 'bytes=1-2' })).toMatchObject({ status: 404, text: BODY });
    const other = edge.path();
    await edge.first(other, { fields: FIELDS, body: BODY });
    expect(await edge.ask(other, { range: 'bytes=1-2' }, 'HEAD')).toMatchObject({ status: 200, text: '' });
  });

  it('of a response that is validated', async () => {
    const path = edge.path();
    await edge.first(path, { fields: FIELDS, body: BODY }, 200);
    edge.give(path, { status: 304, fields: FIELDS });
    const heard = await edge.ask(path, { range: 'bytes=1-2' });
    expect(heard).toMatchObject({ status: 206, text: '12', asked: { 'if-none-match': '"a"' } });
    expect(heard.asked).not.toHaveProperty('range');
  });
});
