import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Answered } from './answered.ts';
import { type Fields, firstOf } from './caching/fields.ts';
import type { EdgeContext, Resolved } from './context.ts';
import type { Fills } from './fills.ts';
import type { Lookup } from './lookup.ts';
import { forward } from './pass.ts';
import { type Copy, keepPosted } from './posted.ts';
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
  const { deps } = context;
  const ticket = deps.index.begin(resolved.key, resolved.key16, resolved.site.id);
  const requestedAt = deps.demand.now();
  let copy: Copy | undefined;
  const sent = await forward(
    context,
    message,
    request,
    response,
    resolved,
    `${context.pop}; fwd=method`,
    async (answer) => {
      if (unsafe && answer.status < 400) await invalidate(context, lookup, fills, resolved, answer.headers);
      if (request.method !== 'POST') return;
      const named = firstOf(answer.headers, 'content-location') || undefined;
      const target = relation(lookup, resolved, named);
      copy = keepPosted(context, fills, request, resolved, target, { ticket, requestedAt, answer });
    },
    (chunk) => copy?.push(chunk),
  ).catch((error) => {
    copy?.end(false);
    throw error;
  });
  copy?.end(sent.whole);
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
