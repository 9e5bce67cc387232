import { readdir, readFile } from 'node:fs/promises';

/** Of the kernel's clock a second, as `getconf CLK_TCK` says on Linux. */
const CLOCK_TICKS = 100;

/** Processor time that a process and those that it started (nginx's worker) have used so far, seconds. */
export async function cpuSeconds(pid: number | undefined): Promise<number> {
  let ticks = 0;
  for (const each of await family(pid)) {
    // proc(5), fields 14 and 15; the second one is the name, which may hold anything.
    const stat = await readFile(`/proc/${each}/stat`, 'utf8').catch(() => '');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }
  return ticks / CLOCK_TICKS;
}

/** Memory of a process and those that it started, resident, MiB; what they share counts for each. */
export async function residentMiB(pid: number | undefined): Promise<number> {
  let kib = 0;
  for (const each of await family(pid)) {
    const status = await readFile(`/proc/${each}/status`, 'utf8').catch(() => '');
    kib += Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  }
  return Math.round(kib / 1024);
}

/** A process and its descendants, whichever of its threads started them. */
async function family(pid: number | undefined): Promise<number[]> {
  if (pid === undefined) return [];
  const members = [pid];
  for (const member of members) {
    for (const thread of await readdir(`/proc/${member}/task`).catch(() => [])) {
      const children = await readFile(`/proc/${member}/task/${thread}/children`, 'utf8').catch(() => '');
      members.push(...children.split(' ').filter(Boolean).map(Number));
    }
  }
  return members;
}

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

/** Lowest and highest. */
export const spread = (values: readonly number[]): [low: number, high: number] => [
  Math.min(...values),
  Math.max(...values),
];

/** Progress, for people who wait. */
export const say = (line: string): void => void process.stderr.write(`${line}\n`);
