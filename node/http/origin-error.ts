import { type ErrorCode, PresageError } from '../../protocol/errors.ts';

/** undici's and the system's codes, as our code and as the error type of Proxy-Status (RFC 9209 §2.3). */
const CAUSES: Readonly<Record<string, readonly [code: ErrorCode, proxyStatus: string]>> = {
  UND_ERR_CONNECT_TIMEOUT: ['ORIGIN_TIMEOUT', 'connection_timeout'],
  UND_ERR_HEADERS_TIMEOUT: ['ORIGIN_TIMEOUT', 'http_response_timeout'],
  UND_ERR_BODY_TIMEOUT: ['ORIGIN_TIMEOUT', 'connection_read_timeout'],
  UND_ERR_HEADERS_OVERFLOW: ['ORIGIN_PROTOCOL', 'http_response_header_section_size'],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ['ORIGIN_PROTOCOL', 'http_response_incomplete'],
  UND_ERR_SOCKET: ['ORIGIN_UNREACHABLE', 'connection_terminated'],
  ECONNRESET: ['ORIGIN_UNREACHABLE', 'connection_terminated'],
  EPIPE: ['ORIGIN_UNREACHABLE', 'connection_terminated'],
  ECONNREFUSED: ['ORIGIN_UNREACHABLE', 'connection_refused'],
  ETIMEDOUT: ['ORIGIN_TIMEOUT', 'connection_timeout'],
  ENOTFOUND: ['ORIGIN_UNREACHABLE', 'dns_error'],
  EAI_AGAIN: ['ORIGIN_UNREACHABLE', 'dns_error'],
  EHOSTUNREACH: ['ORIGIN_UNREACHABLE', 'destination_ip_unroutable'],
  ENETUNREACH: ['ORIGIN_UNREACHABLE', 'destination_ip_unroutable'],
};

/** A failure of a request to the origin, coded; `data.proxyStatus` is the error type of RFC 9209. */
export function originError(error: unknown, aborted: boolean): PresageError {
  if (error instanceof PresageError) return error;
  if (aborted) return new PresageError('CANCELLED', undefined, {}, error);
  const raw = error as NodeJS.ErrnoException;
  const cause = raw.code === undefined ? undefined : CAUSES[raw.code];
  if (cause)
    return new PresageError(cause[0], `${cause[1]}: ${raw.message}`, { proxyStatus: cause[1] }, error);
  const parser = raw.name === 'HTTPParserError' || raw.code?.startsWith('HPE_') === true;
  const tls = raw.code?.includes('CERT') === true || raw.code?.startsWith('ERR_TLS') === true;
  const proxyStatus = parser
    ? 'http_protocol_error'
    : tls
      ? 'tls_certificate_error'
      : 'destination_unavailable';
  return new PresageError(
    parser ? 'ORIGIN_PROTOCOL' : 'ORIGIN_UNREACHABLE',
    `${proxyStatus}: ${raw.message ?? String(error)}`,
    { proxyStatus },
    error,
  );
}
