import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * `open`: bytes pass. `hole`: nothing passes and nothing is said of it, as where packets are lost; what was under way
 * goes on when it opens. `cut`: connections break and are refused.
 */
export type LinkState = 'open' | 'hole' | 'cut';

interface Connection {
  readonly from: number;
  readonly to: number;
  readonly ends: readonly [Socket, Socket];
}

/** A PoP's pid, by which the caller of a connection is known; undefined while it does not run. */
type PidOf = (index: number) => number | undefined;

/** Every connection between the PoPs of a test passes here, so that each pair's link can be broken. */
export class Links {
  readonly #states = new Map<string, LinkState>();
  readonly #connections = new Set<Connection>();
  readonly #servers: Server[] = [];
  #pids: PidOf = () => undefined;
  #count = 0;
  /** Hears of bytes that pass between two PoPs. */
  passing: (from: number, to: number, bytes: number) => void = () => undefined;

  /** Who runs as which process, asked for at each connection. */
  knows(pids: PidOf): void {
    this.#pids = pids;
  }

  /** A door to the PoP that listens on `port`; gives the port of the door. */
  async open(index: number, port: number): Promise<number> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
      socket.on('error', () => undefined);
      this.#join(socket, index, port);
    });
    this.#servers.push(server);
    this.#count = Math.max(this.#count, index + 1);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return (server.address() as AddressInfo).port;
  }

  /** Sets the links between `some` and all others, both ways. */
  between(some: readonly number[], state: LinkState): void {
    for (const a of some) {
      for (let b = 0; b < this.#count; b += 1) if (!some.includes(b)) this.link(a, b, state);
    }
  }

  link(a: number, b: number, state: LinkState): void {
    this.#states.set(nameOf(a, b), state);
    for (const connection of this.#connections)
      if (nameOf(connection.from, connection.to) === nameOf(a, b)) this.#apply(connection);
  }

  close(): void {
    for (const server of this.#servers) server.close();
    for (const { ends } of this.#connections) for (const end of ends) end.destroy();
  }

  #join(inner: Socket, to: number, port: number): void {
    const from = this.#callerOf(inner.remotePort ?? 0);
    if (from === undefined || this.#stateOf(from, to) === 'cut') {
      inner.destroy();
      return;
    }
    const outer = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const connection: Connection = { from, to, ends: [inner, outer] };
    this.#connections.add(connection);
    for (const [source, sink, a, b] of [
      [inner, outer, from, to],
      [outer, inner, to, from],
    ] as const) {
      source.setNoDelay(true);
      source.on('error', () => undefined);
      source.on('data', (bytes) => {
        this.passing(a, b, bytes.length);
        if (!sink.write(bytes)) source.pause();
      });
      sink.on('drain', () => this.#stateOf(from, to) === 'open' && source.resume());
      source.on('end', () => sink.end());
      source.on('close', () => {
        this.#connections.delete(connection);
        // One that is in a hole does not hear of the other's end.
        if (this.#stateOf(from, to) !== 'hole') sink.destroy();
      });
    }
    this.#apply(connection);
  }

  #apply({ from, to, ends }: Connection): void {
    const state = this.#stateOf(from, to);
    for (const end of ends) {
      if (state === 'cut') end.destroy();
      else if (state === 'hole') end.pause();
      else end.resume();
    }
  }

  #stateOf(a: number, b: number): LinkState {
    return this.#states.get(nameOf(a, b)) ?? 'open';
  }

  /** Which PoP has a connection's other end: the one whose process holds the socket of that local port. */
  #callerOf(port: number): number | undefined {
    const hex = port.toString(16).toUpperCase().padStart(4, '0');
    const row = readFileSync('/proc/net/tcp', 'latin1')
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .find((fields) => fields[1]?.endsWith(`:${hex}`) && fields[3] === '01');
    const inode = row?.[9];
    if (inode === undefined) return undefined;
    for (let index = 0; index < this.#count; index += 1) {
      const pid = this.#pids(index);
      if (pid !== undefined && holds(pid, `socket:[${inode}]`)) return index;
    }
    return undefined;
  }
}

const nameOf = (a: number, b: number): string => `${Math.min(a, b)}-${Math.max(a, b)}`;

function holds(pid: number, socket: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      try {
        return readlinkSync(`/proc/${pid}/fd/${fd}`) === socket;
      } catch {
        return false;
      }
    });
  } catch {
    return false;
  }
}
