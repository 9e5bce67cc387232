import { createSocket } from 'node:dgram';
import * as packets from 'dns-packet';
import type { Daemon } from '../daemon.ts';

/** What a PoP answers to one question by UDP, decoded by an independent codec. */
export async function ask(
  pop: Daemon,
  name: string,
  type: packets.RecordType,
): Promise<packets.DecodedPacket> {
  const { hostname, port } = new URL(`dns://${pop.ready.dns}`);
  const socket = createSocket('udp4');
  try {
    const answered = new Promise<Buffer>((resolve, reject) => {
      socket.once('message', resolve).once('error', reject);
      setTimeout(() => reject(new Error(`${pop.ready.name} does not answer`)), 5_000).unref();
    });
    const question = { type: 'query' as const, id: 7, questions: [{ type, name }] };
    socket.send(packets.encode(question), Number(port), hostname);
    return packets.decode(await answered);
  } finally {
    socket.close();
  }
}

/** The texts of a name at a PoP, sorted. */
export async function textsAt(pop: Daemon, name: string): Promise<string[]> {
  const { answers = [] } = await ask(pop, name, 'TXT');
  return answers
    .flatMap((one) => (one.type === 'TXT' ? [Buffer.concat([one.data].flat() as Buffer[]).toString()] : []))
    .sort();
}
