import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../cluster.ts';
import { type Daemon, http, scratch, until } from '../daemon.ts';
import { bodyOf, startOrigin, type TestOrigin } from '../origin.ts';
import { resolve } from '../resolver.ts';

interface Status {
  readonly peers: { readonly connected: number };
  readonly agreement: { readonly members: number } | null;
}

const NEW_SITE = 'films.example';

let origin: TestOrigin;
let cluster: TestCluster;
const cleanups: (() => void)[] = [];

beforeAll(async () => {
  origin = await startOrigin();
  cluster = await startCluster(
    scratch((fn) => cleanups.push(fn)),
    3,
    // The last PoP has to ask the others who founded the cluster, and to be let in by them.
    { origin: origin.url, founders: (index) => index < 2 },
  );
  await cluster.meshed();
});

afterAll(async () => {
  await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
  await origin.close();
  for (const cleanup of cleanups) cleanup();
});

const film = (pop: Daemon, path: string) =>
  http({ url: `${pop.ready.http}${path}`, headers: { host: NEW_SITE } });

/** Whether a PoP serves the new site, whose origin has a base path of its own. */
const servesFilms = async (pop: Daemon, path: string) =>
  (await film(pop, path)).body.equals(bodyOf(`/films${path}`, 1, origin.sizeOf(path)));

describe('a charter', () => {
  it('that is newer at one PoP is soon in force at all, and after a restart with the old file', async () => {
    for (const pop of cluster.pops) expect(await servesFilms(pop, '/before')).toBe(false);
    await cluster.recharter(
      1,
      (toml) =>
        `${toml}\n[[sites]]\nid = "films"\nhosts = ["${NEW_SITE}"]\norigin = "${origin.url}/films"\nzone = "films.test"\n`,
    );
    for (const [index, pop] of cluster.pops.entries()) {
      await until(`pop${index} serves the new site`, () => servesFilms(pop, `/${index}`));
      await until(
        `pop${index} answers for its zone`,
        async () => (await resolve(pop, 'films.test', '10.0.7.0'))[0] === '127.0.0.1',
      );
    }
    expect(await cluster.pops[2]?.stop()).toBe(0);
    const again = await cluster.restart(2);
    expect(await servesFilms(again, '/again')).toBe(true);
  });
});

it('an identity that one PoP reads to be revoked is off the wire and off the roster at all', async () => {
  const [first, second, third] = cluster.pops as [Daemon, Daemon, Daemon];
  const standing = async (pop: Daemon) => {
    const { peers, agreement } = await pop.rpc<Status>('status');
    return { connected: peers.connected, members: agreement?.members };
  };
  await until('all three are members', async () => (await standing(third)).members === 3);
  await cluster.revoke(2, 1);
  for (const pop of [first, second]) {
    await until('the two are left', async () => {
      const { connected, members } = await standing(pop);
      return connected === 1 && members === 2;
    });
  }
  await until('the third is alone', async () => (await standing(third)).connected === 0);
});
