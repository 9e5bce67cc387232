import { type Fields, linesOf, membersOf } from './fields.ts';

/** Names that a response's Vary lists, in lower case, sorted, once each; `*` if nothing but the origin can tell. */
export function varyNames(headers: Fields): readonly string[] | '*' {
  const lines = linesOf(headers, 'vary');
  if (lines.length === 0) return [];
  const names = membersOf(lines).map((name) => name.toLowerCase());
  return names.includes('*') ? '*' : [...new Set(names)].sort();
}

/** All lines of a request's field, by its name in lower case. */
export type RequestLines = (name: string) => readonly string[];

/**
 * The variant that a request selects under a Vary list: one line per name with the request's canonical value, `-`
 * where the request lacks the field. Empty if nothing varies.
 */
export function variantOf(names: readonly string[], request: RequestLines): string {
  let variant = '';
  for (const name of names) {
    const lines = request(name);
    variant +=
      lines.length === 0 && name !== 'accept-encoding'
        ? `${name}\n-\n`
        : `${name}\n=${canonicalValue(name, lines)}\n`;
  }
  return variant;
}

/**
 * Lines combined and white space around commas cut (RFC 9111 §4.1). For content negotiation also case, order and
 * default weights are levelled, as the definitions of those fields allow.
 */
function canonicalValue(name: string, lines: readonly string[]): string {
  if (name === 'accept-encoding') return canonicalEncodings(lines);
  const members = membersOf(lines);
  if (name !== 'accept-language' && name !== 'accept-charset') return members.join(',');
  return members
    .map(weighted)
    .sort((a, b) => b.weight - a.weight || (a.value < b.value ? -1 : a.value > b.value ? 1 : 0))
    .map(({ value, weight }) => (weight === 1 ? value : `${value};q=${weight}`))
    .join(',');
}

/** Content codings that are asked of origins. */
const ENCODINGS = ['br', 'gzip'] as const;

/**
 * What Accept-Encoding is cut down to, in variants and in requests to the origin: those of the two common codings
 * that the client takes. Clients spell this field in dozens of ways, and each would be a variant of its own, which no
 * mirror could foresee. Empty where the client takes neither.
 */
export function canonicalEncodings(lines: readonly string[]): string {
  const members = membersOf(lines).map(weighted);
  return ENCODINGS.filter((coding) =>
    members.some(({ value, weight }) => value === coding && weight > 0),
  ).join(', ');
}

/** What a client of today sends, for requests that no client made. */
export const COMMON_ENCODINGS: string = ENCODINGS.join(', ');

/** The one language that a client wants above all others, in lower case; `undefined` if there is no such one. */
export function favouriteLanguage(lines: readonly string[]): string | undefined {
  const [first, second] = membersOf(lines)
    .map(weighted)
    .sort((a, b) => b.weight - a.weight);
  const clear = first && first.weight > 0 && first.weight > (second?.weight ?? 0) && first.value !== '*';
  return clear ? first.value : undefined;
}

function weighted(member: string): { value: string; weight: number } {
  const [value = '', ...parameters] = member.toLowerCase().split(';');
  const quality = parameters.map((text) => text.trim()).find((text) => text.startsWith('q='));
  const weight = quality === undefined ? 1 : Number(quality.slice(2));
  return { value: value.trim(), weight: Number.isFinite(weight) ? weight : 1 };
}
