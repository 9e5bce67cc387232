import { type ServerResponse, STATUS_CODES } from 'node:http';
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
 * Answers with an error: the status that fits its code, problem details (RFC 9457) with code and reason, a header field
 * if `data.field` is one, and for what happened beyond us Proxy-Status (RFC 9209). Never stored by anyone.
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
  const [meaning] = ERRORS[error.code];
  // What a request did wrong may be told; what happened behind us may name what clients have no business to know.
  const detail = error.code.startsWith('HTTP_') ? error.message : meaning;
  const text = `${JSON.stringify({ title: STATUS_CODES[status], status, code: error.code, detail })}\n`;
  const head = ['content-type', 'application/problem+json', 'cache-control', 'no-store'];
  const { field } = error.data;
  if (typeof field === 'string') head.push(...field.split(': ', 2));
  if (cacheStatus !== undefined) head.push('cache-status', cacheStatus);
  const { proxyStatus } = error.data;
  if (error.code.startsWith('ORIGIN_'))
    head.push(
      'proxy-status',
      `${pop}; error=${typeof proxyStatus === 'string' ? proxyStatus : 'proxy_internal_error'}`,
    );
  head.push('content-length', String(Buffer.byteLength(text)));
  response.writeHead(status, head).end(text);
  return { status, bytes: text.length };
}
