import { parseDate } from './date.ts';
import { type Fields, firstOf } from './fields.ts';

/** Entity tag without its weakness mark. */
const opaque = (tag: string): string => (tag.startsWith('W/') ? tag.slice(2) : tag);

/** Weak comparison (RFC 9110 §8.8.3.2). */
export const weakMatch = (a: string, b: string): boolean => opaque(a) === opaque(b);

/** Strong comparison. */
export const strongMatch = (a: string, b: string): boolean =>
  a === b && !a.startsWith('W/') && !b.startsWith('W/');

/** Entity tags of If-None-Match or If-Match; tags are quoted and may hold commas, others are taken as they stand. */
export function parseTags(text: string): readonly string[] | '*' {
  const trimmed = text.trim();
  if (trimmed === '*') return '*';
  return [...trimmed.matchAll(TAG)].map((match) => match[0]);
}
const TAG = /(?:W\/)?"[^"]*"|[^\s,]+/g;

/** Conditional fields of a request, absent ones undefined. */
export interface Conditions {
  readonly ifMatch?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
  readonly ifModifiedSince?: string | undefined;
  readonly ifUnmodifiedSince?: string | undefined;
  readonly ifRange?: string | undefined;
}

export type Precondition = 'proceed' | 'not-modified' | 'failed';

/**
 * What the conditions of a GET or HEAD say of a selected stored response, in the precedence of RFC 9110 §13.2.2.
 * Conditions apply to successful responses only.
 */
export function evaluate(conditions: Conditions, status: number, headers: Fields, now: number): Precondition {
  if (status < 200 || status > 299) return 'proceed';
  const tag = firstOf(headers, 'etag');
  const modified = (): number | undefined => parseDate(firstOf(headers, 'last-modified') ?? '', now);
  if (conditions.ifMatch !== undefined) {
    const tags = parseTags(conditions.ifMatch);
    if (tags !== '*' && !(tag !== undefined && tags.some((it) => strongMatch(it, tag)))) return 'failed';
  } else if (conditions.ifUnmodifiedSince !== undefined) {
    const since = parseDate(conditions.ifUnmodifiedSince, now);
    const changed = modified();
    if (since !== undefined && changed !== undefined && changed > since) return 'failed';
  }
  if (conditions.ifNoneMatch !== undefined) {
    const tags = parseTags(conditions.ifNoneMatch);
    const matched = tags === '*' || (tag !== undefined && tags.some((it) => weakMatch(it, tag)));
    return matched ? 'not-modified' : 'proceed';
  }
  if (conditions.ifModifiedSince !== undefined) {
    const since = parseDate(conditions.ifModifiedSince, now);
    // RFC 9111 §4.3.2: without Last-Modified the Date of the stored response stands in for it.
    const changed = modified() ?? parseDate(firstOf(headers, 'date') ?? '', now);
    if (since !== undefined && changed !== undefined && changed <= since) return 'not-modified';
  }
  return 'proceed';
}

/** Whether If-Range lets a range be served from this response (RFC 9110 §13.1.5). */
export function rangeHolds(ifRange: string | undefined, headers: Fields, now: number): boolean {
  if (ifRange === undefined) return true;
  const text = ifRange.trim();
  if (text.startsWith('"') || text.startsWith('W/')) {
    const tag = firstOf(headers, 'etag');
    return tag !== undefined && strongMatch(text, tag);
  }
  const since = parseDate(text, now);
  const modified = parseDate(firstOf(headers, 'last-modified') ?? '', now);
  const date = parseDate(firstOf(headers, 'date') ?? '', now);
  // A date is a strong validator only if it lies at least a second before the response (§8.8.2.2).
  return since !== undefined && since === modified && date !== undefined && date - modified >= 1000;
}

/** Fields that carry validators of a stored response to the origin (RFC 9111 §4.3.1). */
export function revalidationFields(headers: Fields): [name: string, value: string][] {
  const fields: [string, string][] = [];
  const tag = firstOf(headers, 'etag');
  if (tag !== undefined) fields.push(['if-none-match', tag]);
  const modified = firstOf(headers, 'last-modified');
  if (modified !== undefined) fields.push(['if-modified-since', modified]);
  return fields;
}

/** Fields of the stored content that a 304 does not change (RFC 9111 §3.2). */
const KEPT = new Set([
  'content-encoding',
  'content-length',
  'content-md5',
  'content-range',
  'etag',
  'digest',
  'content-digest',
]);

/** Stored fields renewed by those of a 304 (RFC 9111 §3.2, §4.3.4). */
export function renewed(stored: Fields, update: Fields): [name: string, value: string][] {
  const replaced = new Set<string>();
  for (const [name] of update) if (!KEPT.has(name)) replaced.add(name);
  // The age of the stored copy ends with its validation; said outright, so that whoever merges these fields with the
  // stored ones once more comes to the same.
  replaced.add('age');
  const fields: [string, string][] = [];
  for (const [name, value] of stored) if (!replaced.has(name)) fields.push([name, value]);
  for (const [name, value] of update) if (!KEPT.has(name)) fields.push([name, value]);
  if (!update.some(([name]) => name === 'age')) fields.push(['age', '0']);
  return fields;
}
