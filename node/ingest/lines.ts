import { createGunzip } from 'node:zlib';

/** A line longer than this is not kept; it counts as malformed. */
export const LINE_LENGTH_MAX = 64 * 1024;

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const GZIP = [0x1f, 0x8b] as const;

/** A line without its end; `undefined` stands for one that was too long. */
export type Line = string | undefined;

/** Lines of a stream of bytes, in batches of one piece each; never holds more than a line and a piece. */
export async function* linesOf(
  pieces: AsyncIterable<Uint8Array>,
  lengthMax = LINE_LENGTH_MAX,
): AsyncGenerator<Line[]> {
  let rest: Buffer[] = [];
  let restLength = 0;
  let overlong = false;
  for await (const piece of pieces) {
    const buffer = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
    const batch: Line[] = [];
    let from = 0;
    for (let at = buffer.indexOf(NEWLINE); at >= 0; at = buffer.indexOf(NEWLINE, from)) {
      const length = restLength + at - from;
      if (overlong || length > lengthMax) batch.push(undefined);
      else batch.push(textOf([...rest, buffer.subarray(from, at)]));
      rest = [];
      restLength = 0;
      overlong = false;
      from = at + 1;
    }
    if (from < buffer.length && !overlong) {
      restLength += buffer.length - from;
      if (restLength > lengthMax) {
        overlong = true;
        rest = [];
      } else {
        // A copy, so that a short rest does not keep its whole piece alive.
        rest.push(Buffer.from(buffer.subarray(from)));
      }
    }
    if (batch.length > 0) yield batch;
  }
  if (overlong) yield [undefined];
  else if (restLength > 0) yield [textOf(rest)];
}

function textOf(parts: readonly Buffer[]): string {
  const [only] = parts;
  const line = parts.length === 1 && only ? only : Buffer.concat(parts);
  const end = line[line.length - 1] === RETURN ? line.length - 1 : line.length;
  return line.toString('utf8', 0, end);
}

/** The stream itself, or what it decompresses to if it begins as gzip (RFC 1952) does. */
export async function* decompressed(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const iterator = pieces[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  let ended = false;
  while (head.length < GZIP.length && !ended) {
    const next = await iterator.next();
    if (next.done) ended = true;
    else head = Buffer.concat([head, next.value]);
  }
  const whole = (async function* () {
    if (head.length > 0) yield head;
    if (ended) return;
    try {
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  })();
  if (head[0] !== GZIP[0] || head[1] !== GZIP[1]) {
    yield* whole;
    return;
  }
  const gunzip = createGunzip();
  const fed = feed(whole, gunzip);
  try {
    yield* gunzip as AsyncIterable<Uint8Array>;
    await fed;
  } finally {
    gunzip.destroy();
    await fed.catch(() => undefined);
  }
}

async function feed(pieces: AsyncGenerator<Uint8Array>, into: NodeJS.WritableStream): Promise<void> {
  const { pipeline } = await import('node:stream/promises');
  await pipeline(pieces, into);
}
