import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../../node/config.ts';
import { parseCombined } from '../../../node/ingest/combined.ts';
import { parseJsonLine } from '../../../node/ingest/json-lines.ts';
import { linesOf } from '../../../node/ingest/lines.ts';
import type { Observation } from '../../../node/ingest/observation.ts';
import { payloadOf } from '../../../node/ingest/syslog.ts';
import { parseTsv, parseTsvHeader } from '../../../node/ingest/tsv.ts';
import { bind, createDispatcher } from '../../../node/rpc/dispatch.ts';
import type { Handlers } from '../../../node/rpc/method.ts';
import { METHODS } from '../../../node/rpc/methods.ts';
import { parseNetwork } from '../../../protocol/geography.ts';
import { bytesOf, mustHold, type Shape, type Target, textOf } from '../target.ts';

const text: Shape = 'text';
const COMBINED =
  '192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 5 "http://r.example/" "agent \\"x\\""';
const JSON_LINE =
  '{"time":"2015-05-17T10:05:03Z","remote_addr":"192.0.2.7","request":"GET /a HTTP/1.1","status":200,"bytes_sent":5,"host":"h"}';
const CADDY =
  '{"ts":1431857103.5,"request":{"method":"GET","uri":"/a","host":"h","remote_ip":"::1"},"size":5}';
const TSV = 'host\tlogname\ttime\tmethod\turl\tresponse\tbytes\treferer\tuseragent';

/** A line is refused with a reason, or is a request that everything behind may rely on. */
function observed(result: Observation | string): string {
  if (typeof result === 'string') return result;
  mustHold(result.url.startsWith('/') && !/[\0- \x7f]/.test(result.url), 'a URL that is none');
  mustHold(Number.isSafeInteger(result.bytes) && result.bytes >= 0, 'a size that is none');
  mustHold(Number.isSafeInteger(result.at), 'a time that is none');
  mustHold(result.host === result.host.toLowerCase(), 'a host in capitals');
  return 'observed';
}

const handlers = Object.fromEntries(
  Object.keys(METHODS).map((name) => [name, () => null]),
) as unknown as Handlers;
const dispatcher = createDispatcher(bind(handlers), () => undefined);
const context = { signal: new AbortController().signal };
const call = (method: string, params: unknown) =>
  bytesOf(JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }));

async function rpc(input: Uint8Array): Promise<string> {
  const answer = await dispatcher.answer(textOf(input), context);
  if (answer === undefined) return 'notification';
  const reply = JSON.parse(answer) as { error?: { code: number; data: { code: string } } };
  mustHold(reply.error?.data.code !== 'INTERNAL', `an internal error: ${answer.slice(0, 200)}`);
  return reply.error ? `${reply.error.code}` : 'result';
}

const directory = mkdtempSync(join(tmpdir(), 'presage-fuzz-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const configFile = join(directory, 'presage.toml');
function config(input: Uint8Array): string {
  writeFileSync(configFile, input);
  return String(loadConfig({ file: configFile, env: {} }).storage.budget > 0);
}

/** Whatever the pieces, the lines are the same. */
async function pieces(input: Uint8Array): Promise<string> {
  const read = async (size: number) => {
    const stream = (async function* () {
      for (let at = 0; at < input.length; at += size) yield input.subarray(at, at + size);
    })();
    const lines: (string | undefined)[] = [];
    for await (const batch of linesOf(stream, 300)) lines.push(...batch);
    return JSON.stringify(lines.map((line) => line ?? null));
  };
  mustHold((await read(7)) === (await read(10_000)), 'lines depend on the pieces');
  return 'read';
}

/** Logs, requests of the RPC, configuration. */
export const inputTargets: readonly Target[] = [
  {
    ...{
      name: 'log-combined',
      shape: text,
      seeds: [bytesOf(COMBINED), bytesOf(`www.example:80 ${COMBINED}`)],
    },
    ...{ words: ['" 200 5', '[17/May/2015:10:05:03 -0700]', 'HTTP/', '\\x22'], maxBytes: 64 * 1024 },
    run: (input) => observed(parseCombined(textOf(input), 'd')),
  },
  {
    ...{
      name: 'log-json',
      share: 3,
      shape: text,
      seeds: [bytesOf(JSON_LINE), bytesOf(CADDY)],
      maxBytes: 64 * 1024,
    },
    words: ['"url":', '"request":', '"at":', '1e400', '{}', '[]', '"http://'],
    run: (input) => observed(parseJsonLine(textOf(input), 'd')),
  },
  {
    ...{ name: 'log-tsv', share: 3, shape: text, words: ['\t', 'host', 'time', 'url'], maxBytes: 64 * 1024 },
    seeds: [bytesOf('h.example\t-\t807256800\tGET\t/a\t200\t5\t\t'), bytesOf(TSV)],
    run: (input) => {
      const line = textOf(input);
      return observed(parseTsv(line, parseTsvHeader(line) ?? parseTsvHeader(TSV)!, 'd'));
    },
  },
  {
    ...{ name: 'syslog', share: 3, shape: text, maxBytes: 64 * 1024 },
    seeds: [
      bytesOf(`<190>May 17 10:05:03 edge nginx: ${COMBINED}`),
      bytesOf(`<190>1 2015-05-17T10:05:03Z edge nginx 1 - [a b="c"][d] ${JSON_LINE}`),
    ],
    words: ['<1>', '[a b="c"]', '1 - - - - - - ', '\xef\xbb\xbf'],
    run: (input) => {
      const line = payloadOf(Buffer.from(input).toString('utf8'));
      return observed(line.startsWith('{') ? parseJsonLine(line, 'd') : parseCombined(line, 'd'));
    },
  },
  {
    ...{
      name: 'log-lines',
      shape: text,
      seeds: [bytesOf(`${COMBINED}\r\n${JSON_LINE}\n\n`)],
      maxBytes: 16 * 1024,
    },
    run: pieces,
  },
  {
    ...{ name: 'rpc', share: 3, shape: text, run: rpc, maxBytes: 64 * 1024 },
    seeds: [
      call('status', {}),
      call('purge', { url: 'http://a/b', soft: true, wait: true, timeoutMs: 50 }),
      call('announce', { url: 'http://a/b', at: 1_800_000_000_000, expect: 5, region: 'eu' }),
      call('ingest', {
        observations: [
          { at: 1_431_857_103_000, client: 'c', method: 'GET', url: '/b', host: 'h', status: 200, bytes: 5 },
        ],
      }),
      call('dns.set', { name: 'a.example', type: 'TXT', value: 'v', ttlSeconds: 60 }),
      call('replicas', { limit: 3, source: 'plan', prefix: 'h/' }),
      call('epochs', [3]),
      bytesOf('[{"jsonrpc":"2.0","method":"status"},{"jsonrpc":"2.0","id":"x","method":"peers"}]'),
    ],
    words: [
      '"params":',
      '"id":null',
      '"method":"explain"',
      '{"resource":"http://h/a"}',
      '[[[[',
      '{"a":{"a":{"a":',
    ],
  },
  {
    ...{ name: 'config', shape: text, run: config, maxBytes: 16 * 1024, share: 0.2 },
    seeds: [
      bytesOf(
        'name = "fra1"\nregion = "eu"\ndataDir = "/d"\norigin = "http://o.example"\n[http]\nlisten = "127.0.0.1:80"\n[storage]\nbudget = "10GiB"\nmemory = "64MiB"\n[p2p]\nlisten = ["/ip4/0.0.0.0/tcp/1"]\n[clock]\nspeed = 2\n',
      ),
    ],
    words: [
      '[cluster]\n',
      '[[',
      ']]',
      '= """',
      "'''",
      '1979-05-27T07:32:00Z',
      'inf',
      'a.b.c = ',
      '{ a = 1 }',
      '"5 GiB/s"',
    ],
  },
  {
    ...{
      name: 'network',
      shape: text,
      seeds: ['10.0.0.0/8', '2001:db8::/32', '::ffff:1.2.3.4/96'].map(bytesOf),
    },
    words: ['/', ':', '.', '/129'],
    run: (input) => `${parseNetwork(textOf(input)).length}`,
  },
];
