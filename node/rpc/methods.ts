import * as v from 'valibot';
import type { MethodSpec } from './method.ts';
import { decisionMethods } from './methods-decision.ts';
import { replicaMethods } from './methods-replica.ts';
import { amount, choice, count, flag, instant, limit, list, maybe, words } from './shapes.ts';

/**
 * Every method of the local RPC: parameters and result as schemas, from which the types below, the parameter
 * checks and `rpc.discover` follow. Fields may be added to results; none is removed or changes its meaning.
 */

const status = {
  summary: 'What this PoP is, how it does, and what it lacks.',
  params: v.strictObject({}),
  result: v.object({
    name: words('name of this PoP'),
    pop: words('peer id'),
    region: words('region'),
    cluster: maybe(words('name of the cluster; null for a cluster of one')),
    version: words('version of Presage'),
    mode: choice(
      ['alone', 'agreed', 'degraded'],
      'alone: a cluster of one; agreed: plans from decisions; degraded: plans from its own forecasts',
    ),
    ready: flag('whether it serves as it should'),
    lacks: list(v.string(), 'what is missing, with the remedy, in words'),
    startedAt: instant('when the daemon started'),
    now: instant('real time'),
    demandNow: instant('demand time'),
    addresses: v.object({
      http: maybe(words('where clients are served')),
      dns: maybe(words('where DNS is answered')),
      p2p: list(v.string(), 'multiaddresses of this PoP'),
      rpc: list(v.string(), 'socket and loopback address of this RPC'),
    }),
    epoch: v.object({
      number: count('epoch under way'),
      startedAt: instant('its beginning'),
      lengthMs: count('its length, ms of real time'),
    }),
    peers: v.object({ connected: count('admitted and connected'), known: count('certified and heard of') }),
    requests: v.object({
      total: count('client requests since start'),
      hits: count('answered from what is stored here'),
      peerFills: count('misses filled by a peer'),
      originFills: count('misses filled by the origin'),
      mirroredHits: count('hits on replicas that were mirrored before their first request here'),
      perSecond: amount('client requests a second over the last minute'),
      bytes: count('bytes sent to clients since start'),
    }),
    storage: v.object({
      replicas: count('responses stored'),
      contents: count('distinct contents stored'),
      diskBytes: count('bytes on disk'),
      diskBudget: count('storage.budget'),
      memoryBytes: count('bytes of content in memory'),
      memoryBudget: count('storage.memory'),
    }),
    mirror: v.object({
      pulledBytes: count('mirrored since start'),
      unusedBytes: count('mirrored, and released without a request'),
      speculativeBytes: count('of those pulled, on RISING reports'),
      inFlight: count('transfers under way'),
      budget: count('mirror.bandwidth, bytes a second'),
    }),
    demand: v.object({
      series: count('(resource, region) series tracked'),
      historyBytes: count('memory that the demand history takes'),
      historyBudget: count('memory.history'),
    }),
    agreement: maybe(
      v.pipe(
        v.object({
          height: count('last height decided; 0 before the first'),
          header: maybe(words('hash of its header, and so of all decisions up to it')),
          stateHash: maybe(words('hash of the decided state')),
          planHash: maybe(words('hash of the plan in force, if it follows from a decision')),
          planHeight: count('height that the plan in force follows from; 0 for the own forecasts'),
          included: count('proposals that counted'),
          members: count('PoPs in the roster'),
          member: flag('whether this PoP is one of them'),
          voting: flag('whether it votes at the height under way'),
          degraded: flag('whether nothing was decided for three epochs'),
          diverged: flag('whether the others decided what was not computed here'),
          passive: flag('whether the rules in force are not known to this version'),
          rules: count('version of the rules in force'),
          charterVersion: count('version of the charter in force; 0 before one was decided'),
          weight: amount('what this PoP’s forecasts count, 0 … 1'),
          resources: count('resources in the decided demand'),
          stateBytes: count('the decided state, encoded'),
        }),
        v.description('the agreement on forecasts; null where no founders are known'),
      ),
    ),
    forecasting: v.object({
      workers: count('threads that forecast'),
      running: count('of those, started'),
      restarts: count('threads that died and were replaced'),
      pending: count('series asked for and not yet answered'),
      done: count('series forecast since the start'),
      cheap: count('of those, by the last value, for want of time'),
      lastMs: amount('duration of the last epoch’s forecasts'),
      network: choice(['none', 'in-use', 'training'], 'the network that is trained across series'),
    }),
    signals: list(
      v.object({
        source: words('source of signals'),
        state: choice(['waiting', 'connected', 'failing', 'listening'], 'whether it can be reached'),
        taken: count('signals of resources of ours'),
        repeated: count('left out, as they said nothing new'),
        refused: count('of other sites, malformed, or too many'),
        failures: count('times that it did not answer'),
        code: maybe(words('code of the last failure')),
        lastAt: maybe(instant('when the last signal was taken')),
      }),
      'sources of signals, by name',
    ),
    purges: v.object({
      applied: count('purges applied here'),
      unacknowledged: count('own purges not yet proven'),
    }),
    residentBytes: count('resident memory of the process'),
    errors: list(
      v.object({ code: v.string(), count: v.number() }),
      'errors since start by code, most frequent first',
    ),
  }),
} satisfies MethodSpec;

const peers = {
  summary: 'The PoPs of the cluster, as this one sees them.',
  params: v.strictObject({}),
  result: v.object({
    peers: list(
      v.object({
        pop: words('peer id'),
        name: words('name in its certificate'),
        region: words('region in its certificate'),
        state: choice(['self', 'connected', 'lost', 'revoked'], 'connection to it'),
        addresses: list(v.string(), 'multiaddresses known'),
        roundTripMs: maybe(amount('measured round trip')),
        since: maybe(instant('when it was admitted or lost')),
        certificateExpires: maybe(instant('end of its certificate')),
        load: maybe(amount('share of its capacity in use, from its last summary')),
        storageFreeBytes: maybe(count('free, from its last summary')),
        bandwidthFree: maybe(count('bytes a second free, from its last summary')),
        lastSummaryAt: maybe(instant('end of the last window it told of')),
        purgesInStep: maybe(flag('whether its purge digest equals ours')),
        member: flag('whether it is in the decided roster'),
        weight: maybe(amount('what its forecasts count, 0 … 1, as decided from their accuracy')),
        missed: maybe(count('heights in a row that were decided without it')),
      }),
      'this PoP first, then by name',
    ),
  }),
} satisfies MethodSpec;

const epochs = {
  summary: 'The last epochs: what came in, what was forecast, decided and mirrored.',
  params: v.strictObject({ limit: limit(20) }),
  result: v.object({
    epochs: list(
      v.object({
        number: count('epoch'),
        startedAt: instant('beginning, demand time'),
        endedAt: instant('end, demand time'),
        state: choice(
          ['agreed', 'own', 'undecided'],
          'agreed by the cluster, this PoP’s own view, or not decided yet',
        ),
        summaries: count('PoPs whose window was in'),
        requests: count('requests in those windows'),
        resources: count('resources tracked'),
        forecasts: count('series forecast'),
        placements: count('resources that the plan places'),
        pulls: count('contents mirrored to this PoP'),
        pulledBytes: count('their bytes'),
        speculativeBytes: count('of those, on RISING reports'),
        height: maybe(count('height of the decision')),
        decision: maybe(words('hash of the decided state')),
        header: maybe(words('hash of the decision’s header, and so of all decisions up to it')),
        planHash: maybe(words('hash of the plan')),
        included: maybe(count('proposals that counted')),
        tookMs: amount('from the end of the window to the plan, real ms'),
      }),
      'newest first',
    ),
  }),
} satisfies MethodSpec;

const config = {
  summary: 'The configuration that the daemon runs with.',
  params: v.strictObject({}),
  result: v.object({
    file: maybe(words('configuration file')),
    values: list(
      v.object({
        key: words('key'),
        value: maybe(words('value; null where it is not set')),
        source: choice(['flag', 'variable', 'file', 'default', 'unset'], 'what set it'),
        from: words('name of the flag, variable or file'),
        doc: words('meaning'),
      }),
      'all keys',
    ),
  }),
} satisfies MethodSpec;

/** Observations in one call; more are sent in several. */
export const INGEST_BATCH_MAX = 5000;

const ingest = {
  summary: 'Adds requests that another cache served to the demand of this PoP.',
  params: v.strictObject({
    host: v.optional(words('host name of observations that carry none')),
    observations: v.pipe(
      v.array(
        v.strictObject({
          at: instant('when the request was made, demand time'),
          client: v.pipe(v.string(), v.maxLength(255), v.description('address or name of the client')),
          method: v.pipe(v.string(), v.maxLength(32), v.description('request method')),
          url: words('path and query'),
          host: v.pipe(v.string(), v.maxLength(255), v.description('host name, or empty')),
          status: v.pipe(
            v.number(),
            v.integer(),
            v.minValue(0),
            v.maxValue(999),
            v.description('status code'),
          ),
          bytes: count('bytes of the answer’s body'),
          referer: v.optional(words('Referer')),
        }),
      ),
      v.maxLength(INGEST_BATCH_MAX),
      v.description('in order of time'),
    ),
  }),
  result: v.object({
    accepted: count('observations counted as demand'),
    refused: count('observations that were not'),
    reasons: list(v.object({ code: v.string(), count: v.number() }), 'why observations were refused'),
  }),
} satisfies MethodSpec;

const link = {
  summary: 'The DNS name of a single resource, which leads to a PoP that holds it.',
  params: v.strictObject({ url: words('URL of the resource') }),
  result: v.object({
    url: words('as given'),
    key: words('canonical key'),
    key16: words('32 hex digits'),
    label: words('base32 of the key16'),
    name: maybe(words('DNS name; null where the site has no zone')),
    link: maybe(words('URL under that name')),
  }),
} satisfies MethodSpec;

export const METHODS = {
  status,
  peers,
  epochs,
  ...decisionMethods,
  ...replicaMethods,
  ingest,
  link,
  config,
} as const satisfies Record<string, MethodSpec>;

export type MethodName = keyof typeof METHODS;
/** What a handler receives: parameters that passed their schema, defaults filled in. */
export type Params<M extends MethodName> = v.InferOutput<(typeof METHODS)[M]['params']>;
/** What a caller may send. */
export type Call<M extends MethodName> = v.InferInput<(typeof METHODS)[M]['params']>;
/** What a handler returns. */
export type Result<M extends MethodName> = v.InferOutput<(typeof METHODS)[M]['result']>;

export type StatusResult = Result<'status'>;
export type PeersResult = Result<'peers'>;
export type EpochsResult = Result<'epochs'>;
export type TrendingResult = Result<'trending'>;
export type ForecastResult = Result<'forecast'>;
export type PlanResult = Result<'plan'>;
export type ReplicasResult = Result<'replicas'>;
export type TagResult = Result<'tag'>;
export type ExplainResult = Result<'explain'>;
export type AccuracyResult = Result<'accuracy'>;
export type PurgeResult = Result<'purge'>;
export type IngestResult = Result<'ingest'>;
export type LinkResult = Result<'link'>;
export type ConfigResult = Result<'config'>;
