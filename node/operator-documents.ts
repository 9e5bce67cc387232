import { codeOf, PresageError } from '../protocol/errors.ts';
import {
  decodeDocument,
  decodeWanted,
  encodeDocument,
  encodeWanted,
  type WantedDocument,
} from '../protocol/messages/operator-document.ts';
import type { Clock, Log, Metrics, Peers, Random, Streams } from '../protocol/ports.ts';

/** Half a MiB over a slow path. */
const DEADLINE_MS = 15_000;
/** Peers that are asked in one round; whoever they are, some soon have what was decided. */
const ASKED_AT_ONCE = 8;
/** Between two rounds, doubling, real ms. */
const RETRY_MS = 500;
const RETRY_MAX_MS = 10_000;

export interface OperatorDocumentsDeps {
  readonly streams: Streams;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** What the operator signed and only some PoPs have: gives it to peers that lack it, and asks for what lacks here. */
export class OperatorDocuments {
  readonly #deps: OperatorDocumentsDeps;
  readonly #shelves: ((wanted: WantedDocument) => Uint8Array | undefined)[] = [];
  readonly #waiting = new Set<() => void>();
  #closed = false;

  constructor(deps: OperatorDocumentsDeps) {
    this.#deps = deps;
    deps.streams.handle('charter', async (_from, request) => {
      const wanted = decodeWanted(request);
      for (const shelf of this.#shelves) {
        const sealed = shelf(wanted);
        if (sealed) return encodeDocument(sealed);
      }
      return encodeDocument(undefined);
    });
  }

  /** From where peers are given what they ask for. */
  offer(shelf: (wanted: WantedDocument) => Uint8Array | undefined): void {
    this.#shelves.push(shelf);
  }

  /**
   * Asks peers in turn until one has what `accept` takes. `accept` verifies, and throws a coded error on what is not
   * genuine. Undefined once it is not `needed` any more.
   */
  async obtain<T>(
    wanted: WantedDocument,
    accept: (sealed: Uint8Array) => T,
    needed: () => boolean,
  ): Promise<T | undefined> {
    const { clock } = this.#deps;
    for (let pauseMs = RETRY_MS; ; pauseMs = Math.min(2 * pauseMs, RETRY_MAX_MS)) {
      for (const peer of this.#some()) {
        if (this.#closed || !needed()) return undefined;
        const found = await this.#ask(peer, wanted, accept);
        if (found !== undefined) return found;
      }
      await new Promise<void>((resolve) => clock.after(pauseMs, resolve));
      if (this.#closed || !needed()) return undefined;
    }
  }

  /** Calls `act` once after `delayMs`, real time, unless closed by then. */
  after(delayMs: number, act: () => void): void {
    if (this.#closed) return;
    const cancel = this.#deps.clock.after(delayMs, () => {
      this.#waiting.delete(cancel);
      act();
    });
    this.#waiting.add(cancel);
  }

  /** What waits is called off: a timer would keep the process alive. */
  close(): void {
    this.#closed = true;
    for (const cancel of this.#waiting) cancel();
    this.#waiting.clear();
  }

  async #ask<T>(
    peer: Peers['self'],
    wanted: WantedDocument,
    accept: (sealed: Uint8Array) => T,
  ): Promise<T | undefined> {
    const { streams, log, metrics } = this.#deps;
    try {
      const reply = await streams.call(peer, 'charter', encodeWanted(wanted), { deadlineMs: DEADLINE_MS });
      const sealed = decodeDocument(reply);
      return sealed && accept(sealed);
    } catch (error) {
      const code = codeOf(error);
      if (error instanceof PresageError && !code.startsWith('PEER_')) metrics.count('errors_total', { code });
      log.debug('a peer did not give a document', { peer, kind: wanted.kind, code });
      return undefined;
    }
  }

  /** Connected peers in random order, so that the whole cluster does not ask the same one. */
  #some(): Peers['self'][] {
    const { peers, random } = this.#deps;
    const order = peers.connected().map((peer) => ({ peer, at: random.float() }));
    return order
      .sort((a, b) => a.at - b.at)
      .slice(0, ASKED_AT_ONCE)
      .map(({ peer }) => peer);
  }
}
