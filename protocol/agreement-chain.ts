import * as v from 'valibot';
import type { Bodies } from './agreement-bodies.ts';
import {
  chainRoot,
  commitStatement,
  decodeHeader,
  digestOf,
  type Header,
  inSlotOrder,
  type VerifyMessage,
  validSignatures,
} from './agreement-header.ts';
import type { BuiltHeader } from './agreement-height.ts';
import type { AgreementRecords, AgreementWrite, Decided, Epoch, Included } from './agreement-steps.ts';
import { PresageError } from './errors.ts';
import type { Genesis } from './genesis.ts';
import type { PopId } from './ids.ts';
import {
  type Cert,
  type Certified,
  certSchema,
  type DecisionMessage,
  type Digest,
  MAX_HEADERS,
  MAX_ROSTER,
  MAX_SNAPSHOT_BYTES,
} from './messages/agreement.ts';
import { quorumOf } from './quorum.ts';
import { decode, encode } from './wire/codec.ts';
import { bytes, popId, rows } from './wire/schemas.ts';

/** Headers with certificates that are kept; those that change the roster are kept for ever. */
const KEPT_HEADERS = 1_024;
const KEPT_SNAPSHOTS = 2;
/**
 * Headers of one DECISION at most; where a newcomer has more changes of the roster to follow it is told them in parts,
 * or a large cluster that has lived long could let nobody in any more.
 */
const PART_BYTES = 2 << 20;
/** A signature with its slot. */
const SIGNATURE_BYTES = 70;

const HEADER_ROW = {
  name: 'header row',
  maxBytes: 256 * 1024,
  depth: 3,
  elements: 4 + 3 * MAX_ROSTER,
  schema: v.strictTuple([bytes(128 * 1024), certSchema]),
};
const SNAPSHOT_ROW = {
  name: 'snapshot row',
  maxBytes: MAX_SNAPSHOT_BYTES + 128 * 1024,
  depth: 2,
  elements: 4 + MAX_ROSTER,
  schema: v.strictTuple([rows(popId, MAX_ROSTER), bytes(MAX_SNAPSHOT_BYTES)]),
};

/** Records order by height as text. */
export const heightKey = (height: number): string => String(height).padStart(16, '0');

export interface ChainOptions {
  readonly genesis: Genesis;
  readonly founders: readonly PopId[];
  readonly origin: Uint8Array;
  readonly verify: VerifyMessage;
}

/** A header that came with a certificate, and the roster under which it was decided. */
export interface Verified {
  readonly built: BuiltHeader;
  /** Signatures that hold. */
  readonly cert: Cert;
  readonly roster: readonly PopId[];
  /** Headers before it that change the roster. */
  readonly changes: readonly { readonly header: Header; readonly bytes: Uint8Array; readonly cert: Cert }[];
  /** Whether a quorum signed it. */
  readonly final: boolean;
}

interface Kept {
  readonly bytes: Uint8Array;
  readonly cert: Cert;
  readonly changes: boolean;
}

/** How far a way that is told in parts has been followed. */
interface Way {
  readonly roster: readonly PopId[];
  readonly changes: Verified['changes'];
  readonly last: number;
}

/** What has been decided: the tip with its state, and the headers from which a newcomer can verify it. */
export class DecidedChain {
  readonly #options: ChainOptions;
  readonly #headers = new Map<number, Kept>();
  readonly #snapshots: number[] = [];
  #tip: BuiltHeader | undefined;
  /** Members at the tip's height, and from the next on. */
  #before: readonly PopId[];
  #roster: readonly PopId[];
  #way: Way | undefined;

  constructor(options: ChainOptions) {
    this.#options = options;
    this.#before = [];
    this.#roster = inSlotOrder(options.founders);
  }

  get height(): number {
    return this.#tip?.header.height ?? 0;
  }

  get roster(): readonly PopId[] {
    return this.#roster;
  }

  /** The height from which on headers are lacking: beyond the tip where a part of the way there is followed. */
  get lacking(): number {
    return (this.#way?.last ?? this.height) + 1;
  }

  get hash(): Digest {
    return this.#tip?.hash ?? chainRoot(this.#options.genesis);
  }

  /** What the next height begins with. */
  epoch(): Epoch {
    const state = this.#tip?.state ?? this.#options.origin;
    return { height: this.height + 1, chain: this.hash, roster: this.#roster, state };
  }

  /** By slot of the next height: that PoP was included at the tip, or is new. */
  favoured(): boolean[] {
    const included = new Set(this.#tip?.header.included.map(([slot]) => this.#before[slot]));
    return this.#roster.map((pop) => included.has(pop) || !this.#before.includes(pop));
  }

  decided(jumped: boolean, again: boolean, bodies: Pick<Bodies, 'get'>): Decided | undefined {
    if (!this.#tip) return undefined;
    const { header, hash, state } = this.#tip;
    const included = jumped
      ? []
      : header.included.flatMap(([slot, id]): Included[] => {
          const body = bodies.get(id);
          return body ? [{ slot, proposer: this.#before[slot]!, body }] : [];
        });
    return { header, hash, state, roster: this.#roster, included, jumped, again };
  }

  /** Moves the tip on; returns what is to be written. */
  append(
    built: BuiltHeader,
    cert: Cert,
    roster: readonly PopId[],
    changes: Verified['changes'],
  ): AgreementWrite[] {
    const writes: AgreementWrite[] = [];
    this.#way = undefined;
    for (const { header, bytes: raw, cert: signatures } of changes) {
      writes.push(this.#keep(header.height, { bytes: raw, cert: signatures, changes: true }));
    }
    const { header } = built;
    writes.push(
      this.#keep(header.height, { bytes: built.bytes, cert, changes: header.roster !== undefined }),
    );
    const value = encode([roster, built.state]);
    writes.push({ table: 'snapshot', key: heightKey(header.height), value });
    this.#snapshots.push(header.height);
    this.#tip = built;
    this.#before = roster;
    this.#roster = header.roster ?? roster;
    while (this.#snapshots.length > KEPT_SNAPSHOTS) {
      writes.push({ table: 'snapshot', key: heightKey(this.#snapshots.shift()!), value: undefined });
    }
    for (const [height, kept] of this.#headers) {
      if (height > header.height - KEPT_HEADERS) break;
      if (kept.changes) continue;
      this.#headers.delete(height);
      writes.push({ table: 'header', key: heightKey(height), value: undefined });
    }
    return writes;
  }

  /** What a PoP at `height` lacks, or the first part of it, which has no tip; nothing if it lacks nothing. */
  answer(height: number): Omit<DecisionMessage, 'kind' | 'held'> | undefined {
    const tip = this.#tip;
    if (!tip || height > this.height) return undefined;
    const headers: Certified[] = [];
    let length = 0;
    for (const [at, kept] of this.#headers) {
      if (at < height || at >= this.height || !kept.changes) continue;
      length += kept.bytes.length + SIGNATURE_BYTES * kept.cert.length;
      if (headers.length > 0 && (length > PART_BYTES || headers.length >= MAX_HEADERS)) {
        return { headers, snapshot: new Uint8Array(0), tip: undefined };
      }
      headers.push([kept.bytes, kept.cert]);
    }
    const { bytes: raw, cert } = this.#headers.get(this.height)!;
    return { headers, snapshot: tip.state, tip: [raw, cert] };
  }

  /**
   * Follows the certificates of a DECISION from the roster known here to its tip. Undefined if it is of the past, or
   * a part of the way: then `lacking` has risen. Fails with `WIRE_*`: too few signatures, a state that does not hash
   * to what the header says, another chain.
   */
  verify(message: DecisionMessage): Verified | undefined {
    if (!message.tip) {
      if (message.headers.length > 0) this.#way = this.#follow(message.headers, this.#way, undefined);
      return undefined;
    }
    const [raw, cert] = message.tip;
    const header = decodeHeader(raw);
    const next = this.height + 1;
    if (header.height < next) return undefined;
    const way = this.#way && this.#way.last < header.height ? this.#way : undefined;
    const { roster, changes } = this.#follow(message.headers, way, header.height);
    if (header.height === next) this.#descends(header);
    const valid = this.#signatures(header, raw, cert, roster, header.height > next);
    if (digestOf(message.snapshot) !== header.stateHash) {
      throw new PresageError('WIRE_SCHEMA', 'DECISION: the state is not the one that was decided');
    }
    const built = { header, bytes: raw, hash: digestOf(raw), state: message.snapshot, operations: [] };
    return { built, cert: valid, roster, changes, final: valid.length >= quorumOf(roster.length).quorum };
  }

  /** Goes on from `way`, or from the tip here, along headers that change the roster, all of them before `end`. */
  #follow(headers: readonly Certified[], way: Way | undefined, end = Number.POSITIVE_INFINITY): Way {
    let { roster, last } = way ?? { roster: this.#roster, last: this.height };
    const start = last;
    const changes = [...(way?.changes ?? [])];
    for (const [raw, signatures] of headers) {
      const header = decodeHeader(raw);
      if (header.height <= start) continue;
      if (header.height <= last || header.height >= end || !header.roster) {
        throw new PresageError('WIRE_SCHEMA', 'DECISION: headers out of order');
      }
      if (header.height === this.height + 1) this.#descends(header);
      const cert = this.#signatures(header, raw, signatures, roster, false);
      changes.push({ header, bytes: raw, cert });
      roster = header.roster;
      last = header.height;
    }
    return { roster, changes, last };
  }

  #descends(header: Header): void {
    if (header.previous !== this.hash) throw new PresageError('WIRE_ORIGIN', 'DECISION: another chain');
  }

  #signatures(header: Header, raw: Uint8Array, cert: Cert, roster: readonly PopId[], final: boolean): Cert {
    const quorum = quorumOf(roster.length);
    const { genesis, verify } = this.#options;
    const statement = commitStatement(genesis, header.height, digestOf(raw));
    const valid = validSignatures(cert, statement, roster, quorum, verify);
    if (valid.length < (final ? quorum.quorum : quorum.liars + 1)) {
      throw new PresageError('WIRE_SIGNATURE', 'DECISION: too few members signed');
    }
    return valid;
  }

  #keep(height: number, kept: Kept): AgreementWrite {
    this.#headers.set(height, kept);
    return { table: 'header', key: heightKey(height), value: encode([kept.bytes, kept.cert]) };
  }

  /** Reads the disk back; returns how many records were damaged. The newest snapshot that is whole is the tip. */
  restore(records: AgreementRecords): number {
    let damaged = 0;
    const headers = new Map<number, Header>();
    for (const key of [...records.header.keys()].sort()) {
      try {
        const [raw, cert] = decode(records.header.get(key)!, HEADER_ROW);
        const header = decodeHeader(raw);
        headers.set(header.height, header);
        this.#headers.set(header.height, { bytes: raw, cert, changes: header.roster !== undefined });
      } catch {
        damaged += 1;
      }
    }
    for (const key of [...records.snapshot.keys()].sort()) {
      try {
        const [roster, state] = decode(records.snapshot.get(key)!, SNAPSHOT_ROW);
        const height = Number(key);
        const kept = this.#headers.get(height);
        const header = headers.get(height);
        if (!kept || !header || digestOf(state) !== header.stateHash) throw new PresageError('STORE_CORRUPT');
        this.#tip = { header, bytes: kept.bytes, hash: digestOf(kept.bytes), state, operations: [] };
        this.#before = roster;
        this.#roster = header.roster ?? roster;
        this.#snapshots.push(height);
      } catch {
        damaged += 1;
      }
    }
    for (const height of this.#headers.keys()) if (height > this.height) this.#headers.delete(height);
    return damaged;
  }
}
