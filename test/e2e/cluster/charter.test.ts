import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../cluster.ts';
import { type Daemon, http, scratch, until } from '../daemon.ts';
import { bodyOf, startOrigin, type TestOrigin } from '../origin.ts';

const NEW_SITE = 'films.example';

let origin: TestOrigin;
let cluster: TestCluster;
const cleanups: (() => void)[] = [];

beforeAll(async () => {
  origin = await startOrigin();
  cluster = await startCluster(
    scratch((fn) => cleanups.push(fn)),
    3,
    // The last PoP has to ask the others who founded the cluster.
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
    }
    expect(await cluster.pops[2]?.stop()).toBe(0);
    const again = await cluster.restart(2);
    expect(await servesFilms(again, '/again')).toBe(true);
  });
});
