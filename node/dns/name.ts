import { PresageError } from '../../protocol/errors.ts';

/** Limits of RFC 1035 §2.3.4. */
const MAX_LABEL = 63;
const MAX_NAME = 255;

/**
 * Names as the server keeps them: wire form with ASCII letters in lower case, as a string of one character a byte.
 * Other bytes are not folded (RFC 4343 §3.2). Such a key ends in the zero byte of the root.
 */
export type NameKey = string;

/**
 * Wire form of a name in presentation format (RFC 1035 §5.1, `\X` and `\DDD` escapes), case kept. A name without a
 * final dot is completed with `origin`, or taken as absolute if there is none. Fails with `CONFIG_INVALID`.
 */
export function nameBytes(text: string, origin?: Uint8Array): Uint8Array {
  const fail = (why: string) =>
    new PresageError('CONFIG_INVALID', `DNS name ${text}: ${why}`, { name: text });
  if (text === '@') {
    if (!origin) throw fail('there is no origin');
    return origin;
  }
  if (text === '.') return Uint8Array.of(0);
  const out: number[] = [];
  let label: number[] = [];
  const endLabel = () => {
    if (label.length === 0) throw fail('has an empty label');
    if (label.length > MAX_LABEL) throw fail(`has a label longer than ${MAX_LABEL} bytes`);
    out.push(label.length, ...label);
    label = [];
  };
  const bytes = Buffer.from(text, 'utf8');
  let absolute = false;
  for (let i = 0; i < bytes.length; i += 1) {
    const byte = bytes[i]!;
    if (byte === 0x2e) {
      endLabel();
      absolute = i === bytes.length - 1;
    } else if (byte === 0x5c) {
      const digits = bytes.toString('latin1', i + 1, i + 4);
      if (/^\d{3}$/.test(digits) && Number(digits) < 256) {
        label.push(Number(digits));
        i += 3;
      } else if (i + 1 < bytes.length) {
        label.push(bytes[i + 1]!);
        i += 1;
      } else throw fail('ends in an escape');
    } else label.push(byte);
  }
  if (!absolute) endLabel();
  const suffix = absolute || !origin ? Uint8Array.of(0) : origin;
  if (out.length + suffix.length > MAX_NAME) throw fail(`is longer than ${MAX_NAME} bytes`);
  return Uint8Array.from([...out, ...suffix]);
}

/** The key of a name in wire form. */
export function nameKey(wire: Uint8Array): NameKey {
  const folded = Buffer.from(wire);
  for (let i = 0; i < folded.length; i += 1) {
    // Length bytes are at most 63, below the letters, so that folding the whole name touches letters alone.
    if (folded[i]! >= 0x41 && folded[i]! <= 0x5a) folded[i]! += 32;
  }
  return folded.toString('latin1');
}

/** Key of a name in text. Fails with `CONFIG_INVALID`. */
export const keyOfText = (text: string): NameKey => nameKey(nameBytes(text));

/** Where the parent's name begins in a key; the root has no parent and gives its own length. */
export const parentAt = (key: NameKey, at = 0): number => at + 1 + key.charCodeAt(at);

/**
 * The host name that a key stands for, without the final dot; bytes that no host name has become `\DDD`. The root is
 * the empty string.
 */
export function keyText(key: NameKey): string {
  let text = '';
  let at = 0;
  while (key.charCodeAt(at) !== 0) {
    const end = parentAt(key, at);
    if (at > 0) text += '.';
    for (let i = at + 1; i < end; i += 1) {
      const code = key.charCodeAt(i);
      text +=
        code > 0x20 && code < 0x7f && code !== 0x2e && code !== 0x5c
          ? key[i]
          : `\\${String(code).padStart(3, '0')}`;
    }
    at = end;
  }
  return text;
}
