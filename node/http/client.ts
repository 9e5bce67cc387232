import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Http2Session, ServerHttp2Stream } from 'node:http2';
import { isIP, type Socket } from 'node:net';
import ipaddr from 'ipaddr.js';
import type { RegionId } from '../../protocol/ids.ts';

/** What the edge remembers of a connection's client: its region and a hash of its prefix, never its address. */
export interface Client {
  readonly region: RegionId;
  readonly prefixHash: string;
}

/** Places clients once per connection. */
export class Clients {
  readonly #key: KeyObject;
  readonly #known = new WeakMap<object, Client>();
  readonly #regionOf: (address: string) => RegionId;

  /** `key`: under which prefixes are hashed. */
  constructor(regionOf: (address: string) => RegionId, key: Uint8Array = randomBytes(32)) {
    this.#regionOf = regionOf;
    this.#key = createSecretKey(key);
  }

  of(message: IncomingMessage): Client {
    // Over HTTP/2 each request has a stand-in for the socket; what lasts is the session.
    const { stream } = message as IncomingMessage & { stream?: ServerHttp2Stream };
    return this.ofConnection(stream?.session ?? message.socket);
  }

  /** The client of a connection, be it a socket or a session of HTTP/2. */
  ofConnection(connection: Socket | Http2Session): Client {
    const known = this.#known.get(connection);
    if (known) return known;
    const socket = 'socket' in connection ? connection.socket : connection;
    const address = socket.remoteAddress ?? '';
    const client = { region: this.#regionOf(address), prefixHash: this.#hash(prefixOf(address)) };
    this.#known.set(connection, client);
    return client;
  }

  #hash(prefix: string): string {
    return createHmac('sha256', this.#key).update(prefix).digest('hex').slice(0, 16);
  }
}

/** An address cut to its /24 (IPv4, also when mapped into IPv6) or /48. */
export function prefixOf(address: string): string {
  const zone = address.indexOf('%');
  const bare = zone < 0 ? address : address.slice(0, zone);
  if (isIP(bare) === 0) return '';
  const parsed = ipaddr.process(bare);
  const bytes = parsed.toByteArray();
  return bytes.slice(0, bytes.length === 4 ? 3 : 6).join('.');
}
