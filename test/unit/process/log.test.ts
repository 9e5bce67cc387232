import { describe, expect, it } from 'vitest';
import { openLog } from '../../../node/log.ts';
import { PresageError } from '../../../protocol/errors.ts';

const capture = () => {
  const lines: string[] = [];
  return { lines, destination: { write: (line: string) => lines.push(line) } };
};

describe('the log', () => {
  it('writes one JSON object a line, with fields of parents, and keeps to its level', async () => {
    const { lines, destination } = capture();
    const log = (
      await openLog({ destination, readable: false, level: 'info', fields: { pop: 'fra1' } })
    ).child({ part: 'edge' });
    log.debug('unseen');
    log.info('two\nlines', { bytes: 5, big: 7n });
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      level: 'info',
      pop: 'fra1',
      part: 'edge',
      message: 'two\nlines',
      bytes: 5,
      big: '7',
    });
    expect(Date.parse(JSON.parse(lines[0] ?? '').time)).toBeGreaterThan(0);
  });

  it('writes foreseen errors with code and remedy, defects with their stack', async () => {
    const { lines, destination } = capture();
    const log = await openLog({ destination, readable: false });
    log.error('a', {
      error: new PresageError('STORE_FULL', 'no room', { directory: '/d' }, new Error('ENOSPC')),
    });
    log.error('b', { error: new TypeError('oops') });
    const [foreseen, defect] = lines.map((line) => JSON.parse(line).error);
    expect(foreseen).toEqual({
      code: 'STORE_FULL',
      message: 'no room',
      remedy: new PresageError('STORE_FULL').remedy,
      directory: '/d',
      cause: 'ENOSPC',
    });
    expect(defect.stack).toContain('log.test.ts');
  });

  it('survives fields that JSON cannot hold', async () => {
    const { lines, destination } = capture();
    const log = await openLog({ destination, readable: false });
    const loop: Record<string, unknown> = {};
    loop.self = loop;
    log.warn('loop', { loop, none: undefined, not: Number.NaN });
    expect(JSON.parse(lines[0] ?? '').message).toBe('loop');
  });

  it('is readable on a terminal', async () => {
    const { lines, destination } = capture();
    const log = await openLog({ destination, readable: true });
    log.warn('slow origin', { ms: 12 });
    expect(lines.join('')).toMatch(/WARN.*: slow origin \{"ms":12\}\n$/);
  });
});
