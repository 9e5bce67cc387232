import { Answer } from './answer.ts';
import { Composer, type ComposerDeps } from './composer.ts';
import { COOKIE_BYTES, type Cookies } from './cookie.ts';
import { DROP, FAMILY_V4, HEADER_BYTES, Query, RCODE } from './query.ts';
import type { RateLimit } from './rate-limit.ts';

export type Transport = 'udp' | 'tcp';

export interface ResponderOptions {
  /** TTL of answers that name a PoP, seconds. */
  readonly ttlSeconds: number;
  /** Largest answer by UDP, bytes; what the client offers counts up to this. */
  readonly maxUdpBytes: number;
  /** Sent to who asks for it (RFC 5001). */
  readonly nsid?: string | undefined;
  /** Told to TCP clients that ask (RFC 7828), in ms. */
  readonly tcpIdleMs: number;
}

export interface ResponderDeps extends ComposerDeps {
  readonly cookies: Cookies | undefined;
  readonly rateLimit: RateLimit | undefined;
  /** Unix ms. */
  readonly now: () => number;
}

/** What became of a packet, counted by who owns the socket. Indices: `Tally`. */
export const TALLY = {
  malformed: 24,
  dropped: 25,
  limited: 26,
  truncated: 27,
  subnet: 28,
} as const;
export const TALLY_SIZE = 32;

/**
 * Signatures a second that are made for who may be forged. One costs some 70 microseconds, so that a flood of new names
 * takes a seventh of a core, and real clients beyond it come by TCP or with a cookie.
 */
const SIGNATURES_PER_SECOND = 2_000;

/** A token bucket of one second's depth, which those who are trusted may overdraw. */
class SigningBudget {
  #tokens = SIGNATURES_PER_SECOND;
  #filledAtMs = 0;

  left(nowMs: number): number {
    const gained = (Math.max(0, nowMs - this.#filledAtMs) * SIGNATURES_PER_SECOND) / 1_000;
    this.#tokens = Math.min(SIGNATURES_PER_SECOND, this.#tokens + gained);
    this.#filledAtMs = nowMs;
    return this.#tokens;
  }

  spend(signatures: number): void {
    this.#tokens = Math.max(-SIGNATURES_PER_SECOND, this.#tokens - signatures);
  }
}

/**
 * Answers one packet at a time, with no lock and next to no allocation: the question is copied as it came (which
 * keeps its case, against forgery), records are copied from prepared wire forms, owners are pointers.
 */
export class Responder {
  /** Answers by response code, and the counts named in `TALLY`. Read and reset by the owner. */
  readonly tally = new Float64Array(TALLY_SIZE);
  readonly #options: ResponderOptions;
  readonly #deps: ResponderDeps;
  readonly #query = new Query();
  readonly #answer = new Answer();
  readonly #composer: Composer;
  readonly #budget = new SigningBudget();
  readonly #nsid: Uint8Array | undefined;

  constructor(options: ResponderOptions, deps: ResponderDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#composer = new Composer(options.ttlSeconds, this.#answer, deps);
    this.#nsid = options.nsid ? Buffer.from(options.nsid, 'utf8').subarray(0, 128) : undefined;
  }

  /** The answer to a packet from `client` (4 or 16 bytes), or nothing if it deserves none. Never throws on input. */
  respond(bytes: Uint8Array, client: Uint8Array, transport: Transport): Uint8Array | undefined {
    const query = this.#query;
    const { tally } = this;
    const parsed = query.parse(bytes);
    if (parsed === DROP) {
      tally[TALLY.malformed]! += 1;
      return undefined;
    }
    if (parsed === RCODE.FORMERR) tally[TALLY.malformed]! += 1;
    const nowMs = this.#deps.now();
    const limit = transport === 'tcp' ? 0xffff : Math.min(query.udpSize, this.#options.maxUdpBytes);
    const answer = this.#answer;
    answer.begin(query, limit, this.#optBytes(transport));
    this.#composer.reset();
    let trusted = transport === 'tcp';
    if (parsed === RCODE.NOERROR) {
      const { cookies } = this.#deps;
      if (cookies && query.cookieLength > 0) {
        trusted ||= cookies.valid(
          bytes,
          query.cookieAt,
          query.cookieLength,
          client,
          Math.floor(nowMs / 1000),
        );
      }
      if (query.questionEnd > HEADER_BYTES) this.#composer.compose(query, client, nowMs, 'no');
    } else answer.rcode = parsed;
    // Signing is dear: only what will be sent whole is composed again with signatures.
    let sign = parsed === RCODE.NOERROR && query.dnssecOk && this.#composer.signable;
    if (!trusted && this.#deps.rateLimit) {
      const verdict = this.#deps.rateLimit.judge(client, answer.rcode !== RCODE.NOERROR, nowMs);
      if (verdict !== 'send') {
        tally[TALLY.limited]! += 1;
        if (verdict === 'drop') return undefined;
        answer.truncated = true;
        sign = false;
      }
    }
    if (sign) {
      answer.restart();
      const left = this.#budget.left(nowMs);
      this.#composer.compose(query, client, nowMs, trusted || left > 0 ? 'yes' : 'remembered');
      this.#budget.spend(this.#composer.signatures);
    }
    if (answer.truncated) {
      tally[TALLY.truncated]! += 1;
      answer.empty();
    }
    if (query.edns) this.#writeOpt(client, nowMs, parsed === RCODE.NOERROR, transport);
    tally[answer.rcode]! += 1;
    return answer.finish();
  }

  #optBytes(transport: Transport): number {
    const query = this.#query;
    if (!query.edns) return 0;
    let length = 11;
    if (query.hasSubnet) length += 8 + ((query.subnetSource + 7) >> 3);
    if (query.cookieLength > 0 && this.#deps.cookies) length += 4 + COOKIE_BYTES;
    if (query.nsid && this.#nsid) length += 4 + this.#nsid.length;
    if (query.keepalive && transport === 'tcp') length += 6;
    return length;
  }

  /** The OPT record (RFC 6891 §6): our size, the upper bits of the code, the DO bit as it came, options asked for. */
  #writeOpt(client: Uint8Array, nowMs: number, withOptions: boolean, transport: Transport): void {
    const query = this.#query;
    const answer = this.#answer;
    answer.optStart(this.#options.maxUdpBytes, query.dnssecOk);
    if (withOptions) {
      if (query.hasSubnet) {
        const address = query.subnetFamily === FAMILY_V4 ? query.subnetV4 : query.subnetV6;
        answer.optSubnet(query.subnetFamily, query.subnetSource, this.#composer.scope, address);
      }
      const { cookies } = this.#deps;
      if (cookies && query.cookieLength > 0) {
        const at = answer.option(10, COOKIE_BYTES);
        cookies.write(answer.out, at, query.bytes, query.cookieAt, client, Math.floor(nowMs / 1000));
      }
      if (query.nsid && this.#nsid) answer.out.set(this.#nsid, answer.option(3, this.#nsid.length));
      if (query.keepalive && transport === 'tcp') {
        // In units of 100 ms.
        const units = Math.min(0xffff, Math.floor(this.#options.tcpIdleMs / 100));
        const at = answer.option(11, 2);
        answer.out[at] = units >> 8;
        answer.out[at + 1] = units & 255;
      }
    }
    answer.optEnd();
  }
}
