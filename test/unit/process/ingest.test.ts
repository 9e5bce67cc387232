import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { parseCombined } from '../../../node/ingest/combined.ts';
import { parseJsonLine } from '../../../node/ingest/json-lines.ts';
import { type ReadLogOptions, readLog, readLogFile } from '../../../node/ingest/log-reader.ts';
import type { Observation } from '../../../node/ingest/observation.ts';
import { payloadOf } from '../../../node/ingest/syslog.ts';

const AT = Date.UTC(2015, 4, 17, 10, 5, 3);
const LINE =
  '83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a.png?x=1 HTTP/1.1" 200 203023 "http://b.example/" "Mozilla/5.0 (X)"';

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function read(bytes: Uint8Array | string, options: ReadLogOptions = {}, size = 7) {
  const malformed: [number, string][] = [];
  const found: Observation[] = [];
  const source = pieces(typeof bytes === 'string' ? Buffer.from(bytes) : bytes, size);
  for await (const batch of readLog(source, {
    ...options,
    malformed: (line, reason) => malformed.push([line, reason]),
  })) {
    found.push(...batch);
  }
  return { found, malformed };
}

describe('the combined log', () => {
  it('is read as Apache and nginx write it', () => {
    expect(parseCombined(LINE, 'www.example')).toEqual({
      at: AT,
      client: '83.149.9.216',
      method: 'GET',
      url: '/a.png?x=1',
      host: 'www.example',
      status: 200,
      bytes: 203023,
      referer: 'http://b.example/',
    });
  });

  it.each([
    ['the common format', LINE.slice(0, LINE.indexOf(' "http')), { url: '/a.png?x=1', bytes: 203023 }],
    ['a virtual host in front', `Shop.example:443 ${LINE}`, { host: 'shop.example', client: '83.149.9.216' }],
    ['a user with a blank', LINE.replace('- - [', '- jane doe ['), { at: AT }],
    ['another time zone', LINE.replace('+0000', '-0330'), { at: AT + 3.5 * 3_600_000 }],
    ['an answer without a body', LINE.replace(' 203023 ', ' - '), { bytes: 0 }],
    ['IPv6', LINE.replace('83.149.9.216', '2001:db8::1'), { client: '2001:db8::1' }],
    ['escaped quotes', LINE.replace('/a.png', '/a\\"b'), { url: '/a"b?x=1' }],
    ['escaped bytes', LINE.replace('/a.png', '/a\\x20b'), { url: '/a%20b?x=1' }],
    ['blanks in the target', LINE.replace('/a.png', '/a b'), { url: '/a%20b?x=1' }],
    [
      'an absolute target',
      LINE.replace('/a.png', 'http://Other.example:80/c'),
      { host: 'other.example', url: '/c?x=1' },
    ],
    ['HTTP/0.9', LINE.replace(' HTTP/1.1', ''), { url: '/a.png?x=1' }],
    ['a fragment', LINE.replace('x=1', 'x=1#top'), { url: '/a.png?x=1' }],
    ['an agent cut off', LINE.slice(0, -3), { status: 200 }],
  ])('understands %s', (_what, line, expected) => {
    expect(parseCombined(line, '')).toMatchObject(expected);
  });

  it.each([
    ['', 'not a combined log line'],
    ['\u0000\u0001', 'not a combined log line'],
    [LINE.replace('May', 'Mai'), 'no valid time'],
    [LINE.replace('2015', '0015'), 'no valid time'],
    [LINE.replace('GET /a.png?x=1 HTTP/1.1', '-'), 'no valid request line'],
    [LINE.replace('GET', '\\x16\\x03'), 'no valid method'],
    [LINE.replace('/a.png', '*'), 'no valid URL'],
    [LINE.replace(' 200 ', ' abc '), 'no status after the request'],
    [LINE.slice(0, 60), 'the request has no closing quote'],
    [LINE.replace('/a.png', `/${'a'.repeat(9000)}`), 'the URL is too long'],
    [`ev|l.example ${LINE}`, 'no valid host name'],
  ])('refuses %.40j', (line, reason) => {
    expect(parseCombined(line, '')).toBe(reason);
  });

  it('takes no longer on hostile lines than on others', () => {
    // Anything worse than linear would not end within the test's time, by orders of magnitude.
    for (const part of [' ', '"', '\\', '[', 'a ', '" 200 ', '\\"', '" "'])
      expect(parseCombined(LINE.slice(0, 47) + part.repeat(500_000), '')).toBeTypeOf('string');
    for (const part of [' ', 'a ', '- - [', '['])
      expect(parseCombined(part.repeat(500_000), '')).toBeTypeOf('string');
  });
});

describe('JSON lines', () => {
  it.each([
    ['our own', { at: AT, client: 'c', method: 'GET', url: '/a', host: 'h', status: 200, bytes: 5 }],
    [
      'nginx',
      {
        time_iso8601: '2015-05-17T10:05:03+00:00',
        remote_addr: 'c',
        request: 'GET /a HTTP/1.1',
        status: '200',
        body_bytes_sent: '5',
        http_host: 'h:80',
      },
    ],
    [
      'nginx with msec',
      {
        msec: '1431857103.000',
        remote_addr: 'c',
        request_uri: '/a',
        request_method: 'get',
        status: 200,
        bytes_sent: 5,
        host: 'H',
      },
    ],
    [
      'Caddy',
      {
        ts: AT / 1000,
        request: { remote_ip: 'c', method: 'GET', host: 'h', uri: '/a' },
        status: 200,
        size: 5,
      },
    ],
    [
      'Elastic',
      {
        '@timestamp': '2015-05-17T10:05:03Z',
        'source.ip': 'c',
        'url.original': 'https://h/a',
        'http.request.method': 'GET',
        'http.response.status_code': 200,
        'http.response.body.bytes': 5,
      },
    ],
  ])('are read as %s writes them', (_whose, row) => {
    expect(parseJsonLine(JSON.stringify(row), '')).toEqual({
      at: AT,
      client: 'c',
      method: 'GET',
      url: '/a',
      host: 'h',
      status: 200,
      bytes: 5,
    });
  });

  it.each([
    '{',
    '[]',
    'null',
    '1',
    '{}',
    '{"url":1}',
    '{"url":"/a"}',
    '{"url":"/a","at":"x","client":"c"}',
    `{"url":"/a","client":"c","at":${AT},"status":[]}`.replace('[]', '1.5'),
    `{"url":"/a","client":"c","at":${AT},"bytes":-1}`,
    `{"url":"/a","client":"c","at":${AT},"bytes":1e400}`,
    `{"__proto__":{"url":"/a"}}`,
  ])('refuse %s', (line) => {
    expect(typeof parseJsonLine(line, '')).toBe('string');
  });
});

describe('a log', () => {
  const tsv =
    'host\tlogname\ttime\tmethod\turl\tresponse\tbytes\treferer\tuseragent\na.example\t-\t807256800\tGET\t/x.gif\t200\t1713\t\t\n';

  it('is recognised by its first line', async () => {
    expect((await read(tsv, { host: 'nasa' })).found).toEqual([
      {
        at: 807_256_800_000,
        client: 'a.example',
        method: 'GET',
        url: '/x.gif',
        host: 'nasa',
        status: 200,
        bytes: 1713,
      },
    ]);
    expect((await read(`\n\n${LINE}\n`)).found).toHaveLength(1);
    expect((await read(`{"at":${AT},"client":"c","url":"/"}`)).found).toHaveLength(1);
  });

  it('is read compressed, in pieces of any size, with any line ends', async () => {
    const text = `${LINE}\r\n${LINE}\n${LINE}`;
    for (const size of [1, 2, 64, 10_000]) {
      expect((await read(text, {}, size)).found).toHaveLength(3);
      expect((await read(gzipSync(text), {}, size)).found).toHaveLength(3);
    }
    expect((await read('')).found).toEqual([]);
    expect((await read('x', {}, 1)).malformed).toHaveLength(1);
  });

  it('counts malformed lines by number and reads on', async () => {
    const { found, malformed } = await read(`${LINE}\nrubbish\n\n${'y'.repeat(70_000)}\n${LINE}\n`, {}, 5000);
    expect(found).toHaveLength(2);
    expect(malformed).toEqual([
      [2, 'not a combined log line'],
      [4, 'longer than 65536 bytes'],
    ]);
  });

  it('does not hold a line that never ends', async () => {
    // One piece over and over: what the memory grows by is what the reader keeps, not what waits for the collector.
    const piece = Buffer.alloc(1 << 20, 'z');
    async function* endless() {
      for (let part = 0; part < 1_000; part += 1) yield piece;
    }
    const before = process.memoryUsage().rss;
    const malformed: number[] = [];
    for await (const _ of readLog(endless(), { malformed: (line) => malformed.push(line) }))
      expect.unreachable();
    expect(malformed).toEqual([1]);
    expect(process.memoryUsage().rss - before).toBeLessThan(150 << 20);
  });

  it('says where damaged gzip ends, and that a file is missing', async () => {
    const packed = gzipSync(Buffer.from(`${LINE}\n`.repeat(5000)));
    await expect(read(packed.subarray(0, packed.length - 20), {}, 1000)).rejects.toMatchObject({
      code: 'INPUT_MALFORMED',
    });
    await expect(readLogFile('/nonexistent').next()).rejects.toMatchObject({ code: 'STORE_IO' });
  });
});

describe('a syslog message', () => {
  it.each([
    ['RFC 3164', `<190>May 17 10:05:03 edge1 nginx: ${LINE}`],
    ['RFC 3164 with a process', `<190>May  7 10:05:03 edge1 nginx[123]: ${LINE}`],
    ['RFC 3164 without a host', `<190>May 17 10:05:03 nginx: ${LINE}`],
    ['RFC 5424', `<190>1 2015-05-17T10:05:03.1Z edge1 nginx 12 access - ${LINE}`],
    ['RFC 5424 with data', `<190>1 - - - - - [a@1 b="c\\]"][d@2] \ufeff${LINE}\n`],
    ['no header', LINE],
  ])('of %s gives its line', (_what, message) => {
    expect(payloadOf(message)).toBe(LINE);
  });
});
