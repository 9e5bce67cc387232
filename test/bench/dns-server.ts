import { ZoneKey } from '../../node/dns/dnssec/key.ts';
import { createDnsServer } from '../../node/dns/server.ts';
import { createGeography } from '../../protocol/geography.ts';
import type { Key16, PopId, RegionId, SiteId } from '../../protocol/ids.ts';
import { seededRandom } from '../../protocol/random.ts';
import { type RoutingPop, RoutingTable } from '../../protocol/routing.ts';
import { CountingMetrics, silentLog } from '../step-clock.ts';

/**
 * The server under load, as a process of its own so that it has its own core: 24 PoPs in 8 regions, 512 networks,
 * every second of the asked resources held somewhere, client subnets on, no rate limit. Prints its port.
 */
const REGIONS = 8;
const POPS = 24;
const NETWORKS = 512;

const regions = Array.from({ length: REGIONS }, (_, i) => `region-${i}` as RegionId);
const site = 'bench' as SiteId;
const charter = {
  regions,
  defaultRegion: regions[0]!,
  distances: Object.fromEntries(
    regions.map((from, i) => [
      from,
      Object.fromEntries(regions.map((to, j) => [to, 10 + 30 * Math.abs(i - j)])),
    ]),
  ),
  networks: Array.from({ length: NETWORKS }, (_, i) => ({
    cidr: `198.${18 + (i >> 8)}.${i & 255}.0/24`,
    region: regions[i % REGIONS]!,
  })),
  countries: {},
  sites: [{ id: site, allow: ['*'] } as never],
};
const pops = Array.from(
  { length: POPS },
  (_, i): RoutingPop => ({
    id: `pop-${i}` as PopId,
    name: `pop-${i}`,
    region: regions[i % REGIONS]!,
    addresses: { v4: [`192.0.2.${i + 1}`], v6: [`2001:db8::${i + 1}`] },
    load: i % 10,
    state: 'up',
    reachable: true,
  }),
);
const held = new Map<Key16, readonly PopId[]>();
for (let i = 0; i < 10_000; i += 2) {
  held.set(i.toString(16).padStart(32, '0') as Key16, [pops[i % POPS]!.id, pops[(i * 7) % POPS]!.id]);
}
const table = RoutingTable.build({
  charter,
  pops,
  holders: (key16) => held.get(key16),
  preferred: () => undefined,
  epoch: 1,
});
const geography = createGeography(charter);
const signed = process.argv.includes('--signed');
const server = createDnsServer(
  {
    zones: [{ name: 'cdn.example.', site, keys: signed ? [ZoneKey.generate()] : [] }],
    rateLimit: { answersPerSecond: 0, errorsPerSecond: 0 },
    batch: process.argv.includes('--unbatched') ? 'off' : 'auto',
  },
  {
    table: () => table,
    regionOf: (address, prefixLength) => geography.locate(address, prefixLength),
    siteOfName: () => undefined,
    clock: {
      now: () => Date.now(),
      monotonic: () => performance.now(),
      after(delayMs, fn) {
        const timer = setTimeout(fn, delayMs);
        return () => clearTimeout(timer);
      },
    },
    log: silentLog,
    metrics: new CountingMetrics(),
    random: seededRandom(1),
  },
);
const { address } = await server.listen('127.0.0.1', 0);
process.stdout.write(`${address.port}\n`);
process.on('SIGTERM', () => process.exit(0));
