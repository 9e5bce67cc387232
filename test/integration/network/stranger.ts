import type { KeyObject } from 'node:crypto';
import { gossipsub } from '@chainsafe/libp2p-gossipsub';
import { privateKeyFromRaw } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import type { Connection, Stream } from '@libp2p/interface';
import { noise } from '@libp2p/noise';
import { tcp } from '@libp2p/tcp';
import { tls } from '@libp2p/tls';
import { yamux } from '@libp2p/yamux';
import { multiaddr } from '@multiformats/multiaddr';
import { createLibp2p } from 'libp2p';
import { ADMIT_PROTOCOL } from '../../../protocol/admission.ts';
import { encode } from '../../../protocol/wire/codec.ts';
import { newKey } from './cluster.ts';

const libp2pKey = (key: KeyObject) => {
  const { d, x } = key.export({ format: 'jwk' });
  return privateKeyFromRaw(
    Buffer.concat([Buffer.from(d ?? '', 'base64url'), Buffer.from(x ?? '', 'base64url')]),
  );
};

/** A libp2p node as it comes, with stock identify and gossipsub: what anybody on the network can run. */
export async function startStranger(options: { key?: KeyObject; encryption?: 'tls' | 'noise' } = {}) {
  return createLibp2p({
    privateKey: libp2pKey(options.key ?? newKey()),
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [options.encryption === 'noise' ? noise() : tls()],
    streamMuxers: [yamux()],
    services: {
      identify: identify(),
      pubsub: gossipsub({ allowPublishToZeroTopicPeers: true, scoreParams: { IPColocationFactorWeight: 0 } }),
    },
  });
}
export type Stranger = Awaited<ReturnType<typeof startStranger>>;

export const dial = (stranger: Stranger, address: string): Promise<Connection> =>
  stranger.dial(multiaddr(address));

/** Opens the admission stream and collects what comes back. */
export async function openAdmission(connection: Connection): Promise<{ stream: Stream; received: Buffer[] }> {
  const stream = await connection.newStream(ADMIT_PROTOCOL);
  const received: Buffer[] = [];
  stream.addEventListener('message', (event) => received.push(Buffer.from(event.data.subarray())));
  return { stream, received };
}

/** A frame of the admission protocol. */
export function admissionFrame(...fields: unknown[]): Buffer {
  const payload = encode(fields);
  const frame = Buffer.alloc(2 + payload.length);
  frame.writeUInt16BE(payload.length);
  frame.set(payload, 2);
  return frame;
}
