import type { RecordSet } from '../../actors/records.ts';
import type { PopId } from '../../protocol/ids.ts';
import type { Daemon } from '../compose.ts';
import type { Params, Result } from '../rpc/methods.ts';
import { popName } from './resource.ts';

/** Time beside the wait for acknowledgements, real ms: a write with fsync on a busy disk. */
const SLACK_MS = 5_000;

/** Sets a short-lived TXT record at every PoP. */
export async function setText(daemon: Daemon, params: Params<'dns.set'>): Promise<Result<'dns.set'>> {
  const { actors, clock, identity, peers } = daemon;
  const { name, value, ttlSeconds, wait, timeoutMs } = params;
  const startedAt = clock.monotonic();
  const order = { name, value, lifeMs: ttlSeconds * 1_000, wait, waitMs: timeoutMs };
  const { record, acknowledged, missing } = await actors.records.ask<RecordSet>(
    (reply) => ({ type: 'set', order, reply }),
    timeoutMs + SLACK_MS,
  );
  const connected = new Set(peers.connected());
  const row = (pop: PopId) => ({ pop, name: popName(daemon, pop) });
  const codeOf = (pop: PopId, refused: boolean) => {
    if (refused) return 'PEER_REFUSED';
    if (!connected.has(pop)) return 'PEER_UNKNOWN';
    return wait ? 'PEER_TIMEOUT' : 'not-awaited';
  };
  return {
    name: record.name,
    expiresAt: record.expiresAt,
    acknowledged: [
      { ...row(identity.self), afterMs: 0 },
      ...[...acknowledged].map(([pop, afterMs]) => ({ ...row(pop), afterMs })),
    ],
    missing: [...missing].map(([pop, { refused }]) => ({ ...row(pop), code: codeOf(pop, refused) })),
    complete: wait && [...missing.keys()].every((pop) => !connected.has(pop)),
    tookMs: clock.monotonic() - startedAt,
  };
}
