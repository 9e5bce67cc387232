import { parseDictionary } from 'structured-headers';
import { type Fields, linesOf } from './fields.ts';

/** Which differences between queries make no other resource, as a response's No-Vary-Search says. */
export interface SearchVariance {
  /** Parameters by their decoded names that make no difference, or all but these. */
  readonly names: ReadonlySet<string>;
  readonly allBut: boolean;
  /** Whether the order of parameters with different names makes a difference. */
  readonly ordered: boolean;
  /** The same for all rules that mean the same. */
  readonly id: string;
}

/**
 * Reads No-Vary-Search (draft-ietf-httpbis-no-vary-search): a dictionary of structured fields with `params`, `except`
 * and `key-order`. `undefined` if every difference counts: the field is absent, says so, or is wrong anywhere.
 */
export function searchVariance(headers: Fields): SearchVariance | undefined {
  const lines = linesOf(headers, 'no-vary-search');
  if (lines.length === 0) return undefined;
  let dictionary: ReturnType<typeof parseDictionary>;
  try {
    dictionary = parseDictionary(lines.join(', '));
  } catch {
    return undefined;
  }
  const memberOf = (name: string): unknown => dictionary.get(name)?.[0];
  const order = memberOf('key-order') ?? false;
  const params = memberOf('params') ?? false;
  const except = memberOf('except');
  if (typeof order !== 'boolean') return undefined;
  let names: ReadonlySet<string> | undefined = new Set();
  if (params === true) {
    if (except !== undefined) names = namesIn(except);
  } else {
    if (except !== undefined) return undefined;
    if (params !== false) names = namesIn(params);
  }
  const allBut = params === true;
  if (!names || (!order && !allBut && names.size === 0)) return undefined;
  return { names, allBut, ordered: !order, id: JSON.stringify([allBut, order, [...names].sort()]) };
}

/** Decoded names of an inner list of strings; `undefined` if it is anything else. */
function namesIn(list: unknown): ReadonlySet<string> | undefined {
  if (!Array.isArray(list)) return undefined;
  const names = new Set<string>();
  for (const item of list as readonly (readonly unknown[])[]) {
    const [text] = item;
    if (typeof text !== 'string') return undefined;
    // As a name in a query is read, but for what would end it there.
    const whole = `?${text.replace(/[&=]/g, encodeURIComponent)}`;
    names.add(new URLSearchParams(whole).keys().next().value ?? '');
  }
  return names;
}

/** What of a query (without its question mark) tells resources apart: equal for URLs that stand for one. */
export function essence(query: string, { names, allBut, ordered }: SearchVariance): string {
  const kept = [...new URLSearchParams(`?${query}`)].filter(([name]) => names.has(name) === allBut);
  // Stable: parameters of one name keep their order.
  if (!ordered) kept.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return JSON.stringify(kept);
}
