import { PresageError } from '../../protocol/errors.ts';
import { keyOfText, keyText, type NameKey, parentAt } from './name.ts';
import { TYPE, textRdata } from './rdata.ts';
import { type RecordSet, recordSet } from './record-set.ts';
import { isWithin, type Zones } from './zone.ts';

/** An ACME client sets one or two at a time for each name of a certificate. */
const MAX_NAMES = 1024;
const MAX_VALUES = 16;
/**
 * TTL of answers, seconds. Who asks does so once; a resolver that remembered a set for longer would not see the second
 * value that a wildcard's validation puts beside the first.
 */
const ANSWER_TTL_SECONDS = 5;

interface Text {
  readonly value: string;
  readonly expiresAtMs: number;
}

/**
 * Short-lived TXT records, such as an ACME client's for DNS-01 (RFC 8555 §8.4). Several values of one name live beside
 * one another; each is gone when its time has passed.
 */
export class Texts {
  readonly #names = new Map<NameKey, { texts: Text[]; set: RecordSet; untilMs: number }>();

  /** How many names with texts lie below a name. */
  readonly #below = new Map<NameKey, number>();

  get size(): number {
    return this.#names.size;
  }

  /**
   * Adds a value until a time (Unix ms), or renews it. Fails with `RPC_PARAMS` if no zone here holds the name or a limit
   * is reached.
   */
  put(name: string, value: string, expiresAtMs: number, zones: Zones, nowMs: number): void {
    const fail = (why: string) => new PresageError('RPC_PARAMS', `dns set ${name}: ${why}`);
    const key = keyOfText(name);
    const zone = zones.zoneOf(key);
    if (!zone || !isWithin(key, zone.key)) throw fail('no zone here holds this name');
    this.#expire(nowMs);
    const texts = (this.#names.get(key)?.texts ?? []).filter((text) => text.value !== value);
    if (expiresAtMs > nowMs) {
      if (texts.length >= MAX_VALUES) throw fail(`it has ${MAX_VALUES} values already`);
      if (!this.#names.has(key) && this.#names.size >= MAX_NAMES) throw fail(`${MAX_NAMES} names are set`);
      texts.push({ value, expiresAtMs });
    }
    this.#store(key, texts);
  }

  /** All values that still live. */
  *living(nowMs: number): Generator<{ name: string; value: string; expiresAtMs: number }> {
    for (const [key, { texts }] of this.#names) {
      for (const { value, expiresAtMs } of texts)
        if (expiresAtMs > nowMs) yield { name: `${keyText(key)}.`, value, expiresAtMs };
    }
  }

  /** The records of a name that still live, if any; the same object for as long as they are the same. */
  get(key: NameKey, nowMs: number): RecordSet | undefined {
    const entry = this.#names.get(key);
    if (!entry || nowMs < entry.untilMs) return entry?.set;
    return this.#store(
      key,
      entry.texts.filter(({ expiresAtMs }) => expiresAtMs > nowMs),
    );
  }

  /** Whether a name that lives lies below this one, which then exists too, though it is empty (RFC 8020). */
  isAbove(key: NameKey, nowMs: number): boolean {
    if (!this.#below.has(key)) return false;
    this.#expire(nowMs);
    return this.#below.has(key);
  }

  #expire(nowMs: number): void {
    for (const key of [...this.#names.keys()]) this.get(key, nowMs);
  }

  #count(key: NameKey, by: 1 | -1): void {
    for (let at = parentAt(key); at < key.length; at = parentAt(key, at)) {
      const above = key.slice(at);
      const count = (this.#below.get(above) ?? 0) + by;
      if (count > 0) this.#below.set(above, count);
      else this.#below.delete(above);
    }
  }

  #store(key: NameKey, texts: Text[]): RecordSet | undefined {
    if (texts.length === 0) {
      if (this.#names.delete(key)) this.#count(key, -1);
      return undefined;
    }
    if (!this.#names.has(key)) this.#count(key, 1);
    const set = recordSet(
      TYPE.TXT,
      ANSWER_TTL_SECONDS,
      texts.map(({ value }) => textRdata(value)),
    );
    this.#names.set(key, { texts, set, untilMs: Math.min(...texts.map(({ expiresAtMs }) => expiresAtMs)) });
    return set;
  }
}
