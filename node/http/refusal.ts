import type { ServerResponse } from 'node:http';
import { ERRORS, type ErrorCode, type PresageError } from '../../protocol/errors.ts';

const STATUS: Partial<Record<ErrorCode, number>> = {
  HTTP_MALFORMED: 400,
  HTTP_UNKNOWN_SITE: 421,
  HTTP_TOO_LARGE: 431,
  HTTP_FORBIDDEN: 403,
  ORIGIN_TIMEOUT: 504,
  ORIGIN_UNREACHABLE: 502,
  ORIGIN_PROTOCOL: 502,
  ACTOR_STOPPED: 503,
  CANCELLED: 503,
};

/**
 * Answers with an error: the status that fits its code, the code's meaning as text, and for what happened beyond us
 * Proxy-Status (RFC 9209). Never stored by anyone.
 */
export function refuse(
  response: ServerResponse,
  error: PresageError,
  pop: string,
  cacheStatus?: string,
  status = STATUS[error.code] ?? 500,
): { status: number; bytes: number } {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return { status, bytes: 0 };
  }
  const text = `${error.code}: ${ERRORS[error.code][0]}\n`;
  const head = ['content-type', 'text/plain; charset=utf-8', 'cache-control', 'no-store'];
  if (cacheStatus !== undefined) head.push('cache-status', cacheStatus);
  const { proxyStatus } = error.data;
  if (error.code.startsWith('ORIGIN_'))
    head.push(
      'proxy-status',
      `${pop}; error=${typeof proxyStatus === 'string' ? proxyStatus : 'proxy_internal_error'}`,
    );
  head.push('content-length', String(text.length));
  response.writeHead(status, head).end(text);
  return { status, bytes: text.length };
}
