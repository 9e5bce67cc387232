import { createSocket } from 'node:dgram';
import * as packets from 'dns-packet';
import type { Daemon } from '../daemon.ts';

/** What a PoP answers to one question by UDP, decoded by an independent codec. */
export async function ask(
  pop: Daemon,
  name: string,
  type: packets.RecordType,
  options: packets.PacketOpt[] = [],
): Promise<packets.DecodedPacket> {
  const { hostname, port } = new URL(`dns://${pop.ready.dns}`);
  const socket = createSocket('udp4');
  try {
    const answered = new Promise<Buffer>((resolve, reject) => {
      socket.once('message', resolve).once('error', reject);
      setTimeout(() => reject(new Error(`${pop.ready.name} does not answer`)), 5_000).unref();
    });
    const opt = { type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, options } as never;
    const question = { type: 'query' as const, id: 7, questions: [{ type, name }], additionals: [opt] };
    socket.send(packets.encode(question), Number(port), hostname);
    return packets.decode(await answered);
  } finally {
    socket.close();
  }
}

/** The addresses that a PoP answers for a client of a network, told by its subnet (RFC 7871). */
export async function addressesFor(pop: Daemon, name: string, network: string): Promise<string[]> {
  const { answers = [] } = await ask(pop, name, 'A', [
    { code: 'CLIENT_SUBNET', family: 1, sourcePrefixLength: 24, scopePrefixLength: 0, ip: network } as never,
  ]);
  return answers.flatMap((one) => (one.type === 'A' ? [one.data] : []));
}

/** The texts of a name at a PoP, sorted. */
export async function textsAt(pop: Daemon, name: string): Promise<string[]> {
  const { answers = [] } = await ask(pop, name, 'TXT');
  return answers
    .flatMap((one) => (one.type === 'TXT' ? [Buffer.concat([one.data].flat() as Buffer[]).toString()] : []))
    .sort();
}
