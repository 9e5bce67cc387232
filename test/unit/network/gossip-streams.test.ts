import { gossipsub } from '@chainsafe/libp2p-gossipsub';
import { generateKeyPair } from '@libp2p/crypto/keys';
import { identify } from '@libp2p/identify';
import type { Connection, PeerId } from '@libp2p/interface';
import { createLibp2p } from 'libp2p';
import { describe, expect, it } from 'vitest';
import { hasten, type StreamOpener } from '../../../node/adapters/gossip-streams.ts';

/** Opens streams as gossipsub does, each of them when the test says so. */
class Opener implements StreamOpener {
  readonly opened: string[] = [];
  readonly asked: (() => void)[] = [];
  starts = 0;
  outboundInflightQueue: StreamOpener['outboundInflightQueue'] = { push: () => undefined };

  async start(): Promise<void> {
    this.starts += 1;
    this.outboundInflightQueue = {
      push: () => {
        throw new Error('one after another');
      },
    };
  }

  async createOutboundStream(_peer: PeerId, connection: Connection): Promise<void> {
    await new Promise<void>((resolve) => this.asked.push(resolve));
    if (connection.id.startsWith('broken')) throw new Error('no stream');
    this.opened.push(connection.id);
  }

  push(peer: string, id = peer): void {
    this.outboundInflightQueue?.push({
      peerId: { toString: () => peer } as PeerId,
      connection: { id } as Connection,
    });
  }
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('streams of gossip', () => {
  it('are opened by what this edition of gossipsub has', async () => {
    const privateKey = await generateKeyPair('Ed25519');
    const node = await createLibp2p({ privateKey, services: { identify: identify(), pubsub: gossipsub() } });
    try {
      const pubsub = node.services.pubsub as unknown as StreamOpener;
      expect(typeof pubsub.outboundInflightQueue?.push).toBe('function');
      expect(typeof pubsub.createOutboundStream).toBe('function');
    } finally {
      await node.stop();
    }
  });

  it('are opened to all peers at once, so that one that does not answer holds nobody up', async () => {
    const opener = new Opener();
    hasten(opener);
    await opener.start();
    for (const peer of ['silent', 'near', 'far']) opener.push(peer);
    await turn();
    expect(opener.asked).toHaveLength(3);
    opener.asked[2]!();
    opener.asked[1]!();
    await turn();
    expect(opener.opened).toEqual(['far', 'near']);
  });

  it('follow each other where they go to the same peer, also after one that failed', async () => {
    const opener = new Opener();
    hasten(opener);
    await opener.start();
    opener.push('peer', 'broken');
    opener.push('peer', 'second');
    await turn();
    expect(opener.asked).toHaveLength(1);
    opener.asked[0]!();
    await turn();
    expect(opener.asked).toHaveLength(2);
    opener.asked[1]!();
    await turn();
    expect(opener.opened).toEqual(['second']);
    opener.push('peer', 'third');
    await turn();
    expect(opener.asked).toHaveLength(3);
  });

  it('are opened at once after another start too', async () => {
    const opener = new Opener();
    hasten(opener);
    await opener.start();
    await opener.start();
    opener.push('peer');
    await turn();
    expect(opener.starts).toBe(2);
    expect(opener.asked).toHaveLength(1);
  });
});
