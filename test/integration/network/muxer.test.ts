import { randomBytes } from 'node:crypto';
import type { MessageStream, Stream, StreamMuxer } from '@libp2p/interface';
import { describe, expect, it } from 'vitest';
import { guardedYamux } from '../../../node/adapters/libp2p-muxer.ts';
import { until } from './cluster.ts';

const quiet = Object.assign(() => undefined, {
  ...{ trace: () => undefined, error: () => undefined, enabled: false, newScope: () => quiet },
}) as unknown as MessageStream['log'];

/** One end of a connection in memory; what is sent arrives at the other end in a later turn. */
class End extends EventTarget {
  readonly direction: 'inbound' | 'outbound';
  readonly log = quiet;
  readonly status = 'open';
  writableNeedsDrain = false;
  other: End | undefined;
  readonly sent: Uint8Array[] = [];

  constructor(direction: 'inbound' | 'outbound') {
    super();
    this.direction = direction;
  }

  send(data: Uint8Array): boolean {
    this.sent.push(data.slice());
    setTimeout(() => this.other?.dispatchEvent(Object.assign(new Event('message'), { data })));
    return true;
  }

  abort(): void {
    this.dispatchEvent(new Event('close'));
  }
}

/** Two muxers joined; streams that the second is opened are in `opened`. */
function joined() {
  const [near, far] = [new End('outbound'), new End('inbound')];
  near.other = far;
  far.other = near;
  const muxerOf = (end: End): StreamMuxer =>
    guardedYamux({ enableKeepAlive: false })().createStreamMuxer(end as unknown as MessageStream);
  const [muxer, remote] = [muxerOf(near), muxerOf(far)];
  const opened: Stream[] = [];
  const received: Uint8Array[] = [];
  remote.addEventListener('stream', ({ detail }) => {
    opened.push(detail);
    detail.addEventListener('message', ({ data }) => {
      received.push(data instanceof Uint8Array ? data.slice() : data.slice());
    });
  });
  return { muxer, near, far, opened, bytes: () => Buffer.concat(received) };
}

/** Yamux frames of a type in what an end has sent: 0 data, 1 window updates. */
function frames(end: End, type: number): number {
  const all = Buffer.concat(end.sent);
  let count = 0;
  for (let at = 0; at < all.length; ) {
    if (all[at + 1] === type) count += 1;
    at += 12 + (all[at + 1] === 0 ? all.readUInt32BE(at + 8) : 0);
  }
  return count;
}

describe('the muxer', () => {
  it('sends the frames of one turn together', async () => {
    const { muxer, near, bytes } = joined();
    const stream = await muxer.createStream();
    await until('the stream is open', () => near.sent.length > 0);
    const before = near.sent.length;
    const pieces = Array.from({ length: 50 }, () => randomBytes(100));
    for (const piece of pieces) stream.send(piece);
    await until('all has come', () => bytes().length === 5_000);
    expect(bytes().equals(Buffer.concat(pieces))).toBe(true);
    expect(near.sent.length - before).toBe(1);
    expect(frames(near, 0)).toBe(50);
  });

  it('does not make what is long wait', async () => {
    const { muxer, near } = joined();
    const stream = await muxer.createStream();
    await until('the stream is open', () => near.sent.length > 0);
    const before = near.sent.length;
    stream.send(randomBytes(20_000));
    expect(near.sent.length - before).toBe(1);
  });

  it('updates a window for many small frames at once, and so that any amount passes', async () => {
    const { muxer, near, far, bytes } = joined();
    const stream = await muxer.createStream();
    await until('the stream is open', () => near.sent.length > 0);
    const small = Array.from({ length: 200 }, () => randomBytes(100));
    for (const piece of small) {
      stream.send(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until('all has come', () => bytes().length === 20_000);
    // One opened the stream.
    expect(frames(far, 1)).toBeLessThanOrEqual(1);

    const large = randomBytes(3_000_000);
    for (let at = 0; at < large.length; at += 100_000) {
      if (!stream.send(large.subarray(at, at + 100_000))) await stream.onDrain();
    }
    await until('all of it has come', () => bytes().length === 3_020_000);
    expect(bytes().subarray(20_000).equals(large)).toBe(true);
  });

  it('sends what was gathered before it closes', async () => {
    const { muxer, near, bytes } = joined();
    const stream = await muxer.createStream();
    await until('the stream is open', () => near.sent.length > 0);
    stream.send(randomBytes(100));
    const before = frames(near, 0);
    await muxer.close();
    expect(frames(near, 0)).toBe(before + 1);
    await until('it has come', () => bytes().length === 100);
  });
});
