import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { certify, createOperator, newKey } from '../integration/network/cluster.ts';
import { RESOURCES } from './agree-demand.ts';
import { type Bytes, type Messages, monotonicMs, type Order, type Word } from './agree-pops.ts';

/**
 * Real PoPs on this machine that decide height after height: libp2p over TLS, gossipsub, streams, LevelDB with fsync,
 * Ed25519, the real application with a thousand resources. They live in two processes and more, up to fifteen in
 * each, so that what a PoP alone on its machine takes is a fraction of the time shown; CPU a PoP and height stands
 * beside it. In each epoch every PoP first shares its summary of the same demand, then all are told to propose at once.
 */

/**
 * PoPs, heights before those that are measured (the first states know nothing, so that all is new in them), heights
 * that are measured, and the epoch's length. The beat may come again after half an epoch, and must come
 * within one and a half, or the PoPs go on by themselves: so the more of them share the machine, the longer it is.
 */
const CLUSTERS = [
  { pops: 5, warmUp: 3, heights: 20, epochMs: 1_000 },
  { pops: 15, warmUp: 3, heights: 12, epochMs: 4_000 },
  { pops: 30, warmUp: 3, heights: 6, epochMs: 15_000 },
  { pops: 60, warmUp: 2, heights: 4, epochMs: 40_000 },
];
/** PoPs in one process: with more, collecting garbage is most of what it does. At least one process a core. */
const POPS_A_PROCESS = 15;
const PROCESSES_MIN = 2;
/** `AGREE_POPS=5,15` measures those clusters alone. */
const ONLY = process.env.AGREE_POPS?.split(',').map(Number);
/** Longest wait for one height, and for the cluster to come together. */
const HEIGHT_MS = 300_000;
const MESH_MS = 600_000;
/** Gossipsub's meshes form from heartbeat to heartbeat. */
const SETTLE_MS = 5_000;

interface Size {
  readonly pops: number;
  readonly warmUp: number;
  readonly heights: number;
  readonly epochMs: number;
}

export async function run(_options: { json: boolean }) {
  const sizes = [];
  for (const size of CLUSTERS.filter(({ pops }) => ONLY?.includes(pops) ?? true)) {
    const result = await measure(size);
    process.stderr.write(`${JSON.stringify(result)}\n`);
    sizes.push(result);
  }
  const largest = sizes.at(-1)!;
  return {
    name: 'agree',
    unit: `bytes a PoP sends and receives an epoch to agree, ${largest.pops} PoPs`,
    ours: largest.agreeBytes,
    peer: largest.summaryBytes,
    ratio: largest.ratio,
    runs: sizes.map(({ ratio }) => ratio),
    resources: RESOURCES,
    sizes,
  };
}

async function measure({ pops, warmUp, heights, epochMs }: Size) {
  const directory = mkdtempSync(join(tmpdir(), 'presage-agree-'));
  const cluster = new Cluster(pops, epochMs, directory);
  try {
    await cluster.open();
    let epoch = 0;
    for (; epoch < warmUp; epoch += 1) await cluster.decide(epoch);
    const before = await cluster.count();
    const startedAt = monotonicMs();
    const delays: number[] = [];
    const bySlowest: number[] = [];
    let heard = 0;
    let included = 0;
    let deciding = 0;
    for (const end = epoch + heights; epoch < end; epoch += 1) {
      const round = await cluster.decide(epoch);
      delays.push(...round.delays);
      bySlowest.push(Math.max(...round.delays));
      heard += round.heard / heights;
      included += round.included / heights;
      deciding += Math.max(...round.delays);
    }
    const seconds = (monotonicMs() - startedAt) / 1_000;
    const after = await cluster.count();
    const per = (of: (counts: Counts) => number) => (of(after) - of(before)) / pops / heights;
    // What one PoP receives another has sent; streams are counted at both ends.
    const agreeBytes = Math.round(per(({ bytes }) => 2 * bytes.agreeGossip + bytes.agreeStreams));
    const summaryBytes = Math.round(per(({ bytes }) => 2 * bytes.summaryGossip));
    return {
      ...{ pops, heights },
      heightsPerSecond: rounded((1_000 * heights) / deciding, 100),
      epochsPerSecond: rounded(heights / seconds, 100),
      p50Ms: rounded(quantile(delays, 0.5)),
      p99Ms: rounded(quantile(delays, 0.99)),
      lastMs: rounded(quantile(bySlowest, 0.5)),
      ...{ agreeBytes, summaryBytes, ratio: rounded(agreeBytes / summaryBytes, 100) },
      said: rounded(per(({ messages }) => messages.said)),
      copies: Math.round(per(({ messages }) => messages.copies)),
      cpuMsPerPopAndHeight: rounded(per(({ cpuMs }) => cpuMs)),
      summariesHeard: rounded(heard, 1_000),
      included: rounded(included),
      rssMiB: after.rssMiB,
    };
  } finally {
    await cluster.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Counts {
  readonly bytes: Bytes;
  readonly messages: Messages;
  readonly cpuMs: number;
  readonly rssMiB: number;
}
type Decided = Extract<Word, { type: 'decided' }>;

/** The processes of one cluster. */
class Cluster {
  readonly #pops: number;
  readonly #epochMs: number;
  readonly #children: ChildProcess[] = [];
  readonly #directory: string;
  readonly #hear = new Set<(word: Word, child: number) => void>();
  #decided: Decided[] = [];
  #proposedAt = 0;

  constructor(pops: number, epochMs: number, directory: string) {
    [this.#pops, this.#epochMs, this.#directory] = [pops, epochMs, directory];
    for (let child = 0; child < Math.max(PROCESSES_MIN, Math.ceil(pops / POPS_A_PROCESS)); child += 1) {
      const made = fork(join(import.meta.dirname, 'agree-pops.ts'), {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
      this.#children.push(made);
      made.on('message', (word: Word) => {
        if (word.type === 'decided') this.#decided.push(word);
        for (const hear of this.#hear) hear(word, child);
      });
    }
    process.on('exit', this.#kill);
  }

  readonly #kill = () => {
    for (const child of this.#children) child.kill('SIGKILL');
  };

  async open(): Promise<void> {
    const operator = createOperator('bench');
    const pkcs8 = (key: typeof operator.key) =>
      key.export({ format: 'der', type: 'pkcs8' }).toString('base64');
    const pops = Array.from({ length: this.#pops }, () => {
      const key = newKey();
      return { key: pkcs8(key), sealed: Buffer.from(certify(operator, key)).toString('base64') };
    });
    let bootstrap: readonly string[] = [];
    for (const [child, { length }] of this.#children.map((_, index) => [index, this.#children] as const)) {
      const own = pops.flatMap((_, pop) => (pop % length === child ? [pop] : []));
      const opened = this.#words('opened', 1, MESH_MS);
      const key = pkcs8(operator.key);
      const directory = this.#directory;
      this.#tell(
        { type: 'open', operator: key, pops, own, directory, epochMs: this.#epochMs, bootstrap },
        child,
      );
      const [{ addresses }] = (await opened) as [Extract<Word, { type: 'opened' }>];
      bootstrap = [...bootstrap, ...addresses];
    }
    const least = new Map<number, number>();
    await this.#until('the cluster has come together', MESH_MS, (word, child) => {
      if (word.type === 'connected') least.set(child, word.least);
      return (
        least.size === this.#children.length && [...least.values()].every((count) => count === this.#pops - 1)
      );
    });
    await pause(SETTLE_MS);
    const started = this.#words('agreeing', this.#children.length, MESH_MS);
    this.#tell({ type: 'agree' });
    await started;
  }

  /** Summaries, then the beat; resolves when all have decided the height. */
  async decide(epoch: number): Promise<{ delays: number[]; heard: number; included: number }> {
    const summaries = this.#words('summaries', this.#children.length, HEIGHT_MS);
    this.#tell({ type: 'summarise', epoch });
    const heard = (await summaries).reduce(
      (sum, word) => sum + (word.type === 'summaries' ? word.heard : 0),
      0,
    );
    // A beat that comes too early belongs to the height before.
    await pause(this.#proposedAt + 0.55 * this.#epochMs - monotonicMs());
    // Without a beat for one and a half epochs they go on by themselves.
    const height = 1 + this.#decided.reduce((highest, word) => Math.max(highest, word.height), 0);
    this.#decided = this.#decided.filter((word) => word.height === height - 1);
    this.#proposedAt = monotonicMs();
    this.#tell({ type: 'propose', epoch });
    // One that was late may have taken a later height from a certificate.
    const past = () =>
      new Set(this.#decided.filter((word) => word.height >= height).map(({ pop }) => pop)).size;
    await this.#until(`height ${height} is decided`, HEIGHT_MS, () => past() >= this.#pops);
    const words = this.#decided.filter((word) => word.height === height);
    if (new Set(words.map(({ hash }) => hash)).size !== 1)
      throw new Error(`height ${height} is decided in two ways`);
    return {
      delays: words.map(({ at }) => at - this.#proposedAt),
      heard: heard / this.#children.length,
      included: words[0]!.included,
    };
  }

  async count(): Promise<Counts> {
    const counted = this.#words('counted', this.#children.length, HEIGHT_MS);
    this.#tell({ type: 'count' });
    const all = (await counted) as Extract<Word, { type: 'counted' }>[];
    const sum = (of: (word: (typeof all)[number]) => number) =>
      all.reduce((total, word) => total + of(word), 0);
    return {
      bytes: {
        agreeGossip: sum(({ bytes }) => bytes.agreeGossip),
        agreeStreams: sum(({ bytes }) => bytes.agreeStreams),
        summaryGossip: sum(({ bytes }) => bytes.summaryGossip),
      },
      messages: {
        said: sum(({ messages }) => messages.said),
        copies: sum(({ messages }) => messages.copies),
      },
      cpuMs: sum(({ cpuMs }) => cpuMs),
      rssMiB: sum(({ rssMiB }) => rssMiB),
    };
  }

  async close(): Promise<void> {
    const ended = this.#children.map(
      (child) =>
        new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve(0))),
    );
    this.#tell({ type: 'close' });
    await Promise.race([Promise.all(ended), pause(20_000)]);
    this.#kill();
    process.off('exit', this.#kill);
  }

  #tell(order: Order, child?: number): void {
    for (const [index, one] of this.#children.entries())
      if ((child === undefined || child === index) && one.connected) one.send(order);
  }

  async #words(type: Word['type'], count: number, withinMs: number): Promise<Word[]> {
    const words: Word[] = [];
    await this.#until(`${count} of ${type}`, withinMs, (word) => {
      if (word.type === type) words.push(word);
      return words.length >= count;
    });
    return words;
  }

  #until(what: string, withinMs: number, done: (word: Word, child: number) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => finish(new Error(`not within ${withinMs} ms: ${what}`)), withinMs);
      const hear = (word: Word, child: number) => {
        if (done(word, child)) finish();
      };
      const finish = (error?: Error) => {
        clearTimeout(timer);
        this.#hear.delete(hear);
        if (error) reject(error);
        else resolve();
      };
      this.#hear.add(hear);
    });
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? 0;
}

const rounded = (value: number, per = 10): number => Math.round(value * per) / per;
