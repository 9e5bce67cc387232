/** Ranges that one request may ask for; more are ignored, since they only cost the server (RFC 9110 §17.15). */
const RANGES_MAX = 16;

/** Bytes `start` … `end`, exclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The byte ranges that a Range field asks of a content of `size` bytes (RFC 9110 §14.1.2): `undefined` if the field
 * is to be ignored (malformed, another unit, too many), empty if nothing can be satisfied. Ranges that overlap or
 * touch are joined, so that no request makes the answer larger than the content.
 */
export function parseRanges(text: string, size: number): ByteRange[] | undefined {
  const match = /^bytes=(.*)$/i.exec(text.trim());
  if (!match) return undefined;
  const specs = match[1]!.split(',').map((spec) => spec.trim());
  if (specs.length > RANGES_MAX) return undefined;
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    if (spec === '') continue;
    const parts = /^(\d*)-(\d*)$/.exec(spec);
    if (!parts || (parts[1] === '' && parts[2] === '')) return undefined;
    const [, first, last] = parts as unknown as [string, string, string];
    if (first === '') {
      const length = Math.min(Number(last), size);
      if (length > 0) ranges.push({ start: size - length, end: size });
      continue;
    }
    const start = Number(first);
    const end = last === '' ? size : Math.min(Number(last) + 1, size);
    if (last !== '' && Number(last) < start) return undefined;
    if (start < size) ranges.push({ start, end });
  }
  return joined(ranges);
}

function joined(ranges: ByteRange[]): ByteRange[] {
  if (ranges.length < 2) return ranges;
  const sorted = [...ranges].sort((a, b) => a.start - b.start);
  const apart = sorted.every((range, at) => at === 0 || sorted[at - 1]!.end < range.start);
  // The client's order is kept where nothing overlaps (RFC 9110 §15.3.7.2).
  if (apart) return ranges;
  const result: ByteRange[] = [];
  for (const range of sorted) {
    const last = result.at(-1);
    if (last && range.start <= last.end)
      result[result.length - 1] = { start: last.start, end: Math.max(last.end, range.end) };
    else result.push(range);
  }
  return result;
}

/** Value of Content-Range. */
export const contentRange = (range: ByteRange, size: number): string =>
  `bytes ${range.start}-${range.end - 1}/${size}`;

/** Head of one part of a multipart/byteranges body. */
export function partHead(
  boundary: string,
  range: ByteRange,
  size: number,
  contentType: string | undefined,
): string {
  const type = contentType === undefined ? '' : `content-type: ${contentType}\r\n`;
  return `\r\n--${boundary}\r\n${type}content-range: ${contentRange(range, size)}\r\n\r\n`;
}
export const partsEnd = (boundary: string): string => `\r\n--${boundary}--\r\n`;
