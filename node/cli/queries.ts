import { type Command, Option } from 'commander';
import type { CommandIo } from './io.ts';
import { ask, type DaemonOptions, integer, time, withDaemon } from './remote.ts';

/** Commands that ask the daemon one question and print the answer. Views are loaded only when one is printed. */
export function queryCommands(program: Command, io: CommandIo): void {
  const query = (name: string, summary: string) =>
    withDaemon(program.command(name).summary(summary).description(summary));

  query('status', 'What this PoP is, how it does, and what it lacks').action(
    async (options: DaemonOptions) => {
      const { statusView } = await import('./views.ts');
      await ask(io, options, 'status', {}, statusView);
    },
  );

  query('peers', 'The PoPs of the cluster, as this one sees them').action(async (options: DaemonOptions) => {
    const { peersView } = await import('./views.ts');
    await ask(io, options, 'peers', {}, peersView);
  });

  query('epochs', 'The last epochs: requests, forecasts, placements, pulls')
    .option('--limit <N>', 'how many', integer(1), 20)
    .action(async ({ limit, ...options }: DaemonOptions & { limit: number }) => {
      const { epochsView } = await import('./views.ts');
      await ask(io, options, 'epochs', { limit }, epochsView);
    });

  query('trending', 'Resources whose demand rises')
    .option('--limit <N>', 'how many', integer(1), 20)
    .option('--region <REGION>', 'only in this region')
    .action(async ({ limit, region, ...options }: DaemonOptions & { limit: number; region?: string }) => {
      const { trendingView } = await import('./views-decision.ts');
      await ask(io, options, 'trending', { limit, ...(region !== undefined && { region }) }, trendingView);
    });

  query('forecast', 'Expected requests for a resource, per region')
    .argument('<RESOURCE>', 'URL, canonical key or key16')
    .option('--region <REGION>', 'only for this region')
    .action(async (resource: string, { region, ...options }: DaemonOptions & { region?: string }) => {
      const { forecastView } = await import('./views-decision.ts');
      await ask(io, options, 'forecast', { resource, ...(region !== undefined && { region }) }, forecastView);
    });

  query('plan', 'What the plan places where')
    .option('--limit <N>', 'how many resources', integer(1), 50)
    .option('--pop <POP>', 'only placements on this PoP, by name or peer id')
    .action(async ({ limit, pop, ...options }: DaemonOptions & { limit: number; pop?: string }) => {
      const { planView } = await import('./views-decision.ts');
      await ask(io, options, 'plan', { limit, ...(pop !== undefined && { pop }) }, planView);
    });

  interface ReplicasOptions extends DaemonOptions {
    readonly limit: number;
    readonly after?: string;
    readonly prefix?: string;
    readonly source?: 'client' | 'plan' | 'speculative';
  }
  query('replicas', 'The responses stored here')
    .option('--limit <N>', 'how many', integer(1), 50)
    .option('--after <CURSOR>', 'continue after a page')
    .option('--prefix <PREFIX>', 'only keys that begin so')
    .addOption(
      new Option('--source <SOURCE>', 'only those that came so').choices(['client', 'plan', 'speculative']),
    )
    .action(async ({ limit, after, prefix, source, ...options }: ReplicasOptions) => {
      const { replicasView } = await import('./views.ts');
      const params = {
        limit,
        ...(after !== undefined && { after }),
        ...(prefix !== undefined && { prefix }),
        ...(source !== undefined && { source }),
      };
      await ask(io, options, 'replicas', params, replicasView);
    });

  query('tag', 'The metadata of a resource: version, holders, priority, tier')
    .argument('<RESOURCE>', 'URL, canonical key or key16')
    .action(async (resource: string, options: DaemonOptions) => {
      const { tagView } = await import('./views.ts');
      await ask(io, options, 'tag', { resource }, tagView);
    });

  query('explain', 'Why a resource is or is not here')
    .argument('<RESOURCE>', 'URL, canonical key or key16')
    .action(async (resource: string, options: DaemonOptions) => {
      const { explainView } = await import('./views-decision.ts');
      await ask(io, options, 'explain', { resource }, explainView);
    });

  query('accuracy', 'What came, held against what was forecast and mirrored')
    .option('--region <REGION>', 'only for this region')
    .action(async ({ region, ...options }: DaemonOptions & { region?: string }) => {
      const { accuracyView } = await import('./views-decision.ts');
      await ask(io, options, 'accuracy', region === undefined ? {} : { region }, accuracyView);
    });

  query('link', 'The DNS name of a single resource')
    .argument('<URL>', 'URL of the resource')
    .action(async (url: string, options: DaemonOptions) => {
      const { linkView } = await import('./views.ts');
      await ask(io, options, 'link', { url }, linkView);
    });

  query('announce', 'Tell of demand that is to come: a premiere, a release')
    .argument('<URL>', 'URL of the resource')
    .requiredOption('--at <TIME>', 'when demand begins', time)
    .option('--expect <N>', 'requests expected in the first hour', integer(0))
    .option('--region <REGION>', 'only from this region')
    .action(
      async (
        url: string,
        { at, expect, region, ...options }: DaemonOptions & { at: number; expect?: number; region?: string },
      ) => {
        const { announceView } = await import('./views-decision.ts');
        const params = {
          url,
          at,
          ...(expect !== undefined && { expect }),
          ...(region !== undefined && { region }),
        };
        await ask(io, options, 'announce', params, announceView);
      },
    );

  query('signal', 'Hint that a resource will be asked for; counts as far as such hints have been right')
    .argument('<URL>', 'URL of the resource')
    .option('--strength <N>', 'on a scale of your own, 1 or more', integer(1))
    .option('--at <TIME>', 'when it was said', time)
    .option('--region <REGION>', 'only for this region')
    .action(
      async (
        url: string,
        {
          strength,
          at,
          region,
          ...options
        }: DaemonOptions & { strength?: number; at?: number; region?: string },
      ) => {
        const { signalView } = await import('./views-signals.ts');
        const params = {
          url,
          ...(strength !== undefined && { strength }),
          ...(at !== undefined && { at }),
          ...(region !== undefined && { region }),
        };
        await ask(io, options, 'signal', params, signalView);
      },
    );
}
