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

/** What has been decided: the tip with its state, and the headers from which a newcomer can verify it. */
export class DecidedChain {
  readonly #options: ChainOptions;
  readonly #headers = new Map<number, Kept>();
  readonly #snapshots: number[] = [];
  #tip: BuiltHeader | undefined;
  /** Members at the tip's height, and from the next on. */
  #before: readonly PopId[];
  #roster: readonly PopId[];

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

  /** What a PoP at `height` lacks; nothing if it lacks nothing. */
  answer(height: number): Omit<DecisionMessage, 'kind' | 'held'> | undefined {
    const tip = this.#tip;
    if (!tip || height > this.height) return undefined;
    const headers: Certified[] = [];
    for (const [at, kept] of this.#headers) {
      if (at >= height && at < this.height && kept.changes && headers.length < MAX_HEADERS) {
        headers.push([kept.bytes, kept.cert]);
      }
    }
    const { bytes: raw, cert } = this.#headers.get(this.height)!;
    return { headers, snapshot: tip.state, tip: [raw, cert] };
  }

  /**
   * Follows the certificates of a DECISION from the roster known here to its tip. Undefined if it is of the past.
   * Fails with `WIRE_*`: too few signatures, a state that does not hash to what the header says, another chain.
   */
  verify(message: DecisionMessage): Verified | undefined {
    if (!message.tip) return undefined;
    const [raw, cert] = message.tip;
    const header = decodeHeader(raw);
    const next = this.height + 1;
    if (header.height < next) return undefined;
    let roster = this.#roster;
    let last = this.height;
    const changes: Verified['changes'][number][] = [];
    for (const [bytesOfChange, signatures] of message.headers) {
      const change = decodeHeader(bytesOfChange);
      if (change.height < next) continue;
      if (change.height <= last || change.height >= header.height || !change.roster) {
        throw new PresageError('WIRE_SCHEMA', 'DECISION: headers out of order');
      }
      if (change.height === next) this.#descends(change);
      const valid = this.#signatures(change, bytesOfChange, signatures, roster, false);
      changes.push({ header: change, bytes: bytesOfChange, cert: valid });
      roster = change.roster;
      last = change.height;
    }
    if (header.height === next) this.#descends(header);
    const valid = this.#signatures(header, raw, cert, roster, header.height > next);
    if (digestOf(message.snapshot) !== header.stateHash) {
      throw new PresageError('WIRE_SCHEMA', 'DECISION: the state is not the one that was decided');
    }
    const built = { header, bytes: raw, hash: digestOf(raw), state: message.snapshot, operations: [] };
    return { built, cert: valid, roster, changes, final: valid.length >= quorumOf(roster.length).quorum };
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
