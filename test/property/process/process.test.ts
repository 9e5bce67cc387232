import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { printable } from '../../../node/cli/table.ts';
import { loadConfig } from '../../../node/config.ts';
import { flagOf, PATHS } from '../../../node/config-table.ts';
import {
  parseDuration,
  parseEndpoint,
  parseSize,
  printDuration,
  printEndpoint,
  printSize,
} from '../../../node/config-units.ts';
import { parseCombined } from '../../../node/ingest/combined.ts';
import { parseJsonLine } from '../../../node/ingest/json-lines.ts';
import { type LogFormat, readLog } from '../../../node/ingest/log-reader.ts';
import type { Observation } from '../../../node/ingest/observation.ts';
import { payloadOf } from '../../../node/ingest/syslog.ts';
import { createMetrics } from '../../../node/metrics.ts';
import { createDispatcher } from '../../../node/rpc/dispatch.ts';
import { editDistance, nearest } from '../../../node/spelling.ts';
import { PresageError } from '../../../protocol/errors.ts';

const context = { signal: new AbortController().signal };

describe('configuration', () => {
  it('reads back every amount that it writes', () => {
    fc.assert(fc.property(fc.maxSafeNat(), (bytes) => parseSize(printSize(bytes)) === bytes));
    fc.assert(fc.property(fc.maxSafeNat(), (ms) => parseDuration(printDuration(ms)) === ms));
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain());
    fc.assert(
      fc.property(host, fc.integer({ min: 0, max: 65_535 }), (name, port) => {
        expect(parseEndpoint(printEndpoint({ host: name, port }))).toEqual({ host: name, port });
      }),
    );
  });

  it('answers any flags with a configuration or a coded error', () => {
    const flags = fc.dictionary(
      fc.oneof(fc.constantFrom(...PATHS.map(flagOf)), fc.string({ maxLength: 12 })),
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.array(fc.string(), { maxLength: 3 }),
        fc.double(),
        fc.boolean(),
      ),
      { maxKeys: 4 },
    );
    fc.assert(
      fc.property(flags, (given) => {
        try {
          expect(loadConfig({ flags: given }).name).not.toBe('');
        } catch (error) {
          if (!(error instanceof PresageError)) throw error;
          expect(error.code).toMatch(/^CONFIG_/);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('finds the nearest word by a true distance', () => {
    const word = fc.string({ maxLength: 8 });
    fc.assert(
      fc.property(word, word, word, (a, b, c) => {
        expect(editDistance(a, a)).toBe(0);
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, c)).toBeLessThanOrEqual(editDistance(a, b) + editDistance(b, c));
      }),
    );
    fc.assert(fc.property(fc.constantFrom(...PATHS), (path) => nearest(path, PATHS) === path));
  });
});

const line = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.tuple(fc.nat(200), fc.string({ unit: 'binary', maxLength: 8 }), fc.nat(200)).map(([at, noise, cut]) => {
    const good = '192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 5 "http://r/" "agent"';
    return good.slice(0, at) + noise + good.slice(at, good.length - (cut % 20));
  }),
);

const checked = (observation: Observation) => {
  expect(observation.url).toMatch(/^\/[^\s]*$/);
  expect(observation.host).toMatch(/^(\[[0-9a-f:.]+\]|[a-z0-9._-]*)$/);
  expect(observation.method).toMatch(/^[A-Z-]+$/);
  expect(Number.isSafeInteger(observation.at) && Number.isSafeInteger(observation.bytes)).toBe(true);
  expect(observation.bytes).toBeGreaterThanOrEqual(0);
};

describe('log readers', () => {
  it('give a sound observation or a reason for any line', () => {
    fc.assert(
      fc.property(line, fc.constantFrom(parseCombined, parseJsonLine), (text, parse) => {
        const result = parse(payloadOf(text), 'h');
        if (typeof result === 'string') expect(result).not.toBe('');
        else checked(result);
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(
        fc.object({
          key: fc.constantFrom('at', 'client', 'url', 'host', 'request', 'method', 'status', 'bytes'),
        }),
        (row) => {
          const result = parseJsonLine(JSON.stringify(row), '');
          if (typeof result !== 'string') checked(result);
        },
      ),
    );
  });

  it('account for every line, however the bytes are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(line, { maxLength: 20 }),
        fc.integer({ min: 1, max: 50 }),
        fc.constantFrom<LogFormat | 'auto'>('auto', 'combined', 'json', 'tsv'),
        async (lines, size, format) => {
          const bytes = Buffer.from(lines.map((text) => text.replaceAll('\n', ' ')).join('\n'));
          // What begins as gzip is another matter.
          fc.pre(bytes[0] !== 0x1f);
          const run = async (step: number) => {
            async function* pieces() {
              for (let at = 0; at < bytes.length; at += step) yield bytes.subarray(at, at + step);
            }
            const malformed: number[] = [];
            const found: Observation[] = [];
            const options = { format, malformed: (number: number) => malformed.push(number) };
            for await (const batch of readLog(pieces(), options)) found.push(...batch);
            return { found, malformed };
          };
          const once = await run(Math.max(1, bytes.length));
          expect(await run(size)).toEqual(once);
          expect(once.found.length + once.malformed.length).toBeLessThanOrEqual(lines.length);
          for (const observation of once.found) checked(observation);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe('JSON-RPC', () => {
  const dispatcher = createDispatcher([], () => undefined);
  it('answers anything with a reply that is JSON and carries a code', async () => {
    const body = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.json(),
      fc.array(fc.json(), { maxLength: 5 }).map((all) => `[${all.join(',')}]`),
    );
    await fc.assert(
      fc.asyncProperty(body, async (text) => {
        const answer = await dispatcher.answer(text, context);
        if (answer === undefined) return;
        const replies = [JSON.parse(answer)].flat();
        for (const reply of replies) expect(reply.error.data.code).toMatch(/^RPC_/);
      }),
      { numRuns: 500 },
    );
  });
});

describe('what is printed', () => {
  it('never holds a control character from outside', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        for (const character of printable(text)) {
          const code = character.codePointAt(0) ?? 0;
          expect(code >= 0x20 && !(code >= 0x7f && code <= 0x9f)).toBe(true);
        }
      }),
    );
  });

  it('keeps metrics bounded and well-formed whatever the labels', async () => {
    const metrics = createMetrics({ process: false });
    for (let id = 0; id < 2000; id += 1) metrics.count('input_total', { name: `"${id}\n\\` });
    fc.assert(
      fc.property(
        fc.string(),
        fc.dictionary(fc.string(), fc.string(), { maxKeys: 2 }),
        fc.double(),
        (name, labels, by) => {
          metrics.count(name, labels, by);
          metrics.gauge(name, by, labels);
          metrics.observe(name, by, labels);
        },
      ),
    );
    const text = await metrics.text();
    expect(text.split('\n').filter((row) => row.startsWith('presage_input_total{'))).toHaveLength(257);
    expect(text).toContain('presage_input_total{name="other"} 1744');
    for (const row of text.trimEnd().split('\n'))
      expect(row).toMatch(/^(# |[a-z][a-z0-9_]*(\{.*\})? \S+$|$)/);
  });
});
