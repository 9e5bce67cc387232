import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Answered, nothingUsed, setsCookie } from './answered.ts';
import type { EdgeContext, Resolved } from './context.ts';
import { freshenByHead } from './freshen.ts';
import { PART_MAX } from './parts.ts';
import { forward } from './pass.ts';
import type { EdgeRequest } from './request.ts';
import type { StoredResponse } from './stored.ts';

/**
 * Sends a request on as it is; what comes back of a range is kept for others, unless it may not be, and what comes back
 * of a HEAD tells of the response that is held.
 */
export async function forwardRange(
  context: EdgeContext,
  message: IncomingMessage,
  request: EdgeRequest,
  response: ServerResponse,
  resolved: Resolved,
  status: string,
  keep = request.range !== undefined && request.method === 'GET',
  held?: StoredResponse,
): Promise<Answered> {
  const { deps, parts } = context;
  const ticket = deps.index.begin(resolved.key, resolved.key16, resolved.site.id);
  const requestedAt = deps.demand.now();
  let receivedAt = requestedAt;
  const pieces: Buffer[] = [];
  let length = 0;
  const sent = await forward(
    context,
    message,
    request,
    response,
    resolved,
    status,
    (answer) => {
      receivedAt = deps.demand.now();
      const origin = { ticket, requestedAt, receivedAt, answer };
      return held && request.method === 'HEAD' ? freshenByHead(context, request, held, origin) : undefined;
    },
    (piece) => {
      length += piece.length;
      if (keep && length <= PART_MAX) pieces.push(piece);
    },
  );
  if (keep && sent.status === 206 && length <= PART_MAX)
    parts.keep(
      resolved,
      request,
      { ticket, requestedAt, receivedAt, answer: sent.answer },
      Buffer.concat(pieces),
    );
  return { ...nothingUsed(sent, 'pass'), setsCookie: setsCookie(sent.answer.headers) };
}
