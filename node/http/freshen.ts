import type { FetchTicket } from '../../protocol/replica.ts';
import { firstOf } from './caching/fields.ts';
import { policyOf } from './caching/policy.ts';
import { storability } from './caching/storability.ts';
import { renewed } from './caching/validators.ts';
import type { EdgeContext } from './context.ts';
import { foreignCoding } from './foreign-coding.ts';
import type { OriginResponse } from './origin.ts';
import type { EdgeRequest } from './request.ts';
import type { StoredResponse } from './stored.ts';
import { storedFields } from './stored-fields.ts';

/** Where the answer to a HEAD comes from and when, demand ms. */
export interface HeadOrigin {
  readonly ticket: FetchTicket;
  readonly requestedAt: number;
  readonly receivedAt: number;
  readonly answer: OriginResponse;
}

/**
 * What a 200 to HEAD says of the stored response that a GET would have got (RFC 9111 §4.3.5): renewed as by a 304 if
 * validators and length are the same, forgotten if one differs. Without a validator it says too little to do either.
 */
export async function freshenByHead(
  { deps, options }: EdgeContext,
  request: EdgeRequest,
  stored: StoredResponse,
  { ticket, requestedAt, receivedAt, answer }: HeadOrigin,
): Promise<void> {
  if (answer.status !== 200 || stored.replica.status !== 200 || request.conditional) return;
  const { headers } = answer;
  if (foreignCoding(headers, request.lines)) return;
  const received = (['etag', 'last-modified'] as const)
    .map((name) => [firstOf(headers, name), firstOf(stored.headers, name)] as const)
    .filter(([value]) => value !== undefined);
  if (received.length === 0) return;
  const { replica } = stored;
  const { length = replica.size } = answer;
  if (length !== replica.size || received.some(([value, known]) => value !== known)) {
    await deps.index.drop(replica.key16, replica.variant);
    return;
  }
  const { authorised, directives: requestDirectives } = request;
  const policy = policyOf(headers);
  const exchange = { method: 'GET', status: 200, authorised, requestDirectives, headers, policy };
  const verdict = storability(exchange, options.heuristic, answer.receivedAt);
  if (!verdict.store) return;
  const fields = renewed(stored.headers, storedFields(answer, verdict.omit));
  await deps.index.refresh(ticket, replica, fields, requestedAt, receivedAt);
}
