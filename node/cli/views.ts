import type {
  ConfigResult,
  EpochsResult,
  IngestResult,
  LinkResult,
  PeersResult,
  PurgeResult,
  ReplicasResult,
  StatusResult,
  TagResult,
} from '../rpc/methods.ts';
import { bytes, type Cell, decimal, fields, instant, percent, printable, span, table } from './table.ts';
import { feedRows } from './views-signals.ts';

/** What people see of the results about this PoP and what it stores. */

const share = (part: number, whole: number) => (whole === 0 ? '-' : percent(part / whole));

export function statusView(s: StatusResult): string {
  const { requests, storage, mirror } = s;
  const skewed = Math.abs(s.demandNow - s.now) > 1000;
  const rows: [string, Cell][] = [
    ['PoP', `${s.name} (${s.pop})`],
    ['region', s.region],
    ['cluster', s.cluster ?? 'none: alone'],
    ['mode', s.mode],
    ['ready', s.ready],
    ['version', s.version],
    ['up', span(s.now - s.startedAt)],
    ...(skewed ? ([['demand time', instant(s.demandNow)]] as [string, Cell][]) : []),
    ['http', s.addresses.http],
    ['dns', s.addresses.dns],
    ...s.addresses.p2p.map((address): [string, Cell] => ['p2p', address]),
    ...s.addresses.rpc.map((address): [string, Cell] => ['rpc', address]),
    ['epoch', `${s.epoch.number}, ${span(s.epoch.lengthMs)} each`],
    ...agreementRows(s),
    ['peers', `${s.peers.connected} of ${s.peers.known} connected`],
    [
      'requests',
      `${requests.total}, ${decimal(requests.perSecond)}/s, ${share(requests.hits, requests.total)} hits, ` +
        `${requests.mirroredHits} on mirrored content`,
    ],
    ['fills', `${requests.peerFills} from peers, ${requests.originFills} from the origin`],
    ['sent', bytes(requests.bytes)],
    ['stored', `${storage.replicas} responses, ${storage.contents} contents`],
    ['disk', `${bytes(storage.diskBytes)} of ${bytes(storage.diskBudget)}`],
    ['memory tier', `${bytes(storage.memoryBytes)} of ${bytes(storage.memoryBudget)}`],
    [
      'mirrored',
      `${bytes(mirror.pulledBytes)}, of it ${bytes(mirror.speculativeBytes)} speculative, ` +
        `${bytes(mirror.unusedBytes)} unused; ${mirror.inFlight} under way`,
    ],
    [
      'history',
      `${s.demand.series} series, ${bytes(s.demand.historyBytes)} of ${bytes(s.demand.historyBudget)}`,
    ],
    ...feedRows(s),
    ['purges', `${s.purges.applied} applied, ${s.purges.unacknowledged} not yet proven everywhere`],
    ['resident', bytes(s.residentBytes)],
  ];
  const lacks = s.lacks.map((lack) => `lacks: ${printable(lack)}`);
  const errors =
    s.errors.length === 0
      ? []
      : [
          '',
          table(
            ['error', '>count'],
            s.errors.map((e) => [e.code, e.count]),
          ),
        ];
  return [fields(rows), ...(lacks.length === 0 ? [] : ['', ...lacks]), ...errors].join('\n');
}

function agreementRows({ agreement }: StatusResult): [string, Cell][] {
  if (!agreement) return [];
  const { height, members, included, stateHash, planHash, weight, voting } = agreement;
  const short = (hash: string | null) => (hash === null ? '-' : hash.slice(0, 16));
  return [
    [
      'agreement',
      `height ${height}, ${included} of ${members} proposals, weight ${decimal(weight)}${voting ? '' : ', not voting'}`,
    ],
    ['state, plan', `${short(stateHash)}, ${short(planHash)}`],
  ];
}

export const peersView = ({ peers }: PeersResult): string =>
  table(
    [
      'name',
      'region',
      'state',
      '>weight',
      '>missed',
      '>rtt ms',
      '>load',
      '>free',
      'certificate until',
      'peer id',
    ],
    peers.map((p) => [
      p.name,
      p.region,
      p.state,
      p.weight === null ? null : decimal(p.weight),
      p.missed,
      p.roundTripMs === null ? null : decimal(p.roundTripMs),
      p.load === null ? null : percent(p.load),
      p.storageFreeBytes === null ? null : bytes(p.storageFreeBytes),
      instant(p.certificateExpires),
      p.pop,
    ]),
  );

export const epochsView = ({ epochs }: EpochsResult): string =>
  table(
    [
      '>epoch',
      '>height',
      'state hash',
      'end',
      'state',
      '>PoPs',
      '>requests',
      '>resources',
      '>forecasts',
      '>placed',
      '>pulls',
      '>bytes',
      '>took',
    ],
    epochs.map((e) => [
      e.number,
      e.height,
      e.decision?.slice(0, 12) ?? null,
      instant(e.endedAt),
      e.state,
      e.summaries,
      e.requests,
      e.resources,
      e.forecasts,
      e.placements,
      e.pulls,
      bytes(e.pulledBytes),
      span(e.tookMs),
    ]),
  );

export const replicasView = ({ replicas, next, total }: ReplicasResult): string => {
  const rows = table(
    ['key', '>status', '>size', 'tier', 'source', 'standing', 'fresh until', '>hits', 'content'],
    replicas.map((r) => [
      r.variant === '' ? r.key : `${r.key} [${r.variant}]`,
      r.status,
      bytes(r.size),
      r.tier,
      r.source,
      r.standing,
      instant(r.freshUntil),
      r.hits,
      r.content.slice(0, 12),
    ]),
  );
  const more = next === null ? '' : `; more with --after ${printable(next)}`;
  return `${rows}\n${replicas.length} of ${total}${more}`;
};

export function tagView(t: TagResult): string {
  const head = fields([
    ['resource', t.key],
    ['key16', t.key16],
    ['site', t.site],
    ['replication', t.replication],
    ['priority', decimal(t.priority)],
    ['tier', t.tier],
    ['version', t.version],
    ['updated', instant(t.updatedAt)],
    ['content', t.content],
    ['size', t.size === null ? null : bytes(t.size)],
    ['labels', t.labels.join(' ') || null],
  ]);
  if (t.holders.length === 0) return `${head}\nno PoP is known to hold it`;
  return `${head}\n\n${table(
    ['holder', 'version', 'peer id'],
    t.holders.map((h) => [h.name, h.version, h.pop]),
  )}`;
}

export function purgeView(p: PurgeResult): string {
  const head = `purge ${p.seq} of ${printable(p.target)}${p.soft ? ' (soft)' : ''}: ${p.removed} replicas met here`;
  const rows: Cell[][] = [
    ...p.acknowledged.map((a) => [a.name, 'acknowledged', `${decimal(a.afterMs)} ms`, a.pop]),
    ...p.missing.map((m) => [m.name, 'missing', m.code, m.pop]),
  ];
  const end = p.complete
    ? 'every PoP that can be reached has acknowledged'
    : 'not every PoP has acknowledged yet';
  return `${head}\n${table(['PoP', 'state', '', 'peer id'], rows)}\n${end}`;
}

export const ingestView = (i: IngestResult): string =>
  [`${i.accepted} accepted, ${i.refused} refused`, ...i.reasons.map((r) => `${r.count} × ${r.code}`)].join(
    '\n',
  );

export const linkView = (l: LinkResult): string =>
  fields([
    ['key', l.key],
    ['key16', l.key16],
    ['label', l.label],
    ['name', l.name ?? 'none: the site has no zone'],
    ['link', l.link],
  ]);

export const configView = ({ file, values }: ConfigResult): string => {
  const rows = table(
    ['key', 'value', 'source'],
    values.map((e) => [
      e.key,
      e.value,
      e.source === 'default' || e.source === 'unset' ? e.source : `${e.source} ${e.from}`,
    ]),
  );
  return file === null ? rows : `${rows}\nfile: ${file}`;
};
