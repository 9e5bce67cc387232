import { describe, expect, it } from 'vitest';
import { shutdown } from '../../../node/shutdown.ts';
import { StepClock, silentLog } from '../../step-clock.ts';

describe('the shutdown', () => {
  it('runs its phases in order and once', async () => {
    const ran: string[] = [];
    const phase = (name: string) => ({ name, deadlineMs: 100, run: () => void ran.push(name) });
    const close = shutdown([phase('intake'), phase('actors'), phase('database')], {
      clock: new StepClock(),
      log: silentLog,
    });
    const [first, second] = await Promise.all([close(), close()]);
    expect(ran).toEqual(['intake', 'actors', 'database']);
    expect([first, second]).toEqual([true, true]);
  });

  it('goes on after a phase that fails or never ends, and says that it was not clean', async () => {
    const clock = new StepClock();
    const ran: string[] = [];
    const close = shutdown(
      [
        { name: 'failing', deadlineMs: 100, run: () => Promise.reject(new Error('no')) },
        { name: 'endless', deadlineMs: 100, run: () => new Promise(() => undefined) },
        { name: 'last', deadlineMs: 100, run: () => void ran.push('last') },
      ],
      { clock, log: silentLog },
    )();
    await clock.advance(200);
    expect(await close).toBe(false);
    expect(ran).toEqual(['last']);
  });
});
