import { type Fields, linesOf, membersOf } from './caching/fields.ts';
import { canonicalEncodings, type RequestLines } from './caching/vary.ts';

/**
 * Whether an answer to a request that went to the origin as the client wrote it is in a coding which its variant does
 * not tell of: others of the same variant may not take it.
 */
export function foreignCoding(headers: Fields, lines: RequestLines): boolean {
  const told = membersOf([canonicalEncodings(lines('accept-encoding'))]);
  return membersOf(linesOf(headers, 'content-encoding')).some(
    (coding) => coding.toLowerCase() !== 'identity' && !told.includes(coding.toLowerCase()),
  );
}
