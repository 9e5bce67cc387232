import { type ClientRequest, request } from 'node:http';

/** One server-sent event of a PoP: its type and its data. */
export interface FeedEvent {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A feed that broke is opened again after this, ms. */
const RETRY_MS = 500;
/** An event longer than this is not one of ours. */
const EVENT_CHARACTERS = 64 * 1024;

/**
 * Follows `GET /events` of a PoP on its Unix socket. After a break it resumes where it was (`Last-Event-ID`), unless
 * the daemon has been started anew, whose numbers begin again.
 */
export class EventFeed {
  readonly #socket: string;
  readonly #types: readonly string[];
  readonly #heard: (event: FeedEvent) => void;
  #request: ClientRequest | undefined;
  #timer: NodeJS.Timeout | undefined;
  #last = 0;
  #open = false;

  constructor(
    options: { readonly socket: string; readonly types: readonly string[] },
    dependencies: { readonly heard: (event: FeedEvent) => void },
  ) {
    this.#socket = options.socket;
    this.#types = options.types;
    this.#heard = dependencies.heard;
  }

  /** Begins with the daemon's first event. */
  open(): void {
    this.#open = true;
    this.#last = 0;
    this.#connect();
  }

  close(): void {
    this.#open = false;
    clearTimeout(this.#timer);
    this.#request?.destroy();
    this.#request = undefined;
  }

  #connect(): void {
    const outgoing = request(
      {
        socketPath: this.#socket,
        path: `/events?types=${this.#types.join(',')}`,
        headers: { host: 'localhost', 'last-event-id': String(this.#last) },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (piece: string) => {
          text += piece;
          for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
            this.#read(text.slice(0, end));
            text = text.slice(end + 2);
          }
          if (text.length > EVENT_CHARACTERS) text = '';
        });
        response.on('close', () => this.#again(outgoing));
      },
    );
    this.#request = outgoing;
    outgoing.on('error', () => this.#again(outgoing));
    outgoing.end();
  }

  #again(ended: ClientRequest): void {
    if (!this.#open || ended !== this.#request) return;
    this.#request = undefined;
    this.#timer = setTimeout(() => this.#connect(), RETRY_MS);
  }

  #read(block: string): void {
    let type = '';
    let data = '';
    for (const line of block.split('\n')) {
      if (line.startsWith('id: ')) this.#last = Number(line.slice(4)) || this.#last;
      else if (line.startsWith('event: ')) type = line.slice(7);
      else if (line.startsWith('data: ')) data += line.slice(6);
    }
    if (type === '' || data === '') return;
    try {
      const value: unknown = JSON.parse(data);
      if (typeof value === 'object' && value !== null) this.#heard({ type, data: { ...value } });
    } catch {
      // A line that is not JSON is not an event; the next one may be.
    }
  }
}
