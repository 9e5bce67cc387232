import { codeOf } from '../../protocol/errors.ts';
import type { Clients } from './clients.ts';
import type { ExpectedContent } from './content.ts';
import { DEMO_HOST } from './load.ts';
import type { Pop } from './pop.ts';

/** What a purge did, and what the PoPs answered after it. */
export interface PurgeTrial {
  readonly kind: 'url' | 'tag';
  /** What was purged. */
  readonly target: string;
  /** Real ms from the call until every PoP had acknowledged. */
  readonly ms: number;
  readonly acknowledged: boolean;
  /** Names of PoPs that had not. */
  readonly missing: readonly string[];
  /** Requests sent to the PoPs afterwards, and how many of the answers had the origin's new bytes. */
  readonly asked: number;
  readonly fresh: number;
}

interface World {
  readonly pops: readonly Pop[];
  readonly clients: Pick<Clients, 'ask'>;
  readonly expected: ExpectedContent;
  /** Changes a file at the origin; its new version. */
  readonly change: (path: string) => Promise<number>;
}

/**
 * Changes `paths` at the origin after every PoP has stored them, purges them through one PoP, and asks every PoP
 * for each of them.
 */
export async function purgeTrial(
  kind: PurgeTrial['kind'],
  target: string,
  paths: readonly string[],
  world: World,
): Promise<PurgeTrial> {
  await askAll(paths, world);
  const versions = new Map<string, number>();
  for (const path of paths) versions.set(path, await world.change(path));
  const through = world.pops[0]!;
  const began = performance.now();
  const outcome = await purge(through, kind, target);
  const ms = performance.now() - began;
  let fresh = 0;
  const answers = await askAll(paths, world);
  for (const answer of answers) {
    const hash = world.expected.hash(answer.path, versions.get(answer.path) ?? 0);
    if (answer.status === 200 && answer.hash === hash) fresh += 1;
  }
  return { kind, target, ms, ...outcome, asked: answers.length, fresh };
}

/** A purge by RPC that waits for the acknowledgements; never rejects. */
export async function purge(
  pop: Pop,
  kind: PurgeTrial['kind'],
  target: string,
): Promise<{ acknowledged: boolean; missing: readonly string[] }> {
  try {
    const missing = await pop.purge(
      kind === 'url' ? { url: `http://${DEMO_HOST}${target}` } : { tag: target },
    );
    return { acknowledged: missing.length === 0, missing };
  } catch (error) {
    return { acknowledged: false, missing: [`${pop.name}: ${codeOf(error)}`] };
  }
}

/** Asks every PoP for every path. */
export async function askAll(paths: readonly string[], { pops, clients }: Pick<World, 'pops' | 'clients'>) {
  return Promise.all(
    pops.flatMap((pop) =>
      paths.map((path) =>
        clients.ask(pop.address, { at: 0, region: pop.options.region, client: 60_000, path }),
      ),
    ),
  );
}
