import { type Fields, linesOf } from './caching/fields.ts';

/** Tags kept of one response. */
const TAGS_MAX = 64;
/** Longest tag, characters. */
const TAG_LENGTH_MAX = 128;

/**
 * Tags under which a response can be purged: Surrogate-Key (separated by spaces) and Cache-Tag (by commas). Tags
 * beyond the limits are left out.
 */
export function tagsOf(headers: Fields): string[] {
  const tags = new Set<string>();
  const take = (text: string) => {
    if (text !== '' && text.length <= TAG_LENGTH_MAX && tags.size < TAGS_MAX) tags.add(text);
  };
  for (const line of linesOf(headers, 'surrogate-key')) for (const tag of line.split(/\s+/)) take(tag);
  for (const line of linesOf(headers, 'cache-tag')) for (const tag of line.split(',')) take(tag.trim());
  return [...tags];
}
