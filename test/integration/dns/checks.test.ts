import { createServer as createHttp } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../../node/adapters/clock.ts';
import { type CheckTarget, ServiceChecks } from '../../../node/dns/checks.ts';
import type { PopId } from '../../../protocol/ids.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';

async function listen(server: Server): Promise<number> {
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

const target = (name: string, port: number, over: Partial<CheckTarget> = {}): CheckTarget => ({
  ...{ pop: name as PopId, addressesV4: ['127.0.0.1'], addressesV6: [] },
  ports: { http: port, https: 0, dns: 53 },
  ...over,
});

async function check(kind: 'tcp' | 'http', targets: CheckTarget[], timeoutMs = 2_000) {
  let answered: ReadonlyMap<PopId, boolean> = new Map();
  const checks = new ServiceChecks(
    { kind, timeoutMs },
    {
      ...{ targets: () => targets, clock: systemClock, log: silentLog, metrics: new CountingMetrics() },
      checked: (outcome) => {
        answered = outcome;
      },
    },
  );
  await checks.round();
  return Object.fromEntries(answered);
}

describe('checks of service addresses', () => {
  it('tell who serves from who does not', async () => {
    const seen: string[] = [];
    const serving = await listen(
      createHttp((request, response) => {
        seen.push(`${request.method} ${request.url}`);
        response.writeHead(404).end();
      }),
    );
    const leaving = await listen(createHttp((_, response) => void response.writeHead(503).end()));
    const mute = await listen(createServer(() => undefined));
    const closed = createServer();
    const gone = await listen(closed);
    await new Promise((done) => closed.close(done));
    const targets = [
      target('serving', serving),
      target('leaving', leaving),
      target('mute', mute),
      target('gone', gone),
      target('none', 0),
      target('half', serving, { addressesV4: ['127.0.0.1', '127.0.0.99'] }),
    ];
    const http = await check('http', targets, 500);
    expect(http).toEqual({
      serving: true,
      leaving: false,
      mute: false,
      gone: false,
      none: false,
      half: false,
    });
    // The server itself is asked, never a resource.
    expect(new Set(seen)).toEqual(new Set(['OPTIONS *']));
    expect(await check('tcp', targets, 500)).toMatchObject({ serving: true, mute: true, gone: false });
  });

  it('say nothing of a PoP that this machine has no way to', async () => {
    const nowhere = target('nowhere', 80, { addressesV4: [], addressesV6: ['2001:db8::1'] });
    const outcome = await check('tcp', [nowhere], 300);
    // Without IPv6 there is no route; with it nobody answers from the documentation's network.
    expect([undefined, false]).toContain(outcome.nowhere);
  });
});
