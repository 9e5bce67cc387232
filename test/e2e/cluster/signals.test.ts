import { expect, it, onTestFinished } from 'vitest';
import type { AccuracyResult, Result } from '../../../node/rpc/methods.ts';
import { startCluster } from '../cluster.ts';
import { http, scratch, until } from '../daemon.ts';
import { startOrigin } from '../origin.ts';

it('a signal that one PoP is told is weighed by the others', async () => {
  const origin = await startOrigin();
  onTestFinished(() => origin.close());
  const cluster = await startCluster(scratch(onTestFinished), 2, { origin: origin.url, founders: false });
  onTestFinished(async () => {
    await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
  });
  await cluster.meshed();
  const [told, other] = cluster.pops;
  const url = `${told!.ready.http}/films/a.mp4`;
  expect((await http({ url })).status).toBe(200);
  const sources = async () => (await other!.rpc<AccuracyResult>('accuracy')).signals;
  // Gossip may lose the first message of a young mesh; a stronger signal is passed on again.
  for (let strength = 1; strength < 1e6; strength *= 2) {
    expect(await told!.rpc<Result<'signal'>>('signal', { url, strength })).toMatchObject({ taken: true });
    const heard = await until(
      'the other weighs it',
      async () => (await sources()).some(({ source, open }) => source === 'rpc@pop0' && open === 1),
      3_000,
    ).then(
      () => true,
      () => false,
    );
    if (heard) return;
  }
  expect(await sources()).toMatchObject([{ source: 'rpc@pop0', open: 1 }]);
});
