import { describe, expect, it, onTestFinished } from 'vitest';
import { startCluster } from '../cluster.ts';
import { type Daemon, http, scratch, until } from '../daemon.ts';
import { startOrigin } from '../origin.ts';

const HOST = 'files.example';
/** Patience with a machine that does much else, ms. */
const PATIENCE_MS = 60_000;

interface Status {
  readonly mode: string;
  readonly lacks: readonly string[];
  readonly agreement: { height: number; members: number; member: boolean; voting: boolean } | null;
}
interface Epoch {
  readonly height: number | null;
  readonly decision: string | null;
  readonly header: string | null;
  readonly planHash: string | null;
}

const statusOf = (pop: Daemon) => pop.rpc<Status>('status');
const heightOf = async (pop: Daemon) => (await statusOf(pop)).agreement?.height ?? 0;

/** Waits until all of them vote in a roster of so many, and have decided `more` heights in it. */
async function agreeing(pops: readonly Daemon[], members: number, more = 2): Promise<void> {
  const settled = async (pop: Daemon) => {
    const { mode, agreement } = await statusOf(pop);
    return mode === 'agreed' && agreement?.members === members && agreement.voting;
  };
  await until(
    `${pops.length} PoPs agree in a roster of ${members}`,
    async () => (await Promise.all(pops.map(settled))).every(Boolean),
    PATIENCE_MS,
  );
  const from = Math.max(...(await Promise.all(pops.map(heightOf))));
  await until(
    'they decide on',
    async () => (await Promise.all(pops.map(heightOf))).every((height) => height >= from + more),
    PATIENCE_MS,
  );
}

/** Heights of which more than one PoP tells; each must have been decided alike by all. */
async function shared(pops: readonly Daemon[]): Promise<number> {
  const told = new Map<number, Epoch[]>();
  for (const pop of pops) {
    const { epochs } = await pop.rpc<{ epochs: Epoch[] }>('epochs', { limit: 100 });
    for (const epoch of epochs) {
      if (epoch.height !== null) told.set(epoch.height, [...(told.get(epoch.height) ?? []), epoch]);
    }
  }
  const several = [...told.values()].filter((rows) => rows.length > 1);
  for (const [first, ...others] of several) {
    for (const other of others) {
      expect([other.header, other.decision, other.planHash]).toEqual([
        ...[first?.header, first?.decision, first?.planHash],
      ]);
    }
  }
  return several.length;
}

describe('agreement among daemons', () => {
  it('goes on through a leave, a crash and returns, and stops and comes back with its quorum', async () => {
    const origin = await startOrigin();
    onTestFinished(() => origin.close());
    const cluster = await startCluster(scratch(onTestFinished), 4, { origin: origin.url });
    onTestFinished(async () => {
      await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
    });
    await cluster.meshed();
    const four = cluster.pops.slice();
    await agreeing(four, 4, 3);
    expect(await shared(four)).toBeGreaterThan(0);

    // A PoP that ends in order leaves the roster, so that three decide by themselves, and is taken in again.
    await four[3]!.stop('SIGTERM');
    const three = four.slice(0, 3);
    await agreeing(three, 3);
    await cluster.restart(3);
    await agreeing(cluster.pops, 4);
    expect(await shared(cluster.pops)).toBeGreaterThan(0);

    // A PoP that is killed stays in the roster; the others decide on without it, and it catches up.
    await cluster.pops[2]!.stop('SIGKILL');
    const rest = [cluster.pops[0]!, cluster.pops[1]!, cluster.pops[3]!];
    await agreeing(rest, 4, 3);

    // With two of four gone there is no quorum: nothing more is decided, and those left say so and serve on.
    await cluster.pops[3]!.stop('SIGKILL');
    const left = cluster.pops.slice(0, 2);
    await until(
      'those left are degraded',
      async () =>
        (await Promise.all(left.map(statusOf))).every(
          ({ mode, lacks }) => mode === 'degraded' && lacks.some((lack) => lack.includes('three epochs')),
        ),
      PATIENCE_MS,
    );
    const served = await http({ url: `${left[0]!.ready.http}/served`, headers: { host: HOST } });
    expect(served.status).toBe(200);
    await cluster.restart(2);
    await cluster.restart(3);
    await agreeing(cluster.pops, 4, 3);
    expect(await shared(cluster.pops)).toBeGreaterThan(0);

    const { steps } = await left[0]!.rpc<{ steps: { step: string; facts: Record<string, unknown> }[] }>(
      'explain',
      { resource: `http://${HOST}/served` },
    );
    const decision = steps.find(({ step }) => step === 'decision');
    expect(decision?.facts).toMatchObject({
      height: expect.any(Number),
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(
      new Set(steps.filter(({ step }) => step === 'proposals').map(({ facts }) => facts.pop)).size,
    ).toBeGreaterThan(2);
  }, 300_000);
});
