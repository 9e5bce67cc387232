/** Records of one name and type, ready to be copied into an answer whose question is the owner. */
export interface RecordSet {
  /** No two sets have the same number; what is remembered of a set is remembered by it. */
  readonly number: number;
  readonly type: number;
  readonly ttl: number;
  readonly rdata: readonly Uint8Array[];
  /** All records in wire form, their owner a pointer to the question. */
  readonly wire: Uint8Array;
}

/** A pointer to the question's name: where every owner of an answer stands (RFC 1035 §4.1.4). */
const QUESTION_POINTER = [0xc0, 0x0c];

let numbers = 0;

/** Records in wire form with the question as their owner. */
export function recordSet(type: number, ttl: number, rdata: readonly Uint8Array[]): RecordSet {
  const parts = rdata.map((data) => {
    const head = Buffer.alloc(12);
    head.set(QUESTION_POINTER);
    head.writeUInt16BE(type, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt32BE(ttl, 6);
    head.writeUInt16BE(data.length, 10);
    return Buffer.concat([head, data]);
  });
  numbers += 1;
  return { number: numbers, type, ttl, rdata, wire: Buffer.concat(parts) };
}
