import { soloNetwork } from '../../../node/adapters/solo.ts';
import { resource, tag, url } from '../../unit/invalidation/pops.ts';
import { recorder } from '../network/cluster.ts';
import { openPop } from './pop.ts';

/** What the child says is durable: a version stored, or a purge that came back. */
export type Said =
  | { readonly kind: 'stored'; readonly name: string; readonly content: string }
  | { readonly kind: 'purged'; readonly scope: 'url' | 'tag'; readonly name: string; readonly seq: number };

export const named = (name: string) => resource(`a.example/${name}`, [`tag-${name}`]);

// Stores and purges without pause, telling the parent of all that is durable. It is killed in the middle.
if (process.argv[2] === 'run') {
  const life = Number(process.argv[4]);
  const pop = await openPop(0, {
    directory: process.argv[3] ?? '',
    metrics: recorder(),
    network: soloNetwork,
    alone: true,
  });
  const say = (said: Said) => process.send?.(said);
  const storing = async (worker: number) => {
    for (let i = 0; ; i += 1) {
      const name = `${worker}-${i % 7}`;
      const stored = await pop.fetched(named(name), `${name} in life ${life}, round ${i}`);
      if (stored) say({ kind: 'stored', name, content: stored.content });
    }
  };
  const purging = async (worker: number) => {
    for (let i = 0; ; i += 1) {
      const name = `p${worker}-${life}-${i}`;
      const scope = i % 2 ? 'url' : 'tag';
      const { seq } = await pop.purge(scope === 'url' ? url(named(name).key) : tag(`tag-${name}`));
      say({ kind: 'purged', scope, name, seq });
    }
  };
  await Promise.all([storing(0), storing(1), storing(2), purging(0), purging(1)]);
}
