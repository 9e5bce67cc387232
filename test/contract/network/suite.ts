import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PresageError } from '../../../protocol/errors.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { type Gossip, type Peers, PROTOCOLS, type Streams, TOPICS } from '../../../protocol/ports.ts';

/** One PoP's three network ports. */
export interface NetworkPorts {
  readonly gossip: Gossip;
  readonly streams: Streams;
  readonly peers: Peers;
}
/** A cluster of connected PoPs, however it is made; time passes in `settle` on a virtual network. */
export interface NetworkUnderTest {
  readonly pops: readonly NetworkPorts[];
  /** Waits until `condition` holds or a generous time has passed. */
  settle(condition: () => boolean): Promise<void>;
  /** Takes a PoP away, for ever. */
  remove(index: number): Promise<void>;
  close(): Promise<void>;
}

const STRANGER = '12D3KooWLjKcGqsrZgyF3zYBA7H8YaU3QTpYTYpu72zvzPqds2o1' as PopId;
const CALL = { deadlineMs: 60_000 };

/** What actors rely on; every implementation of the ports is held to it. */
export function networkContract(name: string, create: (pops: number) => Promise<NetworkUnderTest>): void {
  describe(`${name}: the network ports`, () => {
    let net: NetworkUnderTest;
    let a: NetworkPorts;
    let b: NetworkPorts;
    let c: NetworkPorts;
    beforeAll(async () => {
      net = await create(3);
      [a, b, c] = net.pops as unknown as [NetworkPorts, NetworkPorts, NetworkPorts];
      await net.settle(() => net.pops.every(({ peers }) => peers.connected().length === 2));
    });
    afterAll(() => net.close());

    describe('Peers', () => {
      it('lists the others and not oneself', () => {
        for (const { peers } of net.pops) {
          expect([...peers.connected(), peers.self].sort()).toEqual(net.pops.map((p) => p.peers.self).sort());
        }
      });
      it('measures round trips to connected peers and to nobody else', async () => {
        await net.settle(() => a.peers.roundTripMs(b.peers.self) !== undefined);
        expect(a.peers.roundTripMs(b.peers.self)).toBeGreaterThanOrEqual(0);
        expect(a.peers.roundTripMs(STRANGER)).toBeUndefined();
      });
    });

    describe('Gossip', () => {
      it('reaches every subscriber but the author, with the author named', async () => {
        const heard: [string, PopId, string][] = [];
        for (const { gossip, peers } of net.pops) {
          gossip.subscribe('purge', (author, bytes) => {
            heard.push([peers.self, author, Buffer.from(bytes).toString()]);
            return { verdict: 'accept' };
          });
        }
        // Gossip may lose what is sent before the subscriptions are known; it is sent again.
        for (let i = 0; i < 20 && heard.length < 2; i += 1) {
          heard.length = 0;
          await a.gossip.publish('purge', Buffer.from(`hello ${i}`));
          const deadline = Date.now() + 300;
          await net.settle(() => heard.length >= 2 || Date.now() > deadline);
        }
        expect(heard.map(([to]) => to).sort()).toEqual([b.peers.self, c.peers.self].sort());
        expect(heard.every(([, author]) => author === a.peers.self)).toBe(true);
      });
      it('takes the bytes as they are when it is called', async () => {
        const heard: string[] = [];
        b.gossip.subscribe('purge', (_author, bytes) => {
          heard.push(Buffer.from(bytes).toString());
          return { verdict: 'accept' };
        });
        const buffer = Buffer.from('before');
        const published = a.gossip.publish('purge', buffer);
        buffer.write('beyond');
        await published;
        await net.settle(() => heard.length > 0);
        expect(heard).toEqual(['before']);
      });
      it('takes a message of the full size and refuses a larger one', async () => {
        const sizes: number[] = [];
        b.gossip.subscribe('purge', (_author, bytes) => {
          sizes.push(bytes.length);
          return { verdict: 'accept' };
        });
        const { maxBytes } = TOPICS.purge;
        await a.gossip.publish('purge', new Uint8Array(maxBytes));
        await expect(a.gossip.publish('purge', new Uint8Array(maxBytes + 1))).rejects.toMatchObject({
          code: 'WIRE_TOO_LARGE',
        });
        await net.settle(() => sizes.length > 0);
        expect(sizes).toEqual([maxBytes]);
      });
      it('survives a subscriber that throws', async () => {
        let heard = 0;
        b.gossip.subscribe('purge', () => {
          throw new Error('a defect of the subscriber');
        });
        c.gossip.subscribe('purge', () => {
          heard += 1;
          return { verdict: 'accept' };
        });
        await a.gossip.publish('purge', Buffer.from('one'));
        await net.settle(() => heard === 1);
        expect(heard).toBe(1);
      });
    });

    describe('Streams', () => {
      it('answers with what the handler returns, and tells it who asks', async () => {
        b.streams.handle('name', async (from, request) => Buffer.from(`${from} ${Buffer.from(request)}`));
        const reply = await a.streams.call(b.peers.self, 'name', Buffer.from('who'), CALL);
        expect(Buffer.from(reply).toString()).toBe(`${a.peers.self} who`);
      });
      it('carries empty requests and replies', async () => {
        b.streams.handle('lease', async () => new Uint8Array());
        expect(await a.streams.call(b.peers.self, 'lease', new Uint8Array(), CALL)).toHaveLength(0);
      });
      it('carries full frames both ways', async () => {
        b.streams.handle('purge', async (_from, request) => request);
        const request = Buffer.alloc(PROTOCOLS.purge.maxRequestBytes, 0).map((_, i) => (i * 31) & 255);
        const reply = await a.streams.call(b.peers.self, 'purge', request, CALL);
        expect(Buffer.compare(Buffer.from(reply), request)).toBe(0);
      });
      it('keeps many calls apart, more than may be outstanding, answered out of order', async () => {
        b.streams.handle('chunk', async (_from, request) => {
          await new Promise((resolve) => setTimeout(resolve, (request[0]! * 7) % 20));
          return Buffer.alloc(5_000 + request[0]!, request[0]!);
        });
        const calls = Array.from({ length: 100 }, async (_, i) => {
          const reply = await a.streams.call(b.peers.self, 'chunk', Uint8Array.of(i), CALL);
          return reply.length === 5_000 + i && reply.every((byte) => byte === i);
        });
        expect(await Promise.all(calls)).toEqual(Array.from({ length: 100 }, () => true));
      });
      it('never has more calls at a handler from one peer than the protocol allows', async () => {
        let now = 0;
        let most = 0;
        b.streams.handle('catalogue', async () => {
          now += 1;
          most = Math.max(most, now);
          await new Promise((resolve) => setTimeout(resolve, 10));
          now -= 1;
          return new Uint8Array();
        });
        await Promise.all(
          Array.from({ length: 30 }, () => a.streams.call(b.peers.self, 'catalogue', new Uint8Array(), CALL)),
        );
        expect(most).toBeLessThanOrEqual(PROTOCOLS.catalogue.concurrency);
        expect(most).toBeGreaterThan(1);
      });
      it('refuses a request above the cap before it is sent', async () => {
        let called = false;
        b.streams.handle('lease', async () => {
          called = true;
          return new Uint8Array();
        });
        const request = new Uint8Array(PROTOCOLS.lease.maxRequestBytes + 1);
        await expect(a.streams.call(b.peers.self, 'lease', request, CALL)).rejects.toMatchObject({
          code: 'WIRE_TOO_LARGE',
        });
        expect(called).toBe(false);
      });
      it('turns an oversized answer into a refusal, and the lane lives on', async () => {
        b.streams.handle('lease', async () => new Uint8Array(PROTOCOLS.lease.maxReplyBytes + 1));
        await expect(a.streams.call(b.peers.self, 'lease', new Uint8Array(), CALL)).rejects.toMatchObject({
          code: 'PEER_REFUSED',
          data: { code: 'WIRE_TOO_LARGE' },
        });
        b.streams.handle('lease', async () => Uint8Array.of(1));
        expect(await a.streams.call(b.peers.self, 'lease', new Uint8Array(), CALL)).toHaveLength(1);
      });
      it('passes on the code of a PresageError, and hides any other error', async () => {
        b.streams.handle('replica', async () => {
          throw new PresageError('CONTENT_FORBIDDEN', 'not for you');
        });
        await expect(a.streams.call(b.peers.self, 'replica', new Uint8Array(), CALL)).rejects.toMatchObject({
          code: 'PEER_REFUSED',
          data: { code: 'CONTENT_FORBIDDEN' },
        });
        b.streams.handle('replica', async () => {
          throw new Error('/secret/path');
        });
        const hidden = a.streams.call(b.peers.self, 'replica', new Uint8Array(), CALL);
        await expect(hidden).rejects.toMatchObject({ code: 'PEER_REFUSED', data: { code: 'INTERNAL' } });
        await expect(hidden).rejects.not.toThrow('/secret/path');
      });
      it('says PEER_BUSY where nobody handles the protocol yet', async () => {
        await expect(a.streams.call(c.peers.self, 'chunk', new Uint8Array(), CALL)).rejects.toMatchObject({
          code: 'PEER_BUSY',
        });
      });
      it('gives up at the deadline and when called off, and the lane lives on', async () => {
        let release: (() => void) | undefined;
        b.streams.handle('lease', async (_from, request) => {
          if (request.length > 0) await new Promise<void>((resolve) => (release = resolve));
          return Uint8Array.of(9);
        });
        const late = a.streams.call(b.peers.self, 'lease', Uint8Array.of(1), { deadlineMs: 50 });
        await expect(late).rejects.toMatchObject({ code: 'PEER_TIMEOUT' });
        release?.();
        const controller = new AbortController();
        const off = a.streams.call(b.peers.self, 'lease', Uint8Array.of(1), {
          ...CALL,
          signal: controller.signal,
        });
        setTimeout(() => controller.abort(), 20);
        await expect(off).rejects.toMatchObject({ code: 'CANCELLED' });
        release?.();
        await expect(
          a.streams.call(b.peers.self, 'lease', new Uint8Array(), {
            deadlineMs: 10,
            signal: AbortSignal.abort(),
          }),
        ).rejects.toMatchObject({ code: 'CANCELLED' });
        expect(await a.streams.call(b.peers.self, 'lease', new Uint8Array(), CALL)).toEqual(
          new Uint8Array([9]),
        );
      });
      it('does not know a stranger', async () => {
        await expect(a.streams.call(STRANGER, 'lease', new Uint8Array(), CALL)).rejects.toMatchObject({
          code: 'PEER_UNKNOWN',
        });
      });
    });

    describe('a PoP that goes away', () => {
      it('fails the calls under way, is reported once, and is unknown from then on', async () => {
        const changes: [PopId, boolean][] = [];
        const unwatch = a.peers.watch((peer, up) => changes.push([peer, up]));
        c.streams.handle('chunk', () => new Promise(() => undefined));
        const call = a.streams.call(c.peers.self, 'chunk', new Uint8Array(), CALL);
        const failed = expect(call).rejects.toMatchObject({ code: 'PEER_UNKNOWN' });
        await new Promise((resolve) => setTimeout(resolve, 100));
        await net.remove(2);
        await failed;
        await net.settle(() => changes.length > 0);
        expect(changes).toEqual([[c.peers.self, false]]);
        expect(a.peers.connected()).toEqual([b.peers.self]);
        unwatch();
        await expect(a.streams.call(c.peers.self, 'lease', new Uint8Array(), CALL)).rejects.toMatchObject({
          code: 'PEER_UNKNOWN',
        });
      });
    });
  });
}
