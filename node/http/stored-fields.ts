import { formatDate, parseDate } from './caching/date.ts';
import { firstOf } from './caching/fields.ts';
import { initialAge } from './caching/freshness.ts';
import type { OriginResponse } from './origin.ts';

/**
 * Fields as they are stored: those that name no connection, a Date if the origin sent no readable one, and as Age the
 * age that the response really had, so that from here on only the demand clock counts.
 */
export function storedFields(
  response: OriginResponse,
  omit: readonly string[],
): [name: string, value: string][] {
  const fields: [string, string][] = [];
  const date = parseDate(firstOf(response.headers, 'date') ?? '', response.receivedAt);
  for (const [name, value] of response.headers) {
    if (name === 'age' || name === 'content-length' || omit.includes(name)) continue;
    if (name === 'date' && date === undefined) continue;
    fields.push([name, value]);
  }
  if (date === undefined) fields.push(['date', formatDate(response.receivedAt)]);
  const age = initialAge(response.headers, response.requestedAt, response.receivedAt);
  if (age > 0) fields.push(['age', String(age)]);
  return fields;
}
