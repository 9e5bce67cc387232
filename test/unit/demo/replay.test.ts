import { describe, expect, it } from 'vitest';
import { regionOf, replayLoad } from '../../../node/demo/replay.ts';
import { network } from '../../../node/demo/resolver.ts';
import { clientAddress, clientNetwork, PLACES, roundTripMs } from '../../../node/demo/world.ts';

const line = (over: Partial<Parameters<typeof make>[0]> = {}) => make({ ...over });
const make = (over: {
  at?: number;
  client?: string;
  method?: string;
  url?: string;
  status?: number;
  bytes?: number;
}) => ({
  at: 1000,
  client: 'ppp1.example.com',
  method: 'GET',
  url: '/a.gif',
  status: 200,
  bytes: 10,
  ...over,
});

describe('replay of a log', () => {
  it('keeps answered GET requests in the order of time, and says what it left out', async () => {
    const load = await replayLoad(
      [
        line({ at: 5000, url: '/b.html?x=1' }),
        line({ at: 2000 }),
        line({ method: 'POST' }),
        line({ status: 304, bytes: 0 }),
        line({ status: 404, bytes: 300 }),
        line({ url: 'http://elsewhere.example/' }),
        line({ url: '/../above' }),
        line({ at: 6000, url: '/c%3acables.jpg' }),
      ],
      { regions: 5, name: 'a log' },
    );
    expect(load.requests.map(({ path, at }) => [path, at])).toEqual([
      ['/a.gif', 2000],
      ['/b.html?x=1', 5000],
      ['/c%3Acables.jpg', 6000],
    ]);
    expect(load.skipped).toEqual({ 'not GET': 1, 'answered without a body': 2, 'path not usable': 2 });
    expect(load.start).toBe(2000);
  });

  it('makes a file as large as its largest answer, up to a cap', async () => {
    const load = await replayLoad(
      [line({ bytes: 10 }), line({ bytes: 70 }), line({ bytes: 20 }), line({ url: '/big', bytes: 1e9 })],
      { regions: 5, name: 'a log' },
    );
    expect(load.files.get('/a.gif')).toMatchObject({ size: 70, type: 'image/gif' });
    expect(load.files.get('/big')!.size).toBe(8 * 1024 * 1024);
    expect(load.description).toContain('1 of them cut');
  });

  it('gives each client one region and one number', async () => {
    const load = await replayLoad(
      [
        line({ at: 1, client: 'x.ac.uk' }),
        line({ at: 2, client: 'y.ac.uk' }),
        line({ at: 3, client: 'x.ac.uk' }),
      ],
      { regions: 5, name: 'a log' },
    );
    expect(load.requests.map(({ region, client }) => [region, client])).toEqual([
      [2, 0],
      [2, 1],
      [2, 0],
    ]);
  });

  it('places clients by top-level domain, and by a hash where that tells nothing', () => {
    expect(PLACES[regionOf('host.or.jp', 5)]!.region).toBe('asia');
    expect(PLACES[regionOf('host.se', 5)]).toBeDefined();
    expect(regionOf('host.se', 6)).toBe(5);
    expect(regionOf('host.com', 5)).toBeLessThan(2);
    const spread = new Set(Array.from({ length: 200 }, (_, i) => regionOf(`10.1.2.${i}`, 5)));
    expect(spread.size).toBe(5);
  });
});

describe('the world', () => {
  it('has symmetric distances, a region nearest to itself', () => {
    for (let i = 0; i < PLACES.length; i += 1) {
      for (let j = 0; j < PLACES.length; j += 1) {
        expect(roundTripMs(i, j)).toBe(roundTripMs(j, i));
        if (i !== j) expect(roundTripMs(i, j)).toBeGreaterThan(roundTripMs(i, i));
      }
    }
  });

  it('gives every client an address of its own within its region, neighbours in different networks', () => {
    const addresses = Array.from({ length: 20_000 }, (_, i) => clientAddress(3, i));
    expect(new Set(addresses).size).toBe(20_000);
    expect(new Set(addresses.slice(0, 4096).map((address) => network(address, 24))).size).toBe(4096);
    const [base] = clientNetwork(3).split('/');
    for (const address of addresses) expect(network(address, 12)).toBe(base);
  });
});
