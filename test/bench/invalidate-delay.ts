import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** Forwards connections, each byte late by the same time in either direction. */
export class Delay {
  readonly #delayMs: number;
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((inner) => this.#join(inner, connect(this.#target, '127.0.0.1')));

  constructor(delayMs: number, target: number) {
    this.#delayMs = delayMs;
    this.#target = target;
  }

  async listen(): Promise<number> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return (this.#server.address() as AddressInfo).port;
  }

  #join(a: Socket, b: Socket): void {
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on('data', (bytes) => setTimeout(() => to.writable && to.write(bytes), this.#delayMs));
      from.on('close', () => {
        this.#sockets.delete(from);
        setTimeout(() => to.destroy(), this.#delayMs);
      });
      from.on('error', () => from.destroy());
    }
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
