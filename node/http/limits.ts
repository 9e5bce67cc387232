/** Header section of a request, bytes; longer ones get 431, or an aborted stream over HTTP/2. */
export const HEADER_BYTES_MAX = 16 * 1024;
/** A client has this long to send its header section, real ms. */
export const HEADERS_TIMEOUT_MS = 10_000;
/** And this long for the whole request, body included. */
export const REQUEST_TIMEOUT_MS = 300_000;
