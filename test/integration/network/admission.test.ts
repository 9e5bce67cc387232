import type { Connection } from '@libp2p/interface';
import { multiaddr } from '@multiformats/multiaddr';
import { afterEach, describe, expect, it } from 'vitest';
import { topicName } from '../../../node/adapters/gossip.ts';
import { INNER_PROTOCOLS } from '../../../node/adapters/streams.ts';
import { ADMIT_FRAME_BYTES } from '../../../protocol/admission.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { popIdOf } from '../../../protocol/pop-key.ts';
import { PROTOCOLS } from '../../../protocol/ports.ts';
import { issueRevocations } from '../../../protocol/revocation.ts';
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
import { admissionFrame, dial, openAdmission, type Stranger, startStranger } from './stranger.ts';

const closing: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  await Promise.all(closing.splice(0).map((close) => close()));
});
const pop = async (operator: Operator, options: Parameters<typeof startPop>[1] = {}): Promise<TestPop> => {
  const started = await startPop(operator, options);
  closing.push(() => started.close());
  return started;
};
const stranger = async (options: Parameters<typeof startStranger>[0] = {}): Promise<Stranger> => {
  const started = await startStranger(options);
  closing.push(async () => started.stop());
  return started;
};
const firstAddress = (of: TestPop): string => of.addresses()[0] ?? '';

describe('an uncertified peer', () => {
  it('with stock gossipsub gets no peer, subscription or message, and is closed', async () => {
    const operator = createOperator();
    const first = await pop(operator);
    const second = await pop(operator, { bootstrap: first.addresses() });
    const heard: string[] = [];
    for (const each of [first, second]) {
      each.gossip.subscribe('purge', (author) => {
        heard.push(author);
        return { verdict: 'accept' };
      });
    }
    await until('two PoPs connected', () => first.peers.connected().length === 1);

    const rogue = await stranger();
    const topic = topicName('purge', operator.genesis);
    const overheard: string[] = [];
    rogue.services.pubsub.subscribe(topic);
    rogue.services.pubsub.addEventListener('gossipsub:message', () => overheard.push('message'));
    const connection = await dial(rogue, firstAddress(first));
    const opened = performance.now();

    for (const id of [
      '/meshsub/1.2.0',
      '/ipfs/id/1.0.0',
      ...Object.values(PROTOCOLS).map((spec) => spec.id),
      ...Object.values(INNER_PROTOCOLS).map((spec) => spec.id),
    ]) {
      const stream = await connection.newStream(id).catch(() => undefined);
      if (stream === undefined) continue;
      let bytes = 0;
      stream.addEventListener('message', (event) => {
        bytes += event.data.byteLength;
      });
      await until(`${id} refused`, () => stream.status !== 'open');
      expect(bytes).toBe(0);
    }
    await rogue.services.pubsub.publish(topic, Buffer.from('evil'));
    await pause(300);
    expect(heard).toEqual([]);
    await first.gossip.publish('purge', Buffer.from('among ourselves'));
    await until('the admitted peer heard it', () => heard.length === 1);
    expect(heard).toEqual([first.self]);
    expect(overheard).toEqual([]);
    expect(rogue.services.pubsub.getPeers()).toEqual([]);
    expect(rogue.services.pubsub.getSubscribers(topic)).toEqual([]);
    expect(first.peers.connected()).toEqual([second.self]);

    await until('the stranger is closed', () => connection.status !== 'open');
    expect(performance.now() - opened).toBeGreaterThan(4_000);
    await until(
      'the deadline is counted',
      () => first.metrics.total('presage_admissions_total', { result: 'ADMIT_TIMEOUT' }) === 1,
    );
  });

  it.each(['tls', 'noise'] as const)(
    'is told why over %s when it shows a foreign certificate',
    async (encryption) => {
      const operator = createOperator();
      const other = createOperator();
      const first = await pop(operator);
      const key = newKey();
      const rogue = await stranger({ key, encryption });
      const connection = await dial(rogue, firstAddress(first));
      const { stream, received } = await openAdmission(connection);
      stream.send(admissionFrame(0, certify(other, key)));
      await until('closed', () => connection.status !== 'open');
      expect(Buffer.concat(received)).toEqual(admissionFrame(2, 'ADMIT_CERTIFICATE'));
      expect(first.peers.connected()).toEqual([]);
    },
  );

  const hostile: [string, (operator: Operator) => Buffer[]][] = [
    ['garbage', () => [Buffer.from('\x00\x10GET / HTTP/1.1\r\n')]],
    ['an oversized frame', () => [Buffer.from([0xff, 0xff, 1, 2, 3])]],
    ['more bytes than a frame', () => [Buffer.alloc(4 * ADMIT_FRAME_BYTES + 1, 0)]],
    ['an OK before its certificate', () => [admissionFrame(1)]],
    ['deep nesting', () => [Buffer.concat([Buffer.from([0, 200]), Buffer.alloc(200, 0x91)])]],
    ['an extension type', () => [Buffer.from([0, 3, 0xd4, 0x01, 0x00])]],
    ['an empty certificate', () => [admissionFrame(0, Buffer.alloc(0))]],
  ];
  it.each(hostile)('that sends %s is closed at once', async (_name, frames) => {
    const operator = createOperator();
    const first = await pop(operator);
    const rogue = await stranger();
    const connection = await dial(rogue, firstAddress(first));
    const { stream } = await openAdmission(connection);
    for (const frame of frames(operator)) stream.send(frame);
    await until('closed', () => connection.status !== 'open');
    // It was not the deadline that closed it.
    for (const result of ['OK', 'ADMIT_TIMEOUT'])
      expect(first.metrics.total('presage_admissions_total', { result })).toBe(0);
  });

  it('that sends half a frame and falls silent is closed after the deadline', async () => {
    const first = await pop(createOperator());
    const rogue = await stranger();
    const connection = await dial(rogue, firstAddress(first));
    const { stream } = await openAdmission(connection);
    stream.send(Buffer.from([1, 0, 0x92]));
    await until('closed', () => connection.status !== 'open');
    await until(
      'the deadline is counted',
      () => first.metrics.total('presage_admissions_total', { result: 'ADMIT_TIMEOUT' }) === 1,
    );
  });

  it('cannot hold more than 32 connections open among all strangers, and a PoP still comes in after them', async () => {
    const operator = createOperator();
    const first = await pop(operator);
    const rogues = await Promise.all(Array.from({ length: 5 }, () => stranger()));
    const connections: Connection[] = [];
    for (const rogue of rogues) {
      for (let i = 0; i < 8; i += 1) {
        const dialled = rogue.dial(multiaddr(firstAddress(first)), { force: true });
        connections.push(...(await dialled.then((one) => [one]).catch(() => [])));
      }
    }
    await pause(500);
    const open = connections.filter(({ status }) => status === 'open').length;
    expect(open).toBeLessThanOrEqual(32);
    const second = await pop(operator, { bootstrap: first.addresses() });
    await until('the PoP is in', () => second.peers.connected().length === 1);
  });
});

describe('a certificate', () => {
  /** What a PoP with that certificate comes to at one that is in order. */
  const outcome = async (dialler: TestPop | undefined, first: TestPop, code: string) => {
    await until(
      `refused with ${code}`,
      () => first.metrics.total('presage_admissions_total', { result: code }) > 0,
    );
    expect(first.peers.connected()).toEqual([]);
    if (dialler) expect(dialler.peers.connected()).toEqual([]);
    expect(first.metrics.total('presage_admissions_total', { result: 'OK' })).toBe(0);
  };

  it('of another cluster is refused', async () => {
    const operator = createOperator();
    const first = await pop(operator);
    const second = await pop(createOperator(), { bootstrap: first.addresses() });
    await outcome(second, first, 'ADMIT_CERTIFICATE');
  });

  it('that was stolen does not fit another key', async () => {
    const operator = createOperator();
    const first = await pop(operator);
    const stolen = certify(operator, newKey());
    const rogue = await stranger();
    const { stream } = await openAdmission(await dial(rogue, firstAddress(first)));
    stream.send(admissionFrame(0, stolen));
    await outcome(undefined, first, 'ADMIT_IDENTITY');
  });

  it('that has expired is refused', async () => {
    const operator = createOperator();
    const first = await pop(operator);
    const key = newKey();
    const rogue = await stranger({ key });
    const { stream } = await openAdmission(await dial(rogue, firstAddress(first)));
    stream.send(admissionFrame(0, certify(operator, key, { notBefore: 1, expiry: Date.now() - 1 })));
    await outcome(undefined, first, 'ADMIT_EXPIRED');
  });

  it('that was revoked is refused, and a revocation closes what is open', async () => {
    const operator = createOperator();
    const first = await pop(operator);
    const third = await pop(operator, { bootstrap: first.addresses() });
    const second = await pop(operator, { bootstrap: first.addresses() });
    const down: PopId[] = [];
    first.peers.watch((peer, up) => {
      if (!up) down.push(peer);
    });
    await until('all connected', () =>
      [first, second, third].every((each) => each.peers.connected().length === 2),
    );
    const list = issueRevocations(
      {
        genesis: operator.genesis,
        version: 1,
        revoked: [{ pop: second.self, at: Date.now(), reason: 'lost' }],
      },
      operator.key,
    );
    first.revoke(list);
    await until('shut out', () => !first.peers.connected().includes(second.self));
    expect(down).toEqual([second.self]);
    expect(first.certificateOf(second.self)).toBeUndefined();
    // The list reaches the others through the peer exchange, at the latest on the next beat.
    await until('shut out everywhere', () => !third.peers.connected().includes(second.self));
    await pause(1500);
    expect(first.peers.connected()).toEqual([third.self]);
    await expect(
      first.streams.call(second.self, 'purge', new Uint8Array(), { deadlineMs: 500 }),
    ).rejects.toMatchObject({ code: 'PEER_UNKNOWN' });
  });

  it('lets its PoP in, and its fields are known to all', async () => {
    const operator = createOperator();
    const key = newKey();
    const first = await pop(operator);
    const second = await pop(operator, {
      privateKey: key,
      certificate: certify(operator, key, { name: 'fra1', addressesV6: ['2001:db8::7'] }),
      bootstrap: first.addresses(),
    });
    await until('connected', () => first.peers.connected().includes(second.self));
    expect(popIdOf(key)).toBe(second.self);
    expect(first.certificateOf(second.self)).toMatchObject({ name: 'fra1', addressesV6: ['2001:db8::7'] });
  });
});
