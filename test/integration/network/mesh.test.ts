import { afterEach, describe, expect, it } from 'vitest';
import { startNetwork } from '../../../node/adapters/libp2p.ts';
import { popIdOf } from '../../../protocol/pop-key.ts';
import { freePort } from '../../ports.ts';
import {
  certify,
  createOperator,
  newKey,
  pause,
  realClock,
  recorder,
  startPop,
  systemRandom,
  type TestPop,
  testLog,
  until,
} from './cluster.ts';

const closing = new Set<TestPop>();
afterEach(async () => {
  await Promise.all([...closing].map((pop) => pop.close()));
  closing.clear();
});
const start = async (...args: Parameters<typeof startPop>): Promise<TestPop> => {
  const pop = await startPop(...args);
  closing.add(pop);
  return pop;
};
const cluster = async (count: number): Promise<TestPop[]> => {
  const operator = createOperator();
  const first = await start(operator);
  const rest = await Promise.all(
    Array.from({ length: count - 1 }, () => start(operator, { bootstrap: first.addresses() })),
  );
  const all = [first, ...rest];
  await until(
    `a full mesh of ${count}`,
    () => all.every((pop) => pop.peers.connected().length === count - 1),
    100_000,
  );
  return all;
};

describe('a cluster', () => {
  it('of eight learns of each other from one bootstrap address', async () => {
    const all = await cluster(8);
    for (const pop of all) {
      expect(new Set(pop.known())).toEqual(
        new Set(all.filter((other) => other !== pop).map(({ self }) => self)),
      );
    }
  });

  it('of fifteen on one address hears everything that any of them says', async () => {
    const all = await cluster(15);
    const heard = new Map<string, Set<string>>();
    for (const pop of all) {
      pop.gossip.subscribe('summary', (author, bytes) => {
        const key = `${author} ${bytes[0]}`;
        heard.set(key, (heard.get(key) ?? new Set()).add(pop.self));
        return { verdict: 'accept' };
      });
    }
    for (const pop of all) pop.gossip.subscribe('purge', () => ({ verdict: 'accept' }));
    const first = all[0]!;
    const sent = (topic: string) => first.metrics.total('presage_gossip_published_bytes_total', { topic });
    // Meshes form from heartbeat to heartbeat, and what is said before may not reach all: so it is said again.
    let toMesh = 0;
    for (const [i, pop] of all.entries()) {
      const everyone = () => heard.get(`${pop.self} ${i}`)?.size === 14;
      let bytes = 0;
      for (let attempt = 0; attempt < 30 && !(everyone() && bytes > 0); attempt += 1) {
        const before = sent('summary');
        await pop.gossip.publish('summary', new Uint8Array(10_000).fill(i));
        bytes = pop === first ? sent('summary') - before : 1;
        const deadline = Date.now() + 3_000;
        await until('all heard it, or it is time to say it again', () => everyone() || Date.now() > deadline);
      }
      expect(everyone()).toBe(true);
      if (pop === first) toMesh = bytes;
    }
    // A flooded topic goes to every subscriber at once; any other to the mesh, which hands it on.
    await first.gossip.publish('purge', new Uint8Array(100));
    expect(sent('purge')).toBe(14 * 100);
    expect(toMesh).toBeGreaterThan(0);
    expect(toMesh).toBeLessThan(14 * 10_000);
  }, 300_000);

  it('whose bootstrap PoP starts last comes together by itself', async () => {
    const operator = createOperator();
    const key = newKey();
    const listen = `/ip4/127.0.0.1/tcp/${await freePort()}`;
    const early = await start(operator, { bootstrap: [`${listen}/p2p/${popIdOf(key)}`] });
    await pause(1500);
    expect(early.peers.connected()).toEqual([]);
    await start(operator, { privateKey: key, listen: [listen] });
    await until('connected', () => early.peers.connected().length === 1);
  });

  it('takes back a PoP that died and returned, and loses no other connection', async () => {
    const operator = createOperator();
    const first = await start(operator);
    const listen = `/ip4/127.0.0.1/tcp/${await freePort()}`;
    const second = await start(operator, { bootstrap: first.addresses(), listen: [listen] });
    const third = await start(operator, { bootstrap: first.addresses() });
    const all = [first, second, third];
    await until('mesh', () => all.every((pop) => pop.peers.connected().length === 2));
    const changes: [string, boolean][] = [];
    first.peers.watch((peer, up) => changes.push([peer, up]));
    await second.close();
    closing.delete(second);
    await until('noticed', () => first.peers.connected().length === 1);
    // The one that returns knows nobody: the others come to it.
    const back = await start(operator, { privateKey: second.key, listen: [listen] });
    await until('back', () => [first, back, third].every((pop) => pop.peers.connected().length === 2));
    expect(changes).toEqual([
      [second.self, false],
      [second.self, true],
    ]);
    let heard = 0;
    back.gossip.subscribe('purge', () => {
      heard += 1;
      return { verdict: 'accept' };
    });
    for (let i = 0; i < 400 && heard === 0; i += 1) {
      await first.gossip.publish('purge', Buffer.from(`are you there ${i}`));
      await pause(100);
    }
    expect(heard).toBeGreaterThan(0);
    back.streams.handle('lease', async () => Uint8Array.of(1));
    const answer = await first.streams.call(back.self, 'lease', new Uint8Array(), { deadlineMs: 60_000 });
    expect(answer).toHaveLength(1);
  });

  it('survives a bootstrap list that names oneself and nobody', async () => {
    const operator = createOperator();
    const key = newKey();
    const listen = `/ip4/127.0.0.1/tcp/${await freePort()}`;
    const own = `${listen}/p2p/${popIdOf(key)}`;
    const pop = await start(operator, {
      privateKey: key,
      listen: [listen],
      bootstrap: [own, listen, '/ip4/127.0.0.1/tcp/1'],
    });
    await pause(1500);
    expect(pop.peers.connected()).toEqual([]);
  });

  it('meets over IPv6 too', async () => {
    const operator = createOperator();
    const first = await start(operator, { listen: ['/ip6/::1/tcp/0'] });
    const second = await start(operator, { listen: ['/ip6/::1/tcp/0'], bootstrap: first.addresses() });
    await until('connected', () => first.peers.connected().includes(second.self));
  });

  it('comes together again after a restart from the cards it remembers, with no bootstrap list', async () => {
    const operator = createOperator();
    const cards: Uint8Array[] = [];
    const key = newKey();
    const network = await startNetwork(
      {
        privateKey: key,
        certificate: certify(operator, key),
        operatorKey: operator.cluster.operatorKey,
        genesis: operator.genesis,
        listen: ['/ip4/127.0.0.1/tcp/0'],
      },
      {
        log: testLog(),
        metrics: recorder(),
        clock: realClock,
        random: systemRandom,
        onCard: (_pop, card) => cards.push(card),
      },
    );
    const second = await start(operator, { bootstrap: network.addresses() });
    await until('card learned', () => cards.length > 0);
    await network.close();
    await until('gone', () => second.peers.connected().length === 0);
    const back = await start(operator, { privateKey: key, known: [Buffer.from('garbage'), ...cards] });
    await until('back', () => back.peers.connected().includes(second.self));
  });

  it('is told in words when the port is taken or its own certificate is not in order', async () => {
    const operator = createOperator();
    const first = await start(operator);
    const listen = (first.addresses()[0] ?? '').replace(/\/p2p\/.*/, '');
    await expect(startPop(operator, { listen: [listen] })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    const key = newKey();
    await expect(
      startPop(operator, { privateKey: key, certificate: certify(operator, newKey()) }),
    ).rejects.toMatchObject({ code: 'ADMIT_IDENTITY' });
  });

  it('keeps out a PoP whose clock is wrong, and takes it in when the clock is mended', async () => {
    const operator = createOperator();
    const first = await start(operator);
    let skewMs = 3 * 3_600_000;
    const key = newKey();
    const network = await startNetwork(
      {
        privateKey: key,
        certificate: certify(operator, key),
        operatorKey: operator.cluster.operatorKey,
        genesis: operator.genesis,
        listen: ['/ip4/127.0.0.1/tcp/0'],
        bootstrap: first.addresses(),
      },
      {
        log: testLog(),
        metrics: recorder(),
        clock: { ...realClock, now: () => Date.now() + skewMs },
        random: systemRandom,
      },
    );
    // By its clock every certificate of the cluster has expired, its own too.
    await pause(1500);
    expect(network.peers.connected()).toEqual([]);
    expect(network.certificateOf(network.self)?.pop).toBe(network.self);
    skewMs = 0;
    await until('in', () => network.peers.connected().includes(first.self));
    await network.close();
  });
});
