import { createHash, type KeyObject } from 'node:crypto';
import * as v from 'valibot';
import { type Certificate, inspect, verify } from '../../protocol/certificate.ts';
import { PresageError } from '../../protocol/errors.ts';
import type { Genesis } from '../../protocol/genesis.ts';
import type { PopId } from '../../protocol/ids.ts';
import { CARD_BYTES, issueCard, type PeerCard, verifyCard } from '../../protocol/peer-card.ts';
import { REVOCATION_BYTES, type RevocationList, verifyRevocations } from '../../protocol/revocation.ts';
import { decode, encode } from '../../protocol/wire/codec.ts';
import { bytes, rows } from '../../protocol/wire/schemas.ts';

/** PoPs that are remembered; more than any cluster of the design's size has. */
const KNOWN_POPS = 1024;
/** One answer of `/presage/peers/1` with room for the envelope. */
const EXCHANGE_BYTES = (1 << 20) - REVOCATION_BYTES - 1024;

const exchangeSchema = v.strictTuple([
  rows(bytes(CARD_BYTES), KNOWN_POPS),
  v.nullable(bytes(REVOCATION_BYTES)),
]);

interface Entry {
  certificate: Certificate;
  card?: { readonly bytes: Uint8Array; readonly card: PeerCard; readonly digest: string };
}

/** What is known of the cluster's PoPs, connected or not: certificates, addresses, revocations. */
export interface Directory {
  /** The valid certificate of a PoP that has not been revoked. */
  certificateOf(pop: PopId): Certificate | undefined;
  /** Verifies a certificate presented by `remote` and remembers it. Throws `ADMIT_*`. */
  check(certificate: Uint8Array, remote: PopId): Certificate;
  /** The own certificate, whose time is for the peers to judge: clocks get mended while a daemon runs. */
  readonly own: Certificate;
  isRevoked(pop: PopId): boolean;
  /** Adopts a newer revocation list; returns the identities that it shuts out anew. Throws `ADMIT_CERTIFICATE`. */
  revoke(list: Uint8Array): readonly PopId[];
  /** Adopts a card if it is valid and newer. Throws `ADMIT_*`. */
  learn(card: Uint8Array): PeerCard | undefined;
  /** The others with a valid certificate. */
  known(): readonly PopId[];
  setOwn(addresses: readonly string[]): void;
  /** Own card alone, or every card; with the newest revocation list. */
  exchange(all: boolean): Uint8Array;
  /** Takes what a peer sent; returns what was refused. */
  receive(message: Uint8Array): readonly PresageError[];
  /** Cards worth keeping over a restart. */
  cards(): readonly Uint8Array[];
  readonly revocations: Uint8Array | undefined;
  /** Forgets what has expired; returns those identities. */
  expire(): readonly PopId[];
}

export interface DirectoryOptions {
  readonly self: PopId;
  readonly privateKey: KeyObject;
  readonly certificate: Uint8Array;
  readonly operatorKey: Uint8Array;
  readonly genesis: Genesis;
}
export interface DirectoryDeps {
  readonly now: () => number;
  readonly learned: (card: PeerCard, bytes: Uint8Array) => void;
  readonly revoked: (pops: readonly PopId[], list: Uint8Array) => void;
}

export function createDirectory(options: DirectoryOptions, deps: DirectoryDeps): Directory {
  const { self, operatorKey, genesis } = options;
  const entries = new Map<PopId, Entry>();
  let revocations: { readonly bytes: Uint8Array; readonly list: RevocationList } | undefined;
  let shutOut: ReadonlySet<PopId> = new Set();
  let ownCard: Uint8Array | undefined;
  const own = inspect(options.certificate, operatorKey, genesis);
  if (own.pop !== self) throw new PresageError('ADMIT_IDENTITY');
  /** Digests of the cards held: every peer sends them all, and two signatures each take their time. */
  const seen = new Set<string>();
  const forget = (pop: PopId) => {
    const card = entries.get(pop)?.card;
    if (card) seen.delete(card.digest);
    entries.delete(pop);
  };

  const remember = (certificate: Certificate): Entry => {
    const present = entries.get(certificate.pop);
    if (present) {
      // An operator renews by issuing anew: the certificate that lasts longer holds.
      if (certificate.expiry >= present.certificate.expiry) present.certificate = certificate;
      return present;
    }
    if (entries.size >= KNOWN_POPS) throw new PresageError('ADMIT_CROWDED', 'too many PoPs are known');
    const entry: Entry = { certificate };
    entries.set(certificate.pop, entry);
    return entry;
  };

  const directory: Directory = {
    certificateOf(pop) {
      const certificate = entries.get(pop)?.certificate;
      if (!certificate || certificate.expiry <= deps.now() || shutOut.has(pop)) return undefined;
      return certificate;
    },
    check(presented, remote) {
      const certificate = verify(presented, operatorKey, genesis, deps.now());
      if (certificate.pop !== remote) throw new PresageError('ADMIT_IDENTITY');
      if (shutOut.has(remote)) throw new PresageError('ADMIT_REVOKED');
      remember(certificate);
      return certificate;
    },
    own,
    isRevoked: (pop) => shutOut.has(pop),
    revoke(presented) {
      const list = verifyRevocations(presented, operatorKey, genesis);
      if (revocations && list.version <= revocations.list.version) return [];
      revocations = { bytes: presented, list };
      const before = shutOut;
      shutOut = new Set(list.revoked.map(({ pop }) => pop));
      const anew = [...shutOut].filter((pop) => !before.has(pop));
      for (const pop of anew) forget(pop);
      deps.revoked(anew, presented);
      return anew;
    },
    learn(presented) {
      const digest = createHash('sha256').update(presented).digest('hex');
      if (seen.has(digest)) return undefined;
      const card = verifyCard(presented, operatorKey, genesis, deps.now());
      const { pop } = card.certificate;
      if (pop === self) {
        seen.add(digest);
        return undefined;
      }
      if (shutOut.has(pop)) throw new PresageError('ADMIT_REVOKED');
      const entry = remember(card.certificate);
      if (entry.card && entry.card.card.sequence >= card.sequence) return undefined;
      if (entry.card) seen.delete(entry.card.digest);
      seen.add(digest);
      entry.card = { bytes: presented, card, digest };
      deps.learned(card, presented);
      return card;
    },
    known: () =>
      [...entries.keys()].filter((pop) => pop !== self && directory.certificateOf(pop) !== undefined),
    setOwn(addresses) {
      ownCard = issueCard(options.certificate, Math.floor(deps.now()), addresses, options.privateKey);
    },
    exchange(all) {
      const cards = ownCard ? [ownCard] : [];
      let size = ownCard?.length ?? 0;
      for (const { card } of all ? entries.values() : []) {
        if (!card || cards.length >= KNOWN_POPS) continue;
        size += card.bytes.length + 3;
        if (size > EXCHANGE_BYTES) break;
        cards.push(card.bytes);
      }
      return encode([cards, revocations?.bytes ?? null]);
    },
    receive(message) {
      const [cards, list] = decode(message, {
        name: 'peers',
        maxBytes: 1 << 20,
        depth: 2,
        elements: KNOWN_POPS + 4,
        schema: exchangeSchema,
      });
      const refused: PresageError[] = [];
      const attempt = (take: () => void) => {
        try {
          take();
        } catch (error) {
          if (!(error instanceof PresageError)) throw error;
          refused.push(error);
        }
      };
      if (list) attempt(() => directory.revoke(list));
      for (const card of cards) attempt(() => directory.learn(card));
      return refused;
    },
    cards: () => [...entries.values()].flatMap(({ card }) => (card ? [card.bytes] : [])),
    get revocations() {
      return revocations?.bytes;
    },
    expire() {
      const gone = [...entries].filter(([, { certificate }]) => certificate.expiry <= deps.now());
      for (const [pop] of gone) forget(pop);
      return gone.map(([pop]) => pop);
    },
  };
  return directory;
}
