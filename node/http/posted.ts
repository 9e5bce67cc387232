import { PassThrough } from 'node:stream';
import { PresageError } from '../../protocol/errors.ts';
import type { FetchTicket } from '../../protocol/replica.ts';
import { explicitLifetime } from './caching/freshness.ts';
import { policyOf } from './caching/policy.ts';
import { storability } from './caching/storability.ts';
import type { EdgeContext, Resolved } from './context.ts';
import type { Fills } from './fills.ts';
import { foreignCoding } from './foreign-coding.ts';
import type { OriginResponse } from './origin.ts';
import type { EdgeRequest } from './request.ts';

/** Larger answers are not kept: they are copied at the pace of the client, and wait in memory for a slow disk. */
const POSTED_MAX = 4 * 1024 * 1024;

/** Takes the bytes of an answer to POST as they pass. */
export interface Copy {
  push(chunk: Buffer): void;
  /** Nothing more comes; `whole` says whether that was all. */
  end(whole: boolean): void;
}

/**
 * Has the answer to a POST stored for GET requests to come, where it says that it is what they would get: it names the
 * POST's own target as Content-Location and states its freshness (RFC 9110 §9.3.3). A POST is never answered from the
 * store. `undefined` if it says no such thing, or may not be stored.
 *
 * @param target key of what Content-Location names
 */
export function keepPosted(
  context: EdgeContext,
  fills: Fills,
  request: EdgeRequest,
  resolved: Resolved,
  target: Resolved['key16'] | undefined,
  origin: { readonly ticket: FetchTicket; readonly requestedAt: number; readonly answer: OriginResponse },
): Copy | undefined {
  const { answer, ticket, requestedAt } = origin;
  const { headers, status, receivedAt } = answer;
  if (status !== 200 || target !== resolved.key16 || (answer.length ?? 0) > POSTED_MAX) return undefined;
  const policy = policyOf(headers);
  const { authorised, directives } = request;
  const exchange = { method: 'GET', authorised, requestDirectives: directives, status, headers, policy };
  const lifetime = explicitLifetime(policy, headers, receivedAt);
  if (!lifetime || !storability(exchange, undefined, receivedAt).store) return undefined;
  if (foreignCoding(headers, request.lines)) return undefined;
  const body = new PassThrough();
  body.on('error', () => undefined);
  let length = 0;
  fills.take(
    {
      ...{ resolved, lines: request.lines, headers: [], authorised, directives, stored: undefined },
      ...{ standIn: false, source: 'client', askPeers: false, solo: true, ticket },
    },
    { ...answer, body },
    { requestedAt, receivedAt: context.deps.demand.now() },
  );
  return {
    push: (chunk) => {
      length += chunk.length;
      if (length > POSTED_MAX) body.destroy(new PresageError('CONTENT_TOO_LARGE'));
      else if (!body.destroyed) body.write(chunk);
    },
    end: (whole) => void (whole ? body.end() : body.destroy(new PresageError('CANCELLED'))),
  };
}
