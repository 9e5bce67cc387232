import type { PopId } from '../../protocol/ids.ts';
import type { ProtocolName, TopicName } from '../../protocol/ports.ts';

/** What a PoP that lies puts in the place of what it would have sent. */
export interface Twist {
  gossip(topic: TopicName, bytes: Uint8Array, to: number): readonly Uint8Array[];
  /** Undefined: nothing comes. */
  request(protocol: ProtocolName, bytes: Uint8Array, to: number): Uint8Array | undefined;
  reply(protocol: ProtocolName, bytes: Uint8Array, to: number): Uint8Array | undefined;
}

/** Sees what crosses the network. */
export interface Wiretap {
  published?(from: PopId, topic: TopicName, bytes: Uint8Array): void;
  rejected?(by: PopId, author: PopId, topic: TopicName, code: string): void;
  replied?(from: PopId, to: PopId, protocol: ProtocolName, reply: Uint8Array): void;
}

/** What the operator's revocations mean to the network. */
export interface RevocationReader {
  read(list: Uint8Array): { readonly version: number; readonly revoked: readonly PopId[] };
}
