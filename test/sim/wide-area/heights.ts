import { AgreementWorld } from '../../../node/simulator/agreement-world.ts';
import { eachBit } from '../../../protocol/agreement-bits.ts';
import { blocksOf } from '../../../protocol/agreement-echo.ts';
import type { Decided } from '../../../protocol/agreement-steps.ts';
import { NO_CHARTER } from '../../../protocol/decided-state.ts';
import { encodeState } from '../../../protocol/decided-state-codec.ts';
import type { PopId } from '../../../protocol/ids.ts';
import {
  type AgreementMessage,
  ECHO_BLOCK_SLOTS,
  encodeAgreement,
  type SlotDigest,
} from '../../../protocol/messages/agreement.ts';
import { quorumOf } from '../../../protocol/quorum.ts';
import { seededRandom } from '../../../protocol/random.ts';
import { summaryOf, viewOf } from '../../bench/agree-demand.ts';
import { originOf, TRUST } from '../agreement/operator.ts';
import { decodeOnce, popOf, SimulatedPop } from '../agreement/pop.ts';
import { Witness } from '../agreement/witness.ts';
import { linksOf, meanSize, meshOf } from './overlay.ts';
import { placePops, type RoundTrips } from './round-trips.ts';
import { SharedForecasts } from './shared-forecasts.ts';
import { type Service, type Traffic, WideNetwork } from './wide-network.ts';

const EPOCH_MS = 30_000;
/** From the end of the window to the beat: as long as the others' summaries are waited for. */
const GRACE_MS = 2_000;
/** How far the beats of PoPs lie apart: clocks kept by NTP, and forecasts that take longer here than there. */
const BEAT_SPREAD_MS = 50;
/** An fsync. */
const DISK = { minMs: 2, maxMs: 10 };
/** Longest time that a height may take, virtual. */
const PATIENCE_MS = 120_000;

export interface HeightsOptions {
  readonly trips: RoundTrips;
  readonly pops: number;
  readonly seed: number;
  readonly committees: boolean;
  /** Heights before those that are measured, in which all that is proposed is new. */
  readonly warmUp: number;
  readonly heights: number;
  readonly service: Service;
}

/** Of the heights that were measured; bytes are those that a PoP sends and receives in one epoch. */
export interface Heights {
  readonly pops: number;
  readonly committees: boolean;
  /** From the end of the window to each PoP's decision, the wait for summaries included, ms. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** From the end of the window until the last PoP has the last summary. */
  readonly summariesMs: number;
  readonly slowestPathMs: number;
  readonly included: number;
  /** Gossip messages that a PoP publishes, copies of any that reach it, and messages on streams that it sends. */
  readonly published: number;
  readonly copies: number;
  readonly direct: number;
  readonly bodyBytes: number;
  readonly agreeBytes: number;
  /** The same if every ECHO named its ids, and if none that is not said again did. */
  readonly plainBytes: number;
  readonly compactBytes: number;
  readonly summaryBytes: number;
  readonly ratio: number;
  readonly links: number;
  readonly meshDegree: number;
}

/** Sees when each PoP decides. */
class Watch extends Witness {
  readonly times = new Map<PopId, number>();
  included = 0;
  readonly #now: () => number;

  constructor(founders: readonly PopId[], now: () => number) {
    super(founders, new Set(founders), (size) => quorumOf(size).quorum);
    this.#now = now;
  }

  override decides(pop: PopId, decided: Decided): void {
    super.decides(pop, decided);
    if (decided.header.height !== this.highest) return;
    this.times.set(pop, this.#now());
    this.included = decided.header.included.length;
  }
}

/** BODY messages of one height, each kept once: what is the same at all PoPs need not be in memory for each of them. */
class SameBodies {
  readonly #sent = new Map<string, Uint8Array>();

  same(bytes: Uint8Array): Uint8Array {
    if (bytes[1] !== BODY) return bytes;
    // The head and the id.
    const name = Buffer.from(bytes.subarray(0, 36)).toString('hex');
    const known = this.#sent.get(name) ?? bytes;
    this.#sent.set(name, known);
    return known;
  }

  clear(): void {
    this.#sent.clear();
  }
}
/** The kind of a BODY message, which follows the head of the array. */
const BODY = 6;

/** The bytes of a message with ECHOs as they are, all plain, and all compact. */
function forms(message: AgreementMessage, said: number): readonly [plain: number, compact: number] {
  if (message.kind === 'echo') {
    const { height, echoes } = message;
    return [
      said,
      encodeAgreement({ kind: 'compact-echo', height, blocks: blocksOf(height, [...echoes]) }).length,
    ];
  }
  if (message.kind !== 'compact-echo') return [said, said];
  const echoes: SlotDigest[] = [];
  for (const [block, slots, hash] of message.blocks) {
    eachBit(slots, ECHO_BLOCK_SLOTS, (bit) => echoes.push([block * ECHO_BLOCK_SLOTS + bit, hash]));
  }
  return [encodeAgreement({ kind: 'echo', height: message.height, echoes }).length, said];
}

/**
 * A cluster of real machines, with real forecasts as what they agree on, on a wide-area network: decides some heights
 * and tells how long that took and what it cost. Fails if two PoPs decide differently or one does not decide.
 */
export function decideHeights(options: HeightsOptions): Heights {
  const { trips, pops, seed, committees, warmUp, heights, service } = options;
  const world = new AgreementWorld(seed, () => ({
    ...{ loss: 0, duplicates: 0, minMs: 0, maxMs: 0, stragglers: 0 },
  }));
  const { clock } = world;
  const area = placePops(trips, pops, world.random);
  const founders = Array.from({ length: pops }, (_, index) => popOf(index));
  const index = new Map(founders.map((pop, at) => [pop, at]));
  const links = linksOf(founders);
  const mesh = meshOf(links, world.random);
  const network = new WideNetwork(clock, area, { links, mesh }, service);
  const watch = new Watch(founders, () => clock.now);
  const forecasts = new SharedForecasts(TRUST, founders[0]!, (height, pop, id) =>
    watch.vouched(height, pop, id),
  );
  const state = originOf(founders, 1_000);
  const origin = encodeState({
    ...state,
    charter: { ...NO_CHARTER, epochMs: EPOCH_MS, ...(!committees && { committee: 0 }) },
  });
  const bodies = new SameBodies();
  let epoch = 0;
  const extra = { plain: 0, compact: 0, bodies: 0 };
  const machines: SimulatedPop[] = founders.map((pop, at) => {
    const random = seededRandom(world.random.uint32());
    return new SimulatedPop({
      ...{ index: at, founders, origin, world, random, epochMs: EPOCH_MS, disk: DISK, witness: watch },
      ...{ defects: {}, forgetful: false, crashAtWrite: () => false, tearsWrite: () => false },
      ...{ pass: () => undefined, crashed: () => undefined },
      application: forecasts.of(pop, () => viewOf(at, epoch, EPOCH_MS)),
      carrier: {
        gossip: (from, bytes) => {
          const message = decodeOnce(bytes);
          const [plain, compact] = forms(message, bytes.length);
          if (message.kind === 'propose') extra.bodies += message.length;
          network.publish({
            ...{ topic: 'agree', from: from.index, length: bytes.length, flood: false },
            heard: (to) => machines[to]!.step({ type: 'gossip', from: from.pop, bytes }),
            copied: () => {
              extra.plain += plain - bytes.length;
              extra.compact += compact - bytes.length;
            },
          });
        },
        direct: (from, to, bytes) => {
          const at = index.get(to)!;
          const same = bodies.same(bytes);
          network.send('agreeSync', from.index, at, bytes.length, () =>
            machines[at]!.step({ type: 'direct', from: from.pop, bytes: same }),
          );
        },
      },
    });
  });
  for (const machine of machines) machine.start();
  clock.run(5_000);

  const delays: number[] = [];
  const lastSummaries: number[] = [];
  let included = 0;
  for (; epoch < warmUp + heights; epoch += 1) {
    if (epoch === warmUp) {
      network.reset();
      Object.assign(extra, { plain: 0, compact: 0, bodies: 0 });
    }
    const endOfWindow = clock.now;
    let lastSummary = endOfWindow;
    for (const [at, pop] of founders.entries()) {
      network.publish({
        ...{ topic: 'summary', from: at, flood: false },
        length: summaryOf(at, pop, epoch, EPOCH_MS, pops).length,
        heard: () => {
          lastSummary = clock.now;
        },
      });
    }
    for (const machine of machines) {
      clock.after(GRACE_MS + world.random.float() * BEAT_SPREAD_MS, () => machine.step({ type: 'propose' }));
    }
    watch.times.clear();
    bodies.clear();
    const height = watch.highest + 1;
    const done = () => watch.highest === height && watch.times.size === pops;
    clock.run(PATIENCE_MS, done);
    if (!done()) throw new Error(`height ${height} is decided by ${watch.times.size} of ${pops} PoPs`);
    if (epoch >= warmUp) {
      for (const time of watch.times.values()) delays.push(time - endOfWindow);
      lastSummaries.push(lastSummary - endOfWindow);
      included += watch.included / heights;
    }
    // What was on its way when the last one decided belongs to this height too.
    clock.run(Math.max(0, EPOCH_MS - (clock.now - endOfWindow)));
  }

  const perPop = (count: number) => count / pops / heights;
  const agree = network.traffic('agree');
  const streams = network.traffic('agreeSync');
  const summaries = network.traffic('summary');
  /** Sent and received. */
  const both = (traffic: Traffic) => 2 * perPop(traffic.bytes + traffic.controlBytes);
  const agreeBytes = both(agree) + both(streams);
  const summaryBytes = both(summaries);
  return {
    ...{ pops, committees, included },
    p50Ms: quantile(delays, 0.5),
    p99Ms: quantile(delays, 0.99),
    summariesMs: Math.max(...lastSummaries),
    slowestPathMs: area.slowestMs,
    published: perPop(agree.messages),
    copies: perPop(agree.copies),
    direct: perPop(streams.messages),
    bodyBytes: extra.bodies / pops / heights,
    agreeBytes,
    plainBytes: agreeBytes + 2 * perPop(extra.plain),
    compactBytes: agreeBytes + 2 * perPop(extra.compact),
    summaryBytes,
    ratio: agreeBytes / summaryBytes,
    links: meanSize(links),
    meshDegree: meanSize(mesh),
  };
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0;
}
