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
    variant += lines.length === 0 ? `${name}\n-\n` : `${name}\n=${canonicalValue(name, lines)}\n`;
  }
  return variant;
}

/**
 * Lines combined and white space around commas cut (RFC 9111 §4.1). For content negotiation also case, order and
 * default weights are levelled, as the definitions of those fields allow.
 */
function canonicalValue(name: string, lines: readonly string[]): string {
  const members = membersOf(lines);
  if (name !== 'accept-language' && name !== 'accept-encoding' && name !== 'accept-charset')
    return members.join(',');
  return members
    .map((member) => {
      const [value = '', ...parameters] = member.toLowerCase().split(';');
      const weight = parameters.map((text) => text.trim()).find((text) => text.startsWith('q='));
      const quality = weight === undefined ? 1 : Number(weight.slice(2));
      return { value: value.trim(), quality: Number.isFinite(quality) ? quality : 1 };
    })
    .sort((a, b) => b.quality - a.quality || (a.value < b.value ? -1 : a.value > b.value ? 1 : 0))
    .map(({ value, quality }) => (quality === 1 ? value : `${value};q=${quality}`))
    .join(',');
}
