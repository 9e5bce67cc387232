import { PresageError } from '../../protocol/errors.ts';
import { keyOfText, keyText, type NameKey } from './name.ts';
import { TYPE, textRdata } from './rdata.ts';
import { isWithin, type RecordSet, recordSet, type Zones } from './zone.ts';

/** An ACME client sets one or two at a time for each name of a certificate. */
const MAX_NAMES = 1024;
const MAX_VALUES = 16;
const MAX_VALUE_BYTES = 1024;
const MAX_TTL_SECONDS = 86_400;

interface Text {
  readonly value: string;
  readonly expiresAtMs: number;
}

/**
 * Short-lived TXT records, such as an ACME client's for DNS-01 (RFC 8555 §8.4). Several values of one name live beside
 * one another; each is gone when its time has passed.
 */
export class Texts {
  readonly #names = new Map<NameKey, { texts: Text[]; set: RecordSet }>();

  get size(): number {
    return this.#names.size;
  }

  /**
   * Adds a value, or renews it. `ttlSeconds` is how long it lives, and the TTL in answers. Fails with `RPC_PARAMS` if
   * no zone here holds the name or a limit is reached.
   */
  put(name: string, value: string, ttlSeconds: number, zones: Zones, nowMs: number): void {
    const fail = (why: string) => new PresageError('RPC_PARAMS', `dns set ${name}: ${why}`);
    if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1 || ttlSeconds > MAX_TTL_SECONDS) {
      throw fail(`the time to live must be 1 to ${MAX_TTL_SECONDS} seconds`);
    }
    if (Buffer.byteLength(value) > MAX_VALUE_BYTES) throw fail(`the value is over ${MAX_VALUE_BYTES} bytes`);
    const key = keyOfText(name);
    const zone = zones.zoneOf(key);
    if (!zone || !isWithin(key, zone.key)) throw fail('no zone here holds this name');
    for (const other of [...this.#names.keys()]) this.get(other, nowMs);
    const texts = (this.#names.get(key)?.texts ?? []).filter((text) => text.value !== value);
    if (texts.length >= MAX_VALUES) throw fail(`it has ${MAX_VALUES} values already`);
    if (!this.#names.has(key) && this.#names.size >= MAX_NAMES) throw fail(`${MAX_NAMES} names are set`);
    texts.push({ value, expiresAtMs: nowMs + ttlSeconds * 1000 });
    this.#names.set(key, { texts, set: setOf(texts, nowMs) });
  }

  /** All values that still live, with the whole seconds left to them. */
  *living(nowMs: number): Generator<{ name: string; value: string; ttlSeconds: number }> {
    for (const [key, { texts }] of this.#names) {
      for (const { value, expiresAtMs } of texts) {
        const ttlSeconds = Math.floor((expiresAtMs - nowMs) / 1000);
        if (ttlSeconds > 0) yield { name: `${keyText(key)}.`, value, ttlSeconds };
      }
    }
  }

  /** The records of a name that still live, if any. */
  get(key: NameKey, nowMs: number): RecordSet | undefined {
    const entry = this.#names.get(key);
    if (!entry) return undefined;
    const living = entry.texts.filter((text) => text.expiresAtMs > nowMs);
    if (living.length === 0) {
      this.#names.delete(key);
      return undefined;
    }
    entry.texts = living;
    entry.set = setOf(living, nowMs);
    return entry.set;
  }
}

/** No resolver keeps a set for longer than its first value lives. */
function setOf(texts: readonly Text[], nowMs: number): RecordSet {
  const left = Math.min(...texts.map(({ expiresAtMs }) => expiresAtMs)) - nowMs;
  const ttl = Math.max(0, Math.floor(left / 1000));
  return recordSet(
    TYPE.TXT,
    ttl,
    texts.map(({ value }) => textRdata(value)),
  );
}
