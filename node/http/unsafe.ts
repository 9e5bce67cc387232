import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answered } from './answered.ts';
import { type Fields, firstOf } from './caching/fields.ts';
import type { EdgeContext, Resolved } from './context.ts';
import type { Fills } from './fills.ts';
import type { Lookup } from './lookup.ts';
import { forward } from './pass.ts';
import type { EdgeRequest } from './request.ts';

/** Methods that change nothing (RFC 9110 §9.2.1), beside GET and HEAD. */
const SAFE = new Set(['OPTIONS', 'PROPFIND', 'REPORT', 'SEARCH']);

/**
 * Sends any other method to the origin, and after a success forgets what is stored of the resource and of those that
 * Location and Content-Location name on the same host (RFC 9111 §4.4). Such requests are never repeated.
 */
export async function changes(
  context: EdgeContext,
  lookup: Lookup,
  fills: Fills,
  message: IncomingMessage,
  request: EdgeRequest,
  response: ServerResponse,
  resolved: Resolved,
): Promise<Answered> {
  const unsafe = !SAFE.has(request.method);
  const sent = await forward(
    context,
    message,
    request,
    response,
    resolved,
    `${context.pop}; fwd=method`,
    (answer) =>
      unsafe && answer.status < 400
        ? invalidate(context, lookup, fills, resolved, answer.headers)
        : undefined,
  );
  return {
    status: sent.status,
    bytes: sent.bytes,
    hit: 'pass',
    size: sent.bytes,
    used: undefined,
    setsCookie: firstOf(sent.answer.headers, 'set-cookie') !== undefined,
  };
}

/** Forgets every variant of the resource and of its relations on the same host, before the answer goes out. */
async function invalidate(
  context: EdgeContext,
  lookup: Lookup,
  fills: Fills,
  resolved: Resolved,
  headers: Fields,
): Promise<void> {
  const { index } = context.deps;
  const keys = new Set([resolved.key16]);
  for (const name of ['location', 'content-location']) {
    const related = relation(lookup, resolved, firstOf(headers, name));
    if (related) keys.add(related);
  }
  for (const other of context.representatives.of(resolved.key, resolved.key16)) keys.add(other.key16);
  for (const key16 of keys) {
    fills.taint(key16);
    context.parts.drop(key16);
    for (const replica of index.get(key16)) await index.drop(key16, replica.variant);
  }
}

function relation(lookup: Lookup, resolved: Resolved, reference: string | undefined) {
  if (reference === undefined) return undefined;
  try {
    const url = new URL(reference, `http://${resolved.host}${resolved.path}`);
    const related = lookup.resolve(url.host, url.pathname + url.search);
    return related.host === resolved.host ? related.key16 : undefined;
  } catch {
    return undefined;
  }
}
