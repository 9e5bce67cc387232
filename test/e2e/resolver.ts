import { createSocket } from 'node:dgram';
import * as packets from 'dns-packet';
import type { Daemon } from './daemon.ts';

const TRIES = 20;
const TRY_MS = 1_000;

/** Addresses that a PoP answers for a client of a network, told by EDNS client subnet (RFC 7871). UDP may lose: asks again. */
export async function resolve(pop: Daemon, name: string, subnet?: string): Promise<string[]> {
  const { hostname, port } = new URL(`dns://${pop.ready.dns}`);
  const option = {
    code: 'CLIENT_SUBNET',
    family: 1,
    sourcePrefixLength: 24,
    scopePrefixLength: 0,
    ip: subnet,
  };
  const edns = { type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options: [option] } as never;
  const query = packets.encode({
    type: 'query',
    id: 7,
    questions: [{ type: 'A', name }],
    additionals: subnet === undefined ? [] : [edns],
  });
  const socket = createSocket('udp4');
  try {
    const answered = new Promise<Buffer>((settle) => socket.on('message', settle));
    for (let attempt = 0; attempt < TRIES; attempt += 1) {
      socket.send(query, Number(port), hostname);
      const silence = new Promise<void>((settle) => setTimeout(settle, TRY_MS));
      const message = await Promise.race([answered, silence]);
      if (!message) continue;
      return (packets.decode(message).answers ?? []).flatMap((answer) =>
        answer.type === 'A' ? [String(answer.data)] : [],
      );
    }
    throw new Error(`no answer for ${name}`);
  } finally {
    socket.close();
  }
}
