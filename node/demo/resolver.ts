import { createSocket, type Socket } from 'node:dgram';
import * as dnsPacket from 'dns-packet';
import { PresageError } from '../../protocol/errors.ts';

/** Address of a name server. */
export interface NameServer {
  readonly address: string;
  readonly port: number;
}

/** A name server that has not answered by then is passed over, ms. */
const PATIENCE_MS = 400;
/** Answers are kept for their TTL, but no longer than this real time: the demo's demand clock runs fast. */
const KEEP_MS = 2_000;
/** A name server that failed is asked last for this long, ms. */
const SHUN_MS = 3_000;
const CLIENT_PREFIX_BITS = 24;

interface Pending {
  readonly resolve: (packet: dnsPacket.DecodedPacket) => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * The recursive resolver of one region: asks the cluster's name servers, the nearest first, on behalf of its clients
 * with EDNS client subnet (RFC 7871), and keeps answers for the networks that their scope covers.
 */
export class Resolver {
  readonly #servers: readonly NameServer[];
  readonly #shunnedUntil = new Map<string, number>();
  readonly #cache = new Map<string, { addresses: readonly string[]; until: number }>();
  /** Scope length that the servers gave last for a name; tells under which key an answer is kept. */
  readonly #scopes = new Map<string, number>();
  readonly #pending = new Map<number, Pending>();
  readonly #inFlight = new Map<string, Promise<readonly string[]>>();
  #socket: Socket | undefined;
  #id = 0;
  #queries = 0;

  /** `servers` in the order in which they are preferred. */
  constructor(servers: readonly NameServer[]) {
    this.#servers = servers;
  }

  async open(): Promise<void> {
    const socket = createSocket('udp4');
    socket.on('message', (message) => this.#receive(message));
    // An unreachable server (ICMP) shows as an error on some systems; its query then runs into its deadline.
    socket.on('error', () => undefined);
    await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
    this.#socket = socket;
  }

  /** Queries sent so far. */
  get queries(): number {
    return this.#queries;
  }

  /** IPv4 addresses of `name` for a client, in the order of the answer. Fails with `PEER_TIMEOUT` if no server answers. */
  async resolve(name: string, client: string): Promise<readonly string[]> {
    const key = cacheKey(name, client, this.#scopes.get(name) ?? CLIENT_PREFIX_BITS);
    const kept = this.#cache.get(key);
    if (kept !== undefined && kept.until > Date.now()) return kept.addresses;
    let query = this.#inFlight.get(key);
    if (query === undefined) {
      query = this.#query(name, client).finally(() => this.#inFlight.delete(key));
      this.#inFlight.set(key, query);
    }
    return query;
  }

  /** Forgets all answers, as when a client could not connect. */
  forget(): void {
    this.#cache.clear();
  }

  close(): void {
    for (const pending of this.#pending.values()) clearTimeout(pending.timer);
    this.#pending.clear();
    this.#socket?.close();
    this.#socket = undefined;
  }

  async #query(name: string, client: string): Promise<readonly string[]> {
    const now = Date.now();
    const shunned = (server: NameServer) => (this.#shunnedUntil.get(server.address) ?? 0) > now;
    const order = [...this.#servers].sort((a, b) => Number(shunned(a)) - Number(shunned(b)));
    for (const server of order) {
      const reply = await this.#ask(server, name, client);
      const addresses = (reply?.answers ?? []).flatMap((answer) =>
        answer.type === 'A' ? [{ address: answer.data, ttl: answer.ttl ?? 0 }] : [],
      );
      if (reply === undefined || addresses.length === 0) {
        this.#shunnedUntil.set(server.address, now + SHUN_MS);
        continue;
      }
      const scope = scopeOf(reply);
      if (scope !== undefined) this.#scopes.set(name, scope);
      const key = cacheKey(name, client, scope ?? CLIENT_PREFIX_BITS);
      const ttlMs = Math.min(KEEP_MS, ...addresses.map(({ ttl }) => ttl * 1000));
      const list = addresses.map(({ address }) => address);
      this.#cache.set(key, { addresses: list, until: Date.now() + ttlMs });
      return list;
    }
    throw new PresageError('PEER_TIMEOUT', `no name server answered for ${name}`);
  }

  #ask(server: NameServer, name: string, client: string): Promise<dnsPacket.DecodedPacket | undefined> {
    const socket = this.#socket;
    if (socket === undefined) return Promise.resolve(undefined);
    this.#id = (this.#id + 1) & 0xffff;
    const id = this.#id;
    this.#queries += 1;
    const packet = dnsPacket.encode({
      type: 'query',
      id,
      flags: 0,
      questions: [{ type: 'A', class: 'IN', name }],
      additionals: [
        {
          type: 'OPT',
          name: '.',
          udpPayloadSize: 1232,
          extendedRcode: 0,
          ednsVersion: 0,
          flags: 0,
          flag_do: false,
          options: [
            {
              code: 8,
              type: 'CLIENT_SUBNET',
              family: 1,
              sourcePrefixLength: CLIENT_PREFIX_BITS,
              ip: network(client, CLIENT_PREFIX_BITS),
            },
          ],
        },
      ],
    });
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        resolve(undefined);
      }, PATIENCE_MS);
      this.#pending.set(id, { resolve, timer });
      socket.send(packet, server.port, server.address);
    });
  }

  #receive(message: Buffer): void {
    let packet: dnsPacket.DecodedPacket;
    try {
      packet = dnsPacket.decode(message);
    } catch {
      return;
    }
    const pending = this.#pending.get(packet.id ?? -1);
    if (pending === undefined || packet.type !== 'response') return;
    this.#pending.delete(packet.id ?? -1);
    clearTimeout(pending.timer);
    pending.resolve(packet);
  }
}

/** Scope prefix length of the answer's client-subnet option, if it has one. */
function scopeOf(packet: dnsPacket.DecodedPacket): number | undefined {
  for (const additional of packet.additionals ?? []) {
    if (additional.type !== 'OPT') continue;
    for (const option of additional.options as readonly dnsPacket.PacketOpt[]) {
      if (Number(option.code) === 8 && 'scopePrefixLength' in option) return Number(option.scopePrefixLength);
    }
  }
  return undefined;
}

/** `address` with all but its first `bits` bits zero. */
export function network(address: string, bits: number): string {
  return address
    .split('.')
    .map((part, i) => Number(part) & (0xff << (8 - Math.max(0, Math.min(8, bits - 8 * i)))) & 0xff)
    .join('.');
}

const cacheKey = (name: string, client: string, bits: number): string =>
  `${name} ${network(client, bits)}/${bits}`;
