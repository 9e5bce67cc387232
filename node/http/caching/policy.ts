import { parseDictionary } from 'structured-headers';
import { Directives } from './directives.ts';
import { type Fields, linesOf } from './fields.ts';

/** Fields of directives meant for caches of our kind (RFC 9213), the most specific first. */
const TARGETED = ['cdn-cache-control'] as const;

/**
 * What a response says about caching, read once: the targeted field if there is a valid one (then Cache-Control and
 * Expires do not count at all, RFC 9213 §2.1), else Cache-Control.
 */
export interface Policy {
  readonly directives: Directives;
  /** Whether a targeted field decides, so that Expires is to be ignored. */
  readonly targeted: boolean;
}

export function policyOf(headers: Fields): Policy {
  for (const name of TARGETED) {
    const lines = linesOf(headers, name);
    const directives = lines.length === 0 ? undefined : targetedDirectives(lines);
    if (directives) return { directives, targeted: true };
  }
  return { directives: new Directives(linesOf(headers, 'cache-control')), targeted: false };
}

/** Directives whose value is a number of seconds. */
const SECONDS = new Set(['max-age', 's-maxage', 'stale-while-revalidate', 'stale-if-error']);

/**
 * A targeted field is a dictionary of structured fields. One that is empty, does not parse, or states a time in
 * another type than an integer counts as absent (RFC 9213 §2.1).
 */
function targetedDirectives(lines: readonly string[]): Directives | undefined {
  let dictionary: ReturnType<typeof parseDictionary>;
  try {
    dictionary = parseDictionary(lines.join(', '));
  } catch {
    return undefined;
  }
  if (dictionary.size === 0) return undefined;
  const members: string[] = [];
  for (const [name, [value]] of dictionary) {
    if (SECONDS.has(name)) {
      if (typeof value !== 'number' || !Number.isInteger(value)) return undefined;
      members.push(`${name}=${value}`);
    } else if (value === true) members.push(name);
    else if (typeof value === 'string' && (name === 'private' || name === 'no-cache'))
      members.push(`${name}="${value.replace(/["\\]/g, '')}"`);
  }
  return new Directives(members);
}
