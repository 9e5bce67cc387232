import type { Random } from '../protocol/ports.ts';

/** What no server may choke on: the kinds of malformed input that a flood is made of. Hosts are those of loopback. */
export function httpGarbage(random: Random): (() => Buffer)[] {
  const below = (n: number) => random.uint32() % n;
  const noise = (length: number) => Buffer.from(Array.from({ length }, () => random.uint32() & 255));
  const text = (value: string) => Buffer.from(value.replaceAll('\n', '\r\n'), 'latin1');
  const good = text(
    'GET /a?b=c HTTP/1.1\nHost: 127.0.0.1\nAccept: */*\nRange: bytes=0-9,20-\nIf-None-Match: "x"\n\n',
  );
  const changed = () => {
    const bytes = Buffer.from(good);
    for (let n = 0; n < 4; n++) bytes[below(bytes.length)] = random.uint32() & 255;
    return bytes;
  };
  const post = (fields: string, body: string) =>
    text(`POST /a HTTP/1.1\nHost: 127.0.0.1\n${fields}\n\n${body}`);
  return [
    () => noise(1 + below(400)),
    () => Buffer.concat([good.subarray(0, below(30)), noise(below(300)), text('\n\n')]),
    () => good.subarray(0, 1 + below(good.length - 1)),
    changed,
    () => post('Content-Length: 5\nTransfer-Encoding: chunked', '0\n\nGET /smuggled HTTP/1.1\n\n'),
    () => post('Content-Length: 5\nContent-Length: 50', 'hello'),
    () => post(`Content-Length: ${'9'.repeat(1 + below(40))}`, 'x'),
    () => post('Transfer-Encoding: chunked', `${['ffffffffffffffff1', '-1', '5;', 'zz'][below(4)]}\nhello`),
    () => post('Transfer-Encoding: xchunked, identity', 'hello'),
    () => text(`GET /${'a'.repeat(9_000 + below(9_000))} HTTP/1.1\nHost: 127.0.0.1\n\n`),
    () => text(`GET / HTTP/1.1\nHost: 127.0.0.1\n${'X-A: b\n'.repeat(130 + below(200))}\n`),
    () => text(`GET / HTTP/1.1\nHost: 127.0.0.1\nX-A: ${'a'.repeat(17_000)}\n\n`),
    () => text('GET /a/%2e%2e/%2e%2e/etc HTTP/1.1\nHost: 127.0.0.1\n\n'),
    () => text('GET / HTTP/1.1\nHost: 127.0.0.1\nHost: 127.0.0.2\n\n'),
    () => text(`GET / HTTP/1.1\nHost: 127.0.0.1\nX-A: b\rSet-Cookie: a=b\0\n\n`),
    () => text(`${['PURGE', 'TRACE', 'CONNECT', 'GET\t', 'ge t'][below(5)]} / HTTP/1.1\nHost: 127.0.0.1\n\n`),
    () => Buffer.concat([PREFACE, garbageFrames(random, 4)]),
  ];
}

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** Frames of HTTP/2 whose lengths, types, flags, streams and contents are drawn by lot (RFC 9113 §4.1). */
export function garbageFrames(random: Random, count: number): Buffer {
  const frames: Buffer[] = [];
  for (let n = 0; n < count; n++) {
    const length = random.uint32() % 64;
    const frame = Buffer.from(Array.from({ length: 9 + length }, () => random.uint32() & 255));
    // Mostly one that is all there, of a type that is known, on a low stream.
    if (random.float() < 0.9) frame.writeUIntBE(length, 0, 3);
    if (random.float() < 0.9) frame[3] = random.uint32() % 10;
    if (random.float() < 0.9) frame.writeUInt32BE(random.uint32() % 8, 5);
    frames.push(frame);
  }
  return Buffer.concat(frames);
}
