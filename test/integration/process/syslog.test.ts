import { createSocket } from 'node:dgram';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../node/adapters/clock.ts';
import type { Observation } from '../../../node/ingest/observation.ts';
import { listenSyslog, type SyslogListener } from '../../../node/ingest/syslog.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';

const LINE = '192.0.2.7 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5 "-" "agent"';

describe('the syslog listener', () => {
  let listener: SyslogListener;
  let metrics: CountingMetrics;
  let received: Observation[];
  beforeEach(async () => {
    metrics = new CountingMetrics();
    received = [];
    listener = await listenSyslog(
      { listen: { host: '127.0.0.1', port: 0 }, host: 'www.example' },
      { clock: systemClock, log: silentLog, metrics, receive: (batch) => received.push(...batch) },
    );
  });
  afterEach(() => listener.close());

  const send = async (messages: readonly (string | Uint8Array)[]) => {
    const socket = createSocket('udp4');
    for (const message of messages) {
      await new Promise((resolve) => socket.send(message, listener.address.port, '127.0.0.1', resolve));
    }
    socket.close();
  };

  it('takes what nginx sends, and counts what it cannot read', async () => {
    await send([
      `<190>May 17 10:05:03 edge nginx: ${LINE}`,
      '<190>May 17 10:05:03 edge nginx: rubbish',
      new Uint8Array(60_000).fill(0xff),
      '',
      `<190>1 - edge nginx - - - {"at":1431857103000,"client":"c","url":"/b","host":"other"}`,
    ]);
    await expect.poll(() => received.length).toBe(2);
    expect(received.map(({ host, url }) => host + url)).toEqual(['www.example/a', 'other/b']);
    await expect.poll(() => metrics.counts.get('errors_total INPUT_MALFORMED')).toBe(3);
  });

  it('delivers what waits when it closes', async () => {
    await send([LINE]);
    await new Promise((resolve) => setTimeout(resolve, 50));
    // A process that was held up reads in the turns after it.
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    await listener.close();
    expect(received).toHaveLength(1);
    listener = await listenSyslog(
      { listen: { host: '127.0.0.1', port: 0 } },
      { clock: systemClock, log: silentLog, metrics, receive: () => undefined },
    );
  });

  it('says which key is wrong where the address is taken', async () => {
    const parts = { clock: systemClock, log: silentLog, metrics, receive: () => undefined };
    await expect(listenSyslog({ listen: listener.address }, parts)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});
