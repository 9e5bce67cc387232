import { PresageError } from '../errors.ts';

/** Structural limits of one kind of message. */
export interface StructureLimits {
  /** Nesting of arrays and maps. */
  readonly depth: number;
  /** All arrays, maps, strings, numbers … in the message together. */
  readonly elements: number;
}

/**
 * Walks a MessagePack message without building it, so that hostile input costs no memory: every length lies
 * within the buffer, nesting and element count stay within `limits`, no extension type occurs, and exactly one
 * value fills the buffer. Iterative, so that depth cannot exhaust the stack. Follows the MessagePack specification.
 */
export function prescan(bytes: Uint8Array, limits: StructureLimits): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  /** How many values are still due at each open level. */
  const due: number[] = [1];
  let at = 0;
  let elements = 0;
  const need = (count: number) => {
    if (at + count > bytes.length) throw new PresageError('WIRE_TRUNCATED');
  };
  const skip = (count: number) => {
    need(count);
    at += count;
  };
  const open = (values: number) => {
    if (due.length > limits.depth) throw new PresageError('WIRE_TOO_DEEP');
    // Every value takes at least a byte, which bounds the count before anything is allocated for it.
    if (values > bytes.length - at) throw new PresageError('WIRE_TRUNCATED');
    due.push(values);
  };
  const length = (width: 1 | 2 | 4): number => {
    need(width);
    const value = width === 1 ? view.getUint8(at) : width === 2 ? view.getUint16(at) : view.getUint32(at);
    at += width;
    return value;
  };

  while (due.length > 0) {
    const top = due.length - 1;
    if (due[top] === 0) {
      due.pop();
      continue;
    }
    due[top]! -= 1;
    elements += 1;
    if (elements > limits.elements) throw new PresageError('WIRE_TOO_MANY');
    need(1);
    const tag = bytes[at]!;
    at += 1;
    if (tag <= 0x7f || tag >= 0xe0) continue;
    if (tag <= 0x8f) open((tag & 0x0f) * 2);
    else if (tag <= 0x9f) open(tag & 0x0f);
    else if (tag <= 0xbf) skip(tag & 0x1f);
    else
      switch (tag) {
        case 0xc0:
        case 0xc2:
        case 0xc3:
          break;
        case 0xc4:
        case 0xd9:
          skip(length(1));
          break;
        case 0xc5:
        case 0xda:
          skip(length(2));
          break;
        case 0xc6:
        case 0xdb:
          skip(length(4));
          break;
        case 0xcc:
        case 0xd0:
          skip(1);
          break;
        case 0xcd:
        case 0xd1:
          skip(2);
          break;
        case 0xca:
        case 0xce:
        case 0xd2:
          skip(4);
          break;
        case 0xcb:
        case 0xcf:
        case 0xd3:
          skip(8);
          break;
        case 0xdc:
          open(length(2));
          break;
        case 0xdd:
          open(length(4));
          break;
        case 0xde:
          open(length(2) * 2);
          break;
        case 0xdf:
          open(length(4) * 2);
          break;
        default:
          // 0xc1 is never used; 0xc7–0xc9 and 0xd4–0xd8 are extensions.
          throw new PresageError('WIRE_EXTENSION');
      }
  }
  if (at !== bytes.length) throw new PresageError('WIRE_TRAILING');
}
