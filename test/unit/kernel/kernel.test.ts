import { beforeEach, describe, expect, it } from 'vitest';
import type { ActorRef, ActorSpec, Reply } from '../../../actors/kernel/actor.ts';
import { ActorSystem } from '../../../actors/kernel/system.ts';
import { PresageError } from '../../../protocol/errors.ts';
import { CountingMetrics, StepClock, settled, silentLog } from '../../step-clock.ts';

type Message =
  | { type: 'add'; n: number }
  | { type: 'read'; reply: Reply<number> }
  | { type: 'crash' }
  | { type: 'wait'; until: Promise<void> }
  | { type: 'silent'; reply: Reply<number> };

let clock: StepClock;
let metrics: CountingMetrics;
let system: ActorSystem;
let starts: string[];
let stops: string[];

beforeEach(() => {
  clock = new StepClock();
  metrics = new CountingMetrics();
  starts = [];
  stops = [];
  system = new ActorSystem({ clock, log: silentLog, metrics, yieldTurn: settled });
});

/** An actor that keeps a sum, fails on demand and reports its life cycle. */
function summing(
  name: string,
  capacity = 8,
  overflow: 'refuse' | 'drop-oldest' = 'refuse',
): ActorSpec<Message> {
  return {
    name,
    mailbox: { capacity, overflow },
    create: () => {
      starts.push(name);
      let sum = 0;
      return {
        receive(message) {
          switch (message.type) {
            case 'add':
              sum += message.n;
              return;
            case 'read':
              message.reply.ok(sum);
              return;
            case 'crash':
              throw new Error('asked to crash');
            case 'wait':
              return message.until;
            case 'silent':
              return;
          }
        },
        stop: () => {
          stops.push(name);
        },
      };
    },
  };
}

const read = (ref: ActorRef<Message>) => ref.ask<number>((reply) => ({ type: 'read', reply }), 1_000);
const generous = { restarts: 3, withinMs: 10_000 };

describe('actors', () => {
  it('handle messages in order, those told before the start included', async () => {
    const a = system.actor(summing('a'));
    a.tell({ type: 'add', n: 1 });
    await system.start(system.group('root', 'one-for-one', generous, [a]), () => undefined);
    a.tell({ type: 'add', n: 2 });
    expect(await read(a)).toBe(3);
  });

  it('refuse commands beyond the capacity and answer them', async () => {
    const a = system.actor(summing('a', 2));
    expect(a.tell({ type: 'add', n: 1 })).toBe(true);
    expect(a.tell({ type: 'add', n: 1 })).toBe(true);
    expect(a.tell({ type: 'add', n: 1 })).toBe(false);
    await expect(read(a)).rejects.toMatchObject({ code: 'MAILBOX_FULL' });
    expect(metrics.counts.get('mailbox_overflow_total a')).toBe(2);
  });

  it('drop the oldest where the freshest counts', async () => {
    const a = system.actor(summing('a', 3, 'drop-oldest'));
    for (const n of [1, 10, 100]) a.tell({ type: 'add', n });
    const sum = read(a);
    await system.start(system.group('root', 'one-for-one', generous, [a]), () => undefined);
    expect(await sum).toBe(110);
  });

  it('answer an ask by its deadline, late or never', async () => {
    const a = system.actor(summing('a'));
    await system.start(system.group('root', 'one-for-one', generous, [a]), () => undefined);
    const asked = a.ask<number>((reply) => ({ type: 'silent', reply }), 500);
    const failed = expect(asked).rejects.toMatchObject({ code: 'ASK_TIMEOUT' });
    await clock.advance(500);
    await failed;
  });

  it('stop after the message in hand, refuse what waits, and count dead letters', async () => {
    const a = system.actor(summing('a'));
    await system.start(system.group('root', 'one-for-one', generous, [a]), () => undefined);
    let release: () => void = () => undefined;
    a.tell({ type: 'wait', until: new Promise((resolve) => (release = resolve)) });
    await settled();
    const waiting = expect(read(a)).rejects.toMatchObject({ code: 'ACTOR_STOPPED' });
    const stopped = system.stop(1_000);
    release();
    await stopped;
    await waiting;
    expect(stops).toEqual(['a']);
    expect(a.tell({ type: 'add', n: 1 })).toBe(false);
    expect(metrics.counts.get('dead_letters_total a')).toBe(2);
  });

  it('are left behind when they do not stop in time', async () => {
    const a = system.actor(summing('a'));
    await system.start(system.group('root', 'one-for-one', generous, [a]), () => undefined);
    a.tell({ type: 'wait', until: new Promise(() => undefined) });
    await settled();
    const stopped = system.stop(1_000);
    await clock.advance(1_000);
    await stopped;
    expect(stops).toEqual([]);
  });
});

describe('supervision', () => {
  it('restarts the failed one alone, with fresh state, and keeps its mailbox', async () => {
    const a = system.actor(summing('a'));
    const b = system.actor(summing('b'));
    await system.start(system.group('root', 'one-for-one', generous, [a, b]), () => undefined);
    a.tell({ type: 'add', n: 5 });
    a.tell({ type: 'crash' });
    a.tell({ type: 'add', n: 7 });
    b.tell({ type: 'add', n: 1 });
    expect(await read(a)).toBe(7);
    expect(await read(b)).toBe(1);
    expect(starts).toEqual(['a', 'b', 'a']);
  });

  it('takes along those started later under rest-for-one', async () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => system.actor(summing(name)));
    await system.start(system.group('root', 'rest-for-one', generous, [a!, b!, c!]), () => undefined);
    b!.tell({ type: 'crash' });
    await clock.advance(10);
    expect(starts).toEqual(['a', 'b', 'c', 'b', 'c']);
    expect(stops).toEqual(['c']);
  });

  it('escalates beyond its intensity, through each level, to the root', async () => {
    const a = system.actor(summing('a'));
    const inner = system.group('inner', 'one-for-one', { restarts: 1, withinMs: 10_000 }, [a]);
    let escalated: PresageError | undefined;
    await system.start(
      system.group('root', 'one-for-one', { restarts: 1, withinMs: 10_000 }, [inner]),
      (error) => {
        escalated = error;
      },
    );
    for (let n = 0; n < 3; n += 1) {
      a.tell({ type: 'crash' });
      await clock.advance(10);
    }
    expect(escalated).toBeUndefined();
    a.tell({ type: 'crash' });
    await clock.advance(10);
    expect(escalated).toMatchObject({ code: 'ACTOR_FAILED' });
  });

  it('forgets old failures', async () => {
    const a = system.actor(summing('a'));
    let escalated = false;
    await system.start(system.group('root', 'one-for-one', { restarts: 1, withinMs: 1_000 }, [a]), () => {
      escalated = true;
    });
    for (let n = 0; n < 4; n += 1) {
      a.tell({ type: 'crash' });
      await clock.advance(1_500);
    }
    expect(escalated).toBe(false);
    expect(starts).toHaveLength(5);
  });

  it('stops in reverse order, and refuses to start half a tree', async () => {
    const a = system.actor(summing('a'));
    const bad = system.actor<Message>({
      name: 'bad',
      mailbox: { capacity: 1, overflow: 'refuse' },
      create: () => {
        throw new PresageError('STORE_LOCKED');
      },
    });
    await expect(
      system.start(system.group('root', 'one-for-one', generous, [a, bad]), () => undefined),
    ).rejects.toMatchObject({ code: 'STORE_LOCKED' });
    expect(stops).toEqual(['a']);
  });

  it('ends timers with the behaviour that set them', async () => {
    const beats: number[] = [];
    let life = 0;
    const timed = system.actor<'beat' | 'crash'>({
      name: 'timed',
      mailbox: { capacity: 8, overflow: 'refuse' },
      create: (context) => {
        const own = ++life;
        context.every(100, 'beat');
        return {
          receive(message) {
            if (message === 'crash') throw new Error('asked to crash');
            beats.push(own);
          },
        };
      },
    });
    await system.start(system.group('root', 'one-for-one', generous, [timed]), () => undefined);
    await clock.advance(250);
    timed.tell('crash');
    await clock.advance(250);
    expect(beats).toEqual([1, 1, 2, 2]);
    await system.stop(100);
    await clock.advance(500);
    expect(beats).toHaveLength(4);
  });
});
