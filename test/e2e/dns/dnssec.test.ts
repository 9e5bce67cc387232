import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { printKey } from '../../../node/dns/dnssec/key.ts';
import { obtainZoneKey } from '../../../node/dns/dnssec/key-files.ts';
import { keyOfText } from '../../../node/dns/name.ts';
import { type Anchor, denied, type Message, parse, validate, wire } from '../../unit/dns/validator.ts';
import { query } from '../../unit/dns/world.ts';
import { startCluster } from '../cluster.ts';
import { type Daemon, scratch } from '../daemon.ts';
import { startOrigin } from '../origin.ts';

async function askSigned(pop: Daemon, name: string, type: string): Promise<Message> {
  const { hostname, port } = new URL(`dns://${pop.ready.dns}`);
  const socket = createSocket('udp4');
  socket.send(query(name, type, { edns: { dnssecOk: true } }), Number(port), hostname);
  const [bytes] = (await once(socket, 'message')) as [Buffer];
  socket.close();
  return parse(bytes);
}

describe('a signed zone', () => {
  it('is signed with one key by all PoPs, routed names, resources, denials and short-lived records alike', async () => {
    const origin = await startOrigin();
    onTestFinished(() => origin.close());
    const directory = scratch(onTestFinished);
    const keys = join(directory, 'zone-keys');
    const { key } = await obtainZoneKey(keys, 'cdn.test');
    const cluster = await startCluster(directory, 2, {
      origin: origin.url,
      flags: (index) => ['--dns-dnssec', keys, '--dns-threads', `${index + 1}`],
    });
    onTestFinished(async () => {
      await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
    });
    await cluster.meshed();
    const [first] = cluster.pops as [Daemon, Daemon];
    const anchors: Anchor[] = [{ apex: wire('cdn.test'), dnskey: Buffer.from(key.dnskey) }];
    const { name } = await first.rpc<{ name: string }>('link', { url: 'http://files.example/one' });
    await first.rpc('dns.set', { name: '_acme-challenge.cdn.test', value: 'token', wait: true });
    for (const pop of cluster.pops) {
      const checked = async (asked: string, type: string) => {
        const message = await askSigned(pop, asked, type);
        validate(message, anchors, Math.floor(Date.now() / 1000));
        return message;
      };
      const count = async (asked: string, type: string) =>
        (await checked(asked, type)).records.filter((rr) => rr.section === 'answer' && rr.type !== 46).length;
      expect(await count('cdn.test', 'A')).toBe(1);
      expect(await count('www.cdn.test', 'A')).toBe(1);
      expect(await count(name, 'A')).toBe(1);
      expect(await count('cdn.test', 'DNSKEY')).toBe(1);
      expect(await count('_acme-challenge.cdn.test', 'TXT')).toBe(1);
      expect(denied(await checked(name, 'TXT'), name, 16)).toBe('nodata');
      expect(denied(await checked('no.such.r.cdn.test', 'MX'), 'no.such.r.cdn.test', 15)).toBe('nodata');
    }
    expect(printKey('cdn.test.', keyOfText('cdn.test'), key).ds).toMatch(
      new RegExp(`^cdn.test. IN DS ${key.tag} `),
    );
  });
});
