import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startCluster } from '../cluster.ts';
import { type Daemon, scratch, until } from '../daemon.ts';
import { startOrigin } from '../origin.ts';
import { ask, textsAt } from './resolver.ts';

interface Set {
  readonly acknowledged: { name: string }[];
  readonly missing: { name: string; code: string }[];
  readonly complete: boolean;
}
const NAME = '_acme-challenge.www.cdn.test';
const names = (rows: readonly { name: string }[]) => rows.map(({ name }) => name).sort();

describe('short-lived records', () => {
  it('are answered by every PoP when --wait returns, kept over a restart, and told to who was away', async () => {
    const origin = await startOrigin();
    onTestFinished(() => origin.close());
    // One answers on threads of their own, which must have the record too.
    const flags = (index: number) => (index === 1 ? ['--dns-threads', '2'] : []);
    const cluster = await startCluster(scratch(onTestFinished), 3, { origin: origin.url, flags });
    onTestFinished(async () => {
      await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
    });
    await cluster.meshed();
    const [first, second, third] = cluster.pops as [Daemon, Daemon, Daemon];
    const set = (pop: Daemon, value: string, over: object = {}) =>
      pop.rpc<Set>('dns.set', { name: NAME, value, wait: true, ...over });

    const told = await set(first, 'one');
    expect(told).toMatchObject({ complete: true, missing: [] });
    expect(names(told.acknowledged)).toEqual(['pop0', 'pop1', 'pop2']);
    for (const pop of cluster.pops) expect(await textsAt(pop, NAME)).toEqual(['one']);

    // A wildcard's validation wants a second value beside the first.
    expect(await set(second, 'two')).toMatchObject({ complete: true });
    for (const pop of cluster.pops) expect(await textsAt(pop, NAME)).toEqual(['one', 'two']);
    await expect(first.rpc('dns.set', { name: 'other.example', value: 'x' })).rejects.toThrow(
      /no zone of ours/,
    );
    await expect(first.rpc('dns.set', { name: 'a b.cdn.test', value: 'x' })).rejects.toThrow(/domain name/);

    // Who is killed and away is named, and learns of it when it is back.
    await third.stop('SIGKILL');
    await until('the loss is seen', async () => {
      const { peers } = await first.rpc<{ peers: { connected: number } }>('status');
      return peers.connected === 1;
    });
    const without = await set(first, 'three', { ttlSeconds: 600 });
    expect(without).toMatchObject({ complete: true, missing: [{ name: 'pop2', code: 'PEER_UNKNOWN' }] });
    expect(await set(second, 'brief', { ttlSeconds: 2 })).toMatchObject({ complete: true });
    const back = await cluster.restart(2);
    // At once what it had on disk; then what it missed.
    expect(await textsAt(back, NAME)).toEqual(expect.arrayContaining(['one', 'two']));
    await until('it learns what it missed', async () => {
      const texts = await textsAt(back, NAME);
      return texts.includes('three') && !texts.includes('brief');
    });
  });
});

describe('zone files', () => {
  it('are answered beside routed names, and read anew on SIGHUP; a bad one changes nothing', async () => {
    const origin = await startOrigin();
    onTestFinished(() => origin.close());
    const directory = scratch(onTestFinished);
    const files = join(directory, 'zones');
    mkdirSync(files);
    const write = (lines: string) =>
      writeFileSync(
        join(files, 'cdn.test.zone'),
        `$TTL 300\n@ IN MX 10 mail\nmail IN A 192.0.2.25\n${lines}`,
      );
    write('_sip._tcp SRV 1 2 5060 mail\n');
    const cluster = await startCluster(directory, 1, {
      origin: origin.url,
      flags: () => ['--dns-zone-files', files],
    });
    const [pop] = cluster.pops as [Daemon];
    onTestFinished(async () => void (await pop.stop('SIGKILL')));
    const data = async (name: string, type: 'A' | 'MX' | 'SRV') =>
      ((await ask(pop, name, type)).answers ?? []).map((one) => ('data' in one ? one.data : undefined));
    expect(await data('cdn.test', 'MX')).toEqual([{ preference: 10, exchange: 'mail.cdn.test' }]);
    expect(await data('mail.cdn.test', 'A')).toEqual(['192.0.2.25']);
    expect(await data('_sip._tcp.cdn.test', 'SRV')).toEqual([
      { priority: 1, weight: 2, port: 5060, target: 'mail.cdn.test' },
    ]);
    expect(await data('cdn.test', 'A')).toEqual(['127.0.0.1']);

    write('late A 192.0.2.26\n');
    pop.process.kill('SIGHUP');
    await until(
      'the new zone is answered',
      async () => (await data('late.cdn.test', 'A'))[0] === '192.0.2.26',
    );
    write('late A 192.0.2.27\nbroken A nonsense\n');
    pop.process.kill('SIGHUP');
    await until('the fault is told', () => pop.log().includes('nonsense'));
    expect(await data('late.cdn.test', 'A')).toEqual(['192.0.2.26']);
  });
});
