import type { Labels, Log, Metrics } from '../../protocol/ports.ts';

/** Counters and gauges of a simulated PoP, by name and label values. They outlive its crashes. */
export class Tallies implements Metrics {
  readonly values = new Map<string, number>();

  count(name: string, labels: Labels = {}, by = 1): void {
    const key = keyOf(name, labels);
    this.values.set(key, (this.values.get(key) ?? 0) + by);
  }

  gauge(name: string, value: number, labels: Labels = {}): void {
    this.values.set(keyOf(name, labels), value);
  }

  observe(name: string, _seconds: number, labels: Labels = {}): void {
    this.count(name, labels);
  }

  /** Sum over all label values of a name; `with` picks those that hold a label value. */
  sum(name: string, value?: string): number {
    let sum = 0;
    for (const [key, counted] of this.values) {
      const [own, ...labels] = key.split(' ');
      if (own === name && (value === undefined || labels.includes(value))) sum += counted;
    }
    return sum;
  }
}

const keyOf = (name: string, labels: Labels): string => [name, ...Object.values(labels)].join(' ');

/** The last lines that a simulated PoP has logged, for those who look into a failing seed. */
export class Diary implements Log {
  readonly #lines: string[];
  readonly #at: () => number;
  readonly #most: number;

  constructor(at: () => number, most = 200, lines: string[] = []) {
    [this.#at, this.#most, this.#lines] = [at, most, lines];
  }

  get lines(): readonly string[] {
    return this.#lines;
  }

  debug(message: string, fields?: object): void {
    this.#write('debug', message, fields);
  }

  info(message: string, fields?: object): void {
    this.#write('info', message, fields);
  }

  warn(message: string, fields?: object): void {
    this.#write('warn', message, fields);
  }

  error(message: string, fields?: object): void {
    this.#write('error', message, fields);
  }

  child(): Log {
    return new Diary(this.#at, this.#most, this.#lines);
  }

  #write(level: string, message: string, fields: object | undefined): void {
    if (this.#most === 0) return;
    const said = fields ? ` ${JSON.stringify(fields)}` : '';
    this.#lines.push(`${Math.round(this.#at())} ${level} ${message}${said}`);
    if (this.#lines.length > this.#most) this.#lines.shift();
  }
}
