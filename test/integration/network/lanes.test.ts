import type { Connection, Stream } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import { afterEach, describe, expect, it } from 'vitest';
import { topicName } from '../../../node/adapters/gossip.ts';
import { INNER_PROTOCOLS } from '../../../node/adapters/streams.ts';
import { CALL, CANCEL, REFUSED, REPLY } from '../../../node/adapters/streams-frame.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { issueCard } from '../../../protocol/peer-card.ts';
import { popIdOf } from '../../../protocol/pop-key.ts';
import { PROTOCOLS, TOPICS } from '../../../protocol/ports.ts';
import { encode } from '../../../protocol/wire/codec.ts';
import { collectGarbage } from '../../collect-garbage.ts';
import {
  certify,
  createOperator,
  newKey,
  type Operator,
  pause,
  startPop,
  type TestPop,
  until,
} from './cluster.ts';
import { admissionFrame, openAdmission, type Stranger, startStranger } from './stranger.ts';

/** For calls that are answered: the deadline only ends what hangs. */
const PATIENT = { deadlineMs: 60_000 };

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});

/** A peer with a valid certificate and a hostile mind: admitted, it speaks raw bytes. */
async function traitor(
  operator: Operator,
  victim: TestPop,
): Promise<{
  node: Stranger;
  connection: Connection;
  self: PopId;
  key: ReturnType<typeof newKey>;
  certificate: Uint8Array;
}> {
  const key = newKey();
  const certificate = certify(operator, key);
  const node = await startStranger({ key });
  closing.push(async () => node.stop());
  const connection = await node.dial(multiaddr(victim.addresses()[0] ?? ''));
  const { stream, received } = await openAdmission(connection);
  stream.send(admissionFrame(0, certificate));
  await until('its certificate', () => Buffer.concat(received).length > 100);
  stream.send(admissionFrame(1));
  await until('admitted', () => victim.peers.connected().includes(popIdOf(key)));
  return { node, connection, self: popIdOf(key), key, certificate };
}

const pair = async () => {
  const operator = createOperator();
  const victim = await startPop(operator);
  const honest = await startPop(operator, { bootstrap: victim.addresses() });
  closing.push(
    () => victim.close(),
    () => honest.close(),
  );
  await until('connected', () => honest.peers.connected().length === 1);
  return { operator, victim, honest };
};

function frame(length: number, call: number, kind: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const out = Buffer.alloc(9 + payload.length);
  out.writeUInt32BE(length, 0);
  out.writeUInt32BE(call, 4);
  out[8] = kind;
  out.set(payload, 9);
  return out;
}

describe('an admitted peer that misbehaves', () => {
  const chunk = PROTOCOLS.chunk;
  const garbage: [string, Buffer][] = [
    ['a frame above the cap', frame(chunk.maxRequestBytes + 1, 1, CALL)],
    ['a frame of four gigabytes', frame(0xffff_ffff, 1, CALL)],
    ['an unknown kind', frame(0, 1, 77)],
    ['an answer nobody asked for', frame(3, 1, REPLY, Buffer.from('abc'))],
    ['one call number twice', Buffer.concat([frame(0, 5, CALL), frame(0, 5, CALL)])],
    ['a cancellation with a body', frame(4, 1, CANCEL, Buffer.alloc(4))],
  ];
  it.each(garbage)('loses the lane for %s; others are served', async (_name, bytes) => {
    const { operator, victim, honest } = await pair();
    const { connection } = await traitor(operator, victim);
    victim.streams.handle('chunk', async () => {
      await pause(50);
      return Uint8Array.of(1);
    });
    const stream = await connection.newStream(chunk.id);
    stream.send(bytes);
    await until('the lane is cut', () => stream.status !== 'open');
    expect(victim.metrics.total('presage_errors_total')).toBe(1);
    expect(await honest.streams.call(victim.self, 'chunk', new Uint8Array(), PATIENT)).toHaveLength(1);
    expect(connection.status).toBe('open');
  });

  it('is told PEER_BUSY above twice the concurrency, and never occupies more of the handler', async () => {
    const { operator, victim } = await pair();
    const { connection } = await traitor(operator, victim);
    let inWork = 0;
    const released = Promise.withResolvers<void>();
    victim.streams.handle('catalogue', async () => {
      inWork += 1;
      await released.promise;
      return new Uint8Array();
    });
    const allowed = 2 * PROTOCOLS.catalogue.concurrency;
    const stream = await connection.newStream(PROTOCOLS.catalogue.id);
    const send = () => {
      for (let call = 1; call <= 40; call += 1) stream.send(frame(0, call, CALL));
    };
    const refused = await collect(stream, send, 40 - allowed);
    expect(refused).toEqual(new Array(40 - allowed).fill(17));
    expect(inWork).toBe(allowed);
    expect(await collect(stream, released.resolve, allowed)).toEqual(new Array(allowed).fill(REPLY));
    expect(inWork).toBe(allowed);
  });

  it('that asks and does not read does not make memory grow', async () => {
    const { operator, victim, honest } = await pair();
    const { connection } = await traitor(operator, victim);
    let answered = 0;
    victim.streams.handle('chunk', async () => {
      answered += 1;
      return new Uint8Array(1 << 20);
    });
    const stream = await connection.newStream(chunk.id);
    stream.pause();
    for (let call = 1; call <= 5_000; call += 1) {
      if (stream.status !== 'open') break;
      stream.send(frame(0, call, CALL));
      if (call % 100 === 0) await pause(1);
    }
    await pause(500);
    // What fits into the stream's window and the calls that may be in work, and no more.
    expect(answered).toBeLessThan(64);
    expect(await honest.streams.call(victim.self, 'chunk', new Uint8Array(), PATIENT)).toHaveLength(1 << 20);
  });

  it('cannot send a peer elsewhere, nor bring in what the operator has not certified', async () => {
    const { operator, victim, honest } = await pair();
    const { connection, key, certificate, self } = await traitor(operator, victim);
    const stream = await connection.newStream(INNER_PROTOCOLS.peers.id);
    const foreign = createOperator();
    const foreignKey = newKey();
    const honestCertificate = certify(operator, honest.key);
    const cards = [
      // The honest PoP's certificate with addresses of the traitor's choice, signed by the traitor.
      issueCard(honestCertificate, Date.now() + 1e6, ['/ip4/127.0.0.1/tcp/1'], key),
      issueCard(certify(foreign, foreignKey), Date.now(), ['/ip4/127.0.0.1/tcp/1'], foreignKey),
      issueCard(certificate, Date.now(), ['/ip4/127.0.0.1/tcp/1/p2p-circuit'], key),
      Buffer.from('garbage'),
    ];
    const request = encode([cards, null]);
    const kinds = await collect(stream, () => stream.send(frame(request.length, 1, CALL, request)), 1);
    expect(kinds).toEqual([REPLY]);
    expect(victim.metrics.total('presage_errors_total', { code: 'ADMIT_CERTIFICATE' })).toBe(4);
    expect([...victim.known()].sort()).toEqual([honest.self, self].sort());
    await pause(1200);
    expect(victim.peers.connected()).toContain(honest.self);
  });

  it('cannot make others listen to authors without a certificate, nor to oversized messages', async () => {
    const { operator, victim, honest } = await pair();
    const { node, connection } = await traitor(operator, victim);
    const heard: PopId[] = [];
    victim.gossip.subscribe('purge', (author) => {
      heard.push(author);
      return { verdict: 'accept' };
    });
    const topic = topicName('purge', operator.genesis);
    node.services.pubsub.subscribe(topic);
    await node.services.identify.identify(connection);
    await until('gossip meets', () => node.services.pubsub.getSubscribers(topic).length > 0);

    const outsider = await startStranger();
    closing.push(async () => outsider.stop());
    outsider.services.pubsub.subscribe(topic);
    await outsider.dial(node.getMultiaddrs()[0]!);
    await until('the outsider is in the mesh of the traitor', () =>
      node.services.pubsub.getSubscribers(topic).some((peer) => peer.equals(outsider.peerId)),
    );
    // Meshes form from heartbeat to heartbeat, and what comes before is lost: so it is said until it is heard.
    const insist = async (what: string, say: () => Promise<unknown>, heardOf: () => boolean) => {
      for (let attempt = 0; attempt < 100 && !heardOf(); attempt += 1) {
        await say();
        await pause(300);
      }
      expect(heardOf(), what).toBe(true);
    };
    const verdicts = (verdict: string) => victim.metrics.total('presage_gossip_received_total', { verdict });
    await insist(
      'an author without a certificate is ignored',
      () => outsider.services.pubsub.publish(topic, Buffer.from('through a traitor')),
      () => verdicts('ignore') > 0,
    );
    await insist(
      'an oversized message is rejected',
      () => node.services.pubsub.publish(topic, new Uint8Array(TOPICS.purge.maxBytes + 1)),
      () => verdicts('reject') > 0,
    );
    expect(heard).toEqual([]);
    await insist(
      'the honest one is heard',
      () => honest.gossip.publish('purge', Buffer.from('honest')),
      () => heard.includes(honest.self),
    );
  });
});

describe('an answering peer that misbehaves', () => {
  const { id, maxReplyBytes } = PROTOCOLS.chunk;
  const answers: [string, (call: number) => Buffer, string][] = [
    ['more than the cap', (call) => frame(maxReplyBytes + 1, call, REPLY), 'WIRE_TOO_LARGE'],
    ['an unknown kind', (call) => frame(0, call, 99), 'WIRE_SCHEMA'],
    ['a question', (call) => frame(0, call, CALL), 'WIRE_SCHEMA'],
    ['a refusal that is a novel', (call) => frame(100_000, call, REFUSED), 'WIRE_TOO_LARGE'],
    [
      'an answer to another question',
      (call) => frame(3, call + 1, REPLY, Buffer.from('abc')),
      'PEER_TIMEOUT',
    ],
    ['half an answer', (call) => frame(1000, call, REPLY, Buffer.from('abc')), 'PEER_TIMEOUT'],
  ];
  it.each(answers)('with %s fails the call, and the next one works', async (name, answer, code) => {
    const { operator, victim } = await pair();
    const { node, self } = await traitor(operator, victim);
    let asked = 0;
    const serve = (stream: Stream) => {
      stream.addEventListener('message', (event) => {
        const bytes = Buffer.from(event.data.subarray());
        for (let at = 0; at + 9 <= bytes.length; at += 9 + bytes.readUInt32BE(at)) {
          if (bytes[at + 8] !== CALL) continue;
          asked += 1;
          const call = bytes.readUInt32BE(at + 4);
          if (name === 'half an answer' && asked === 2) continue;
          stream.send(asked === 1 ? answer(call) : frame(2, call, REPLY, Buffer.from('ok')));
        }
      });
    };
    await node.handle(id, serve);
    const deadlineMs = code === 'PEER_TIMEOUT' ? 1_500 : PATIENT.deadlineMs;
    const first = victim.streams.call(self, 'chunk', new Uint8Array(), { deadlineMs });
    await expect(first).rejects.toMatchObject({ code });
    // Half an answer occupies the lane until the peer has been silent for long enough.
    if (name === 'half an answer') {
      await pause(1_800);
      await expect(
        victim.streams.call(self, 'chunk', new Uint8Array(), { deadlineMs: 300 }),
      ).rejects.toMatchObject({ code: 'PEER_TIMEOUT' });
    }
    const second = await victim.streams.call(self, 'chunk', new Uint8Array(), PATIENT);
    expect(Buffer.from(second).toString()).toBe('ok');
  });

  it('that does not read what it is asked costs bounded memory, and gets a new lane', async () => {
    const { operator, victim } = await pair();
    const { node, self } = await traitor(operator, victim);
    let lanes = 0;
    await node.handle(PROTOCOLS.purge.id, (stream) => {
      lanes += 1;
      stream.pause();
    });
    collectGarbage();
    const before = process.memoryUsage().arrayBuffers;
    const request = new Uint8Array(PROTOCOLS.purge.maxRequestBytes);
    for (let i = 0; i < 12 || (lanes < 2 && i < 200); i += 1) {
      const calls = Array.from({ length: PROTOCOLS.purge.concurrency }, () =>
        victim.streams.call(self, 'purge', request.slice(), { deadlineMs: 100 }),
      );
      for (const outcome of await Promise.allSettled(calls)) expect(outcome.status).toBe('rejected');
    }
    expect(lanes).toBeGreaterThan(1);
    // Two lanes' worth of requests, and what the other tests of this process have left.
    collectGarbage();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(100 << 20);
  });

  it('that closes its end, resets the stream or does not know the protocol is refused or lost, never awaited', async () => {
    const { operator, victim } = await pair();
    const { node, self } = await traitor(operator, victim);
    const call = () => victim.streams.call(self, 'chunk', new Uint8Array(), { deadlineMs: 100_000 });
    const began = performance.now();
    await expect(call()).rejects.toMatchObject({ code: 'PEER_REFUSED' });
    await node.handle(id, (stream) => void stream.close());
    await expect(call()).rejects.toMatchObject({ code: 'PEER_UNKNOWN' });
    await node.unhandle(id);
    await node.handle(id, (stream) => stream.abort(new Error('no')));
    await expect(call()).rejects.toMatchObject({ code: 'PEER_UNKNOWN' });
    expect(performance.now() - began).toBeLessThan(60_000);
  });
});

/** Kinds of the frames that come back until none has come for a while, or `count` have. */
async function collect(
  stream: Stream,
  send: () => void,
  count = Number.POSITIVE_INFINITY,
): Promise<number[]> {
  const bytes: Buffer[] = [];
  let last = performance.now();
  stream.addEventListener('message', (event) => {
    bytes.push(Buffer.from(event.data.subarray()));
    last = performance.now();
  });
  send();
  const kinds = () => {
    const all = Buffer.concat(bytes);
    const found: number[] = [];
    for (let at = 0; at + 9 <= all.length; at += 9 + all.readUInt32BE(at)) found.push(all[at + 8] ?? -1);
    return found;
  };
  await until(
    'answers',
    () => kinds().length >= count || (bytes.length > 0 && performance.now() - last > 600),
  );
  return kinds();
}
