import { membersOf } from './fields.ts';

/** Largest delta-seconds, as RFC 9111 §1.2.2 names it; anything larger counts as this. */
export const DELTA_MAX = 2_147_483_648;

/** A directive with an argument that cannot be read. */
export const INVALID = Symbol('invalid');

/**
 * The directives of a Cache-Control field (RFC 9111 §5.2): names without regard to case, arguments as token or as
 * quoted string. A member that does not fit the grammar is no directive. Of a directive that comes more than once the
 * first counts where it has an argument; flags count wherever they stand.
 */
export class Directives {
  readonly #values = new Map<string, string | undefined>();
  static readonly NONE: Directives = new Directives([]);

  constructor(lines: readonly string[]) {
    for (const member of membersOf(lines)) {
      const match = DIRECTIVE.exec(member);
      if (!match) continue;
      const name = match[1]!.toLowerCase();
      const value = match[2] ?? (match[3] === undefined ? undefined : match[3].replace(/\\(.)/gs, '$1'));
      const known = this.#values.has(name);
      // An unqualified private or no-cache is wider than a qualified one, whichever comes first.
      if (!known || (value === undefined && this.#values.get(name) !== undefined && QUALIFIED.has(name)))
        this.#values.set(name, value);
      else if (QUALIFIED.has(name) && value !== undefined && this.#values.get(name) !== undefined)
        this.#values.set(name, `${this.#values.get(name)},${value}`);
    }
  }

  get empty(): boolean {
    return this.#values.size === 0;
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** Whether the directive stands without an argument. */
  unqualified(name: string): boolean {
    return this.#values.has(name) && this.#values.get(name) === undefined;
  }

  /** Field names of a qualified `private` or `no-cache`, in lower case. */
  fieldsOf(name: string): string[] {
    const value = this.#values.get(name);
    return value === undefined
      ? []
      : value
          .split(',')
          .map((field) => field.trim().toLowerCase())
          .filter((field) => field !== '');
  }

  /** The argument as seconds; `INVALID` if there is one that is no number, `undefined` if the directive is absent. */
  seconds(name: string): number | typeof INVALID | undefined {
    if (!this.#values.has(name)) return undefined;
    const value = this.#values.get(name);
    if (value === undefined || !DIGITS.test(value)) return INVALID;
    return Math.min(Number(value), DELTA_MAX);
  }
}

const DIRECTIVE =
  /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:=(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)|"((?:[^"\\]|\\.)*)"))?$/s;
const DIGITS = /^\d+$/;
const QUALIFIED = new Set(['private', 'no-cache']);
