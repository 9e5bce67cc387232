/**
 * Every error that Presage reports on purpose, in one table: what it means and what to do about it. The code is
 * the label of `presage_errors_total`, the `data.code` of an RPC error and the row of the README's error section.
 */
export const ERRORS = {
  // Wire
  WIRE_TOO_LARGE: ['A message is larger than its limit.', 'Nothing, unless it recurs from one peer: ban it.'],
  WIRE_TOO_DEEP: ['A message nests deeper than its limit.', 'As above.'],
  WIRE_TOO_MANY: ['A message has more elements than its limit.', 'As above.'],
  WIRE_TRUNCATED: ['A message ends before its structure does.', 'As above.'],
  WIRE_EXTENSION: ['A message uses a MessagePack extension, which no Presage message does.', 'As above.'],
  WIRE_TRAILING: ['Bytes follow the end of a message.', 'As above.'],
  WIRE_SCHEMA: [
    'A message does not have the shape of its type.',
    'Check that all PoPs run compatible versions.',
  ],
  WIRE_SIGNATURE: ['A signature does not verify.', 'Check the peer that it came from.'],
  WIRE_STALE: ['A message belongs to a window that has passed.', 'Check the clocks of the PoPs.'],
  WIRE_FUTURE: ['A message belongs to a window far ahead.', 'Check the clocks of the PoPs.'],
  WIRE_ORIGIN: ['A message speaks for another PoP than its signer.', 'Check the peer that it came from.'],
  // Membership
  ADMIT_CERTIFICATE: [
    'A certificate is malformed or not signed by the operator of this cluster.',
    'Issue it anew with `presage keys`.',
  ],
  ADMIT_EXPIRED: ['A certificate has expired.', 'Issue a new one with `presage keys`.'],
  ADMIT_IDENTITY: [
    'A certificate names another peer id than the connection.',
    'Give each PoP its own key and certificate.',
  ],
  ADMIT_REVOKED: ['The identity has been revoked by the operator.', 'Issue a new key and certificate.'],
  ADMIT_TIMEOUT: [
    'A peer did not complete admission in time.',
    'Check that it is a Presage PoP of this cluster.',
  ],
  ADMIT_CROWDED: ['Too many connections wait for admission.', 'Limit who can reach the listening port.'],
  CHARTER_INVALID: [
    'A charter is malformed, inconsistent or not signed by the operator of this cluster.',
    'Correct the TOML file and sign it anew with `presage keys charter`.',
  ],
  FOUNDERS_INVALID: [
    'The list of founders is malformed or not signed by the operator of this cluster.',
    'Make it anew with `presage keys founders`, of the same certificates.',
  ],
  PEER_UNKNOWN: [
    'The peer is not connected or not admitted.',
    'Wait for the connection, or check `presage peers`.',
  ],
  PEER_TIMEOUT: ['A peer did not answer in time.', 'Check the peer and the path to it.'],
  PEER_BUSY: ['A peer refused because its queue is full.', 'Nothing; the request is repeated elsewhere.'],
  PEER_REFUSED: ['A peer refused the request.', 'See the reason that stands with it.'],
  // Content
  CONTENT_MISSING: ['The content is not stored here.', 'Nothing; another holder is asked.'],
  CONTENT_MISMATCH: [
    'Bytes do not hash to the name that they were asked by.',
    'Check the disk, or the peer that sent them.',
  ],
  CONTENT_TOO_LARGE: [
    'The content is larger than the limit for stored objects.',
    'Raise `storage.maxObject`.',
  ],
  CONTENT_FENCED: ['The content was fetched before a purge that covers it.', 'Nothing; it is fetched again.'],
  CONTENT_FORBIDDEN: [
    'The site does not let this PoP hold its content.',
    'Change the allow list in the charter.',
  ],
  STORE_FULL: ['The disk or the storage budget is full.', 'Free space or raise `storage.budget`.'],
  STORE_CORRUPT: [
    'A record on disk is damaged; it was set aside.',
    'Check the disk. Lost replicas are fetched again.',
  ],
  STORE_LOCKED: [
    'The data directory is in use by another process.',
    'Stop the other daemon or choose another `dataDir`.',
  ],
  STORE_IO: ['The disk refused an operation.', 'Check the disk.'],
  // Origin
  ORIGIN_UNREACHABLE: ['The origin did not answer.', 'Check the origin and the path to it.'],
  ORIGIN_TIMEOUT: ['The origin was too slow.', 'Check the origin, or raise `http.originTimeout`.'],
  ORIGIN_PROTOCOL: ['The origin sent something that is not HTTP.', 'Check the origin.'],
  // Edge
  HTTP_MALFORMED: ['A request is not well-formed HTTP, or ambiguous.', 'Correct the client.'],
  HTTP_UNKNOWN_SITE: ['No site is configured for this host name.', 'Add the site to the charter.'],
  HTTP_TOO_LARGE: ['A request is larger than its limit.', 'Correct the client.'],
  HTTP_FORBIDDEN: ['The client may not have this resource.', 'Check the signature or token of the request.'],
  DNS_MALFORMED: ['A DNS packet is malformed.', 'Correct the client.'],
  // RPC and command line
  RPC_UNAUTHORISED: [
    'The bearer token is missing or wrong.',
    'Read it from `rpc.token` in the data directory.',
  ],
  RPC_HOST: ['The Host or Origin header is not local.', 'Use the loopback address.'],
  RPC_PARAMS: ['The parameters of a call are wrong.', 'See `rpc.discover` or `--help`.'],
  RPC_METHOD: ['There is no such method.', 'See `rpc.discover`.'],
  RPC_TOO_LARGE: ['A call is larger than its limit.', 'Send less in one call.'],
  RPC_UNREACHABLE: ['No daemon answers.', 'Start it, or name its data directory with `--data-dir`.'],
  CONFIG_INVALID: ['A configuration value is wrong.', 'See the key and the remedy that stand with it.'],
  CONFIG_UNKNOWN: ['A configuration key is not known.', 'See `presage config --help`.'],
  RESOURCE_UNKNOWN: ['The resource is not tracked.', 'Check its spelling; it may never have been asked for.'],
  INPUT_MALFORMED: ['A line of input could not be read.', 'See the line number and the reason.'],
  SIGNAL_SIGNATURE: [
    'A call of the webhook is not signed, or its timestamp is not of now.',
    'Sign timestamp and body with `signals.webhook.secret`, and check the caller’s clock.',
  ],
  SIGNAL_SOURCE: [
    'A source of signals does not answer as it should.',
    'Check its address; it is asked again later.',
  ],
  // Actors and workers
  ASK_TIMEOUT: ['An actor did not answer in time.', 'The daemon is overloaded; see the metrics.'],
  MAILBOX_FULL: ['An actor refused a command because its mailbox is full.', 'Try again; see the metrics.'],
  ACTOR_STOPPED: ['The actor has stopped.', 'The daemon is shutting down.'],
  ACTOR_FAILED: ['An actor failed while it handled a message.', 'Report this with the log.'],
  WORKER_FAILED: ['A worker thread died.', 'Its work is redone; report it if it recurs.'],
  CLOCK_SKEW: ['The wall clock jumped or disagrees with the peers.', 'Run a time service on the PoP.'],
  CANCELLED: ['The operation was called off.', 'Nothing.'],
  INTERNAL: ['A defect of Presage.', 'Report this with the log.'],
} as const satisfies Record<string, readonly [meaning: string, remedy: string]>;

export type ErrorCode = keyof typeof ERRORS;

/** An error that was foreseen: a code of the table, what exactly happened, and data for the log. */
export class PresageError extends Error {
  override readonly name = 'PresageError';
  readonly code: ErrorCode;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message?: string, data: Record<string, unknown> = {}, cause?: unknown) {
    super(message ?? ERRORS[code][0], cause === undefined ? undefined : { cause });
    this.code = code;
    this.data = data;
  }

  /** What the operator can do about it. */
  get remedy(): string {
    return ERRORS[this.code][1];
  }
}

/** The code of anything thrown: its own if it was foreseen, else `fallback`. */
export function codeOf(error: unknown, fallback: ErrorCode = 'INTERNAL'): ErrorCode {
  return error instanceof PresageError ? error.code : fallback;
}

/** Any thrown value as an error with a code. */
export function coded(error: unknown, fallback: ErrorCode = 'INTERNAL'): PresageError {
  if (error instanceof PresageError) return error;
  return new PresageError(fallback, error instanceof Error ? error.message : String(error), {}, error);
}
