import { execFile } from 'node:child_process';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Command } from 'commander';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../../node/adapters/clock.ts';
import { keysCommand } from '../../../node/cli/keys.ts';
import { readZoneKeys } from '../../../node/dns/dnssec/key-files.ts';
import { createDnsServer, type DnsServer } from '../../../node/dns/server.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { RoutingTable } from '../../../protocol/routing.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';
import { zones } from '../../unit/dns/world.ts';

const run = promisify(execFile);
const hasDelv = await run('delv', ['-v']).then(
  () => true,
  () => false,
);

interface Shown {
  readonly path: string;
  readonly made: boolean;
  readonly tag: number;
  readonly ds: string;
  readonly dnskey: string;
}

describe('keys of zones', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'presage-zone-keys-'));
  });
  afterAll(() => rm(directory, { recursive: true }));

  async function keysZone(...args: string[]): Promise<Shown> {
    let out = '';
    const command = new Command('keys').exitOverride();
    keysCommand(command, { stdout: { write: (text) => (out += text) } });
    await command.parseAsync(['zone', ...args, '--dir', directory, '--json'], { from: 'user' });
    return JSON.parse(out) as Shown;
  }

  it('are made once, for their owner alone to read, and shown again', async () => {
    const made = await keysZone('cdn.example');
    expect(made).toMatchObject({ path: join(directory, 'cdn.example.key'), made: true });
    expect((await stat(made.path)).mode & 0o777).toBe(0o600);
    expect(made.ds).toMatch(/^cdn\.example\. IN DS \d+ 13 2 [0-9A-F]{64}$/);
    expect(await keysZone('CDN.Example.')).toMatchObject({ made: false, tag: made.tag, dnskey: made.dnskey });
    const standby = await keysZone('cdn.example', '--standby');
    expect(standby).toMatchObject({ path: join(directory, 'cdn.example.standby.key'), made: true });
    const [first, second] = await readZoneKeys(directory, zones);
    expect([first?.keys?.length, second?.keys]).toEqual([2, undefined]);
    await expect(keysZone('../evil')).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await writeFile(join(directory, 'child.cdn.example.key'), 'nonsense');
    await expect(readZoneKeys(directory, zones)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await rm(join(directory, 'child.cdn.example.key'));
  });

  describe('sign what BIND validates', () => {
    let server: DnsServer;
    let port: number;
    let anchors: string;
    beforeAll(async () => {
      const { dnskey } = await keysZone('cdn.example');
      anchors = join(directory, 'anchors');
      const [flags, protocol, algorithm, key] = dnskey.split(' ').slice(3);
      await writeFile(
        anchors,
        `trust-anchors { cdn.example. static-key ${flags} ${protocol} ${algorithm} "${key}"; };\n`,
      );
      server = createDnsServer(
        { zones: await readZoneKeys(directory, zones) },
        {
          table: () => RoutingTable.empty(),
          regionOf: () => ({ region: 'eu' as never, scope: 0 }),
          siteOfName: () => undefined,
          ...{ clock: systemClock, log: silentLog, metrics: new CountingMetrics(), random: seededRandom(1) },
        },
      );
      ({
        address: { port },
      } = await server.listen('127.0.0.1', 0));
    });
    afterAll(() => server.close());

    it.runIf(hasDelv).each([
      ['static.cdn.example', 'A', 'fully validated'],
      ['alias2.cdn.example', 'A', 'fully validated'],
      ['x.wild.cdn.example', 'TXT', 'fully validated'],
      ['long.cdn.example', 'TXT', 'fully validated'],
      ['cdn.example', 'DNSKEY', 'fully validated'],
      ['nothing.cdn.example', 'A', 'negative response, fully validated'],
      ['static.cdn.example', 'AAAA', 'negative response, fully validated'],
      ['sub.cdn.example', 'DS', 'negative response, fully validated'],
      ['child.cdn.example', 'DS', 'negative response, fully validated'],
    ])('%s %s: %s', async (name, type, verdict) => {
      const args = ['@127.0.0.1', '-p', `${port}`, '-a', anchors, '+root=cdn.example', name, type];
      const { stdout } = await run('delv', args);
      expect(stdout).toContain(`; ${verdict}`);
    });
  });
});
