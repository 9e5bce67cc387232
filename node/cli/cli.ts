import { readFileSync } from 'node:fs';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { coded, PresageError } from '../../protocol/errors.ts';
import { explainConfig } from '../config.ts';
import { flagOf, PATHS, specOf, variableOf } from '../config-table.ts';
import type { SimulateOptions } from './delegates.ts';
import { dnsCommand } from './dns.ts';
import type { CommandIo } from './io.ts';
import { queryCommands } from './queries.ts';
import { ask, type DaemonOptions, integer, withDaemon } from './remote.ts';
import { printable } from './table.ts';

/** Exit codes: done; failed or a promise not held; called wrongly. */
export const EXIT = { done: 0, failed: 1, usage: 2 } as const;

/** A purge that waits is given this much longer to answer than it may wait. */
const PURGE_GRACE_MS = 5000;

/** Version of the package. */
export const version = (): string => {
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      return (JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as { version: string }).version;
    } catch {
      // Sources lie two directories below the package, the build three.
    }
  }
  return 'unknown';
};

/**
 * Runs one command line (without `node` and script) and returns the exit code. What fails is printed on standard
 * error with its code and remedy. Modules of a command are loaded only when it runs.
 */
export async function runCli(args: readonly string[], io: CommandIo): Promise<number> {
  let exitCode: number = EXIT.done;
  const exit = (code: number) => {
    exitCode = code;
  };
  const program = frame(io);
  startCommand(program, io);
  demoCommand(program, io, exit);
  await keysCommandOf(program, io, args);
  queryCommands(program, io);
  dnsCommand(program, io, () => exit(EXIT.failed));
  purgeCommand(program, io, exit);
  signCommand(program, io);
  ingestCommand(program, io, exit);
  dashboardCommand(program, io);
  configCommand(program, io);
  predictCommand(program, io, exit);
  simulateCommand(program, io, exit);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    printError(error, io, args.includes('--json'));
    return EXIT.failed;
  }
}

/** Code, message and remedy, for people or as one JSON object. */
export function printError(thrown: unknown, io: Pick<CommandIo, 'stderr'>, json: boolean): void {
  const { code, message, remedy } = addressError(thrown) ?? coded(thrown);
  if (json) {
    io.stderr.write(`${JSON.stringify({ error: { code, message, remedy } })}\n`);
    return;
  }
  const lines = message.split('\n').map(printable).join('\n');
  io.stderr.write(`error: ${lines}\n${code}: ${remedy}\n`);
  if (code === 'INTERNAL' && thrown instanceof Error) io.stderr.write(`${thrown.stack ?? ''}\n`);
}

/** An address that cannot be had is the configuration's fault, whoever asked for it. */
function addressError(thrown: unknown): PresageError | undefined {
  const { syscall, code, message } = (thrown ?? {}) as NodeJS.ErrnoException;
  if ((syscall !== 'listen' && syscall !== 'bind') || code === undefined) return undefined;
  const remedies: Readonly<Record<string, string>> = {
    EADDRINUSE: 'stop what listens there, or choose another address',
    EACCES: 'ports below 1024 need the privilege to bind them; choose a higher one',
    EADDRNOTAVAIL: 'choose an address of this machine',
  };
  return new PresageError(
    'CONFIG_INVALID',
    `${message}: ${remedies[code] ?? 'choose another address'}`,
    {},
    thrown,
  );
}

function frame(io: CommandIo): Command {
  return new Command('presage')
    .description('Forecasts demand with its peers and mirrors content before the first request')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .showSuggestionAfterError()
    .showHelpAfterError('(--help shows what there is)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
    });
}

/** A flag for each key of the configuration. */
function withConfiguration(command: Command): Command {
  command.option('--config <FILE>', 'configuration file (TOML), or PRESAGE_CONFIG');
  for (const path of PATHS) {
    const { kind, doc, default: preset } = specOf(path);
    const shown =
      preset === undefined || (Array.isArray(preset) && preset.length === 0) ? '' : ` [${String(preset)}]`;
    const option = new Option(
      `--${flagOf(path)} <${kind.placeholder}>`,
      `${doc}${shown} (${path}, ${variableOf(path)})`,
    );
    if (kind.list) {
      option.argParser((value: string, before: readonly string[] | undefined) => [...(before ?? []), value]);
      option.description += ' May be repeated.';
    }
    command.addOption(option);
  }
  return command;
}

/** Values of the configuration's flags by flag name. */
function configurationFlags(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const flags: Record<string, unknown> = {};
  for (const path of PATHS) {
    const flag = flagOf(path);
    const value = options[new Option(`--${flag}`).attributeName()];
    if (value !== undefined) flags[flag] = value;
  }
  return flags;
}

const effective = (options: Readonly<Record<string, unknown>>, io: CommandIo) =>
  explainConfig({
    file: options.config as string | undefined,
    flags: configurationFlags(options),
    env: io.env,
    cwd: io.cwd,
  });

function startCommand(program: Command, io: CommandIo): void {
  withConfiguration(program.command('start').summary('Run this PoP'))
    .description(
      'Run this PoP until it is told to stop. With --origin alone every host name is served from that origin.',
    )
    .action(async (options: Record<string, unknown>) => {
      const explained = effective(options, io);
      const { start } = await import('../start.ts');
      await start(explained.config, explained);
    });
}

function demoCommand(program: Command, io: CommandIo, exit: (code: number) => void): void {
  program
    .command('demo')
    .summary('Show the main job on this machine')
    .description(
      'Run a cluster of real daemons on this machine under a replayed or generated load, and report.',
    )
    .option('--log <FILE>', 'replay this access log in place of the generated load')
    .addOption(new Option('--load <KIND>', 'generated load [zipf]').choices(['zipf', 'null']))
    .option('--speed <N>', 'demand time that passes in a second', positive)
    .option('--pops <N>', 'daemons', integer(2, 16))
    .option('--seed <N>', 'seed of the generated load', integer(0, 0xffff_ffff))
    .option(
      '--own-forecasts',
      'let every PoP plan from its own forecasts, for comparison: nothing is agreed on',
    )
    .option('--keep', "keep the directory of the PoPs' data and logs")
    .option('--json', 'print the report as one JSON object', false)
    .action(async (options: import('../demo/demo.ts').DemoOptions) => {
      const { demo } = await import('../demo/demo.ts');
      exit(await demo(options, io));
    });
}

/** The subcommands of `keys` stand in a module of their own, loaded only when they or the help are asked for. */
async function keysCommandOf(program: Command, io: CommandIo, args: readonly string[]): Promise<void> {
  const keys = program.command('keys').summary('Make keys, certificates and charter');
  keys.description('Make keys, certificates and the charter of a cluster.');
  if (args[0] !== 'keys' && !(args[0] === 'help' && args[1] === 'keys')) return;
  const { keysCommand } = await import('./keys.ts');
  keysCommand(keys, io);
}

interface PurgeOptions extends DaemonOptions {
  readonly tag?: string;
  readonly prefix?: string;
  readonly soft?: boolean;
  readonly wait?: boolean;
  readonly timeout: number;
}

function purgeCommand(program: Command, io: CommandIo, exit: (code: number) => void): void {
  withDaemon(program.command('purge').summary('Make stored content gone at every PoP'))
    .description(
      'Make stored content gone (or stale) at every PoP. Exit code 1 if --wait ends with PoPs missing.',
    )
    .argument('[URL]', 'resource to purge')
    .option('--tag <TAG>', 'purge all that carries this surrogate key')
    .option('--prefix <PREFIX>', 'purge all whose URL begins so')
    .option('--soft', 'stale until revalidated instead of gone')
    .option('--wait', 'until every reachable PoP has acknowledged')
    .option('--timeout <MS>', 'longest wait, ms', integer(1, 600_000), 10_000)
    .action(
      async (url: string | undefined, { tag, prefix, soft, wait, timeout, ...options }: PurgeOptions) => {
        const targets = [url, tag, prefix].filter((target) => target !== undefined);
        if (targets.length !== 1)
          throw new PresageError('RPC_PARAMS', 'name exactly one of URL, --tag and --prefix');
        const { purgeView } = await import('./views.ts');
        const params = {
          ...(url !== undefined && { url }),
          ...(tag !== undefined && { tag }),
          ...(prefix !== undefined && { prefix }),
          soft: soft ?? false,
          wait: wait ?? false,
          timeoutMs: timeout,
        };
        const result = await ask(io, options, 'purge', params, purgeView, timeout + PURGE_GRACE_MS);
        if (wait && !result.complete) exit(EXIT.failed);
      },
    );
}

function signCommand(program: Command, io: CommandIo): void {
  program
    .command('sign')
    .summary('Sign a URL of a private site')
    .description(
      'Sign a URL of a private site so that every PoP serves it until it expires. Needs the charter, and no daemon.',
    )
    .argument('<URL>', 'resource of the site')
    .requiredOption('--expires <TIME>', 'a duration from now (2h, 7d) or a time (2026-12-01T20:00:00Z)')
    .option('--site <ID>', 'site of the charter; by default the one that has the host name of the URL')
    .option('--prefix <PATH>', 'open all below this path, which must end in /')
    .option('--key <ID>', 'access key to sign with; by default the first of the site')
    .option('--token', 'print a bearer token (JWT) for the path in place of the URL')
    .option('--show-key', 'print the secret of the key in hex, for an application that signs by itself')
    .option('--dir <DIR>', "directory with the cluster's cluster.pem and charter.pem", 'operator')
    .option('--charter <FILE>', 'signed charter, where it lies elsewhere')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', SIGN_HELP)
    .action(async (url: string, options: import('./sign.ts').SignOptions) => {
      const { sign } = await import('./sign.ts');
      await sign(url, options, io, Date.now());
    });
}

const SIGN_HELP = `
A signature is base64url of HMAC-SHA-256 over five lines: presage-url/1, the host, = and the path with its
query (or ^ and the prefix), the expiry in Unix seconds, the id of the key. It stands in the query as
presage-expires, presage-key, presage-signature, and presage-prefix where a prefix is signed.
A token is a JWT signed with HS256: aud is the site, exp its end, paths what it opens (all, by default).
`;

function dashboardCommand(program: Command, io: CommandIo): void {
  withDaemon(program.command('dashboard').summary('Print the link to the dashboard'))
    .description('Print the link to the dashboard of the daemon, token included. Needs rpc.listen (--rpc).')
    .action(async (options: DaemonOptions) => {
      const { dashboardLink } = await import('./dashboard.ts');
      const link = await dashboardLink(options, io);
      io.stdout.write(`${options.json ? JSON.stringify({ link }) : link}\n`);
    });
}

function ingestCommand(program: Command, io: CommandIo, exit: (code: number) => void): void {
  withDaemon(program.command('ingest').summary('Add the requests of access logs to the demand'))
    .description(
      'Add the requests of access logs to the demand that this PoP sees. Lines that cannot be read are counted.',
    )
    .argument('<FILE...>', 'logs, plain or gzip; - for standard input')
    .option('--host <NAME>', 'host name of lines that carry none')
    .addOption(
      new Option('--format <FORMAT>', 'format').choices(['auto', 'combined', 'json', 'tsv']).default('auto'),
    )
    .action(async (files: string[], options: import('./ingest.ts').IngestOptions) => {
      const { ingest } = await import('./ingest.ts');
      exit(await ingest(files, options, io));
    });
}

function configCommand(program: Command, io: CommandIo): void {
  withConfiguration(program.command('config').summary('Print the effective configuration'))
    .description('Print the configuration that `start` would run with, and where each value comes from.')
    .option('--running', 'of the daemon that runs, instead')
    .option('--json', 'as JSON')
    .action(async (options: Record<string, unknown> & { running?: boolean; json?: boolean }) => {
      const { configView } = await import('./views.ts');
      const explained = effective(options, io);
      const { json } = options;
      if (options.running) {
        await ask(io, { dataDir: explained.config.dataDir, ...(json && { json }) }, 'config', {}, configView);
        return;
      }
      const shown = { file: explained.file ?? null, values: [...explained.entries] };
      io.stdout.write(`${json ? JSON.stringify(shown) : configView(shown)}\n`);
    });
}

function predictCommand(program: Command, io: CommandIo, exit: (code: number) => void): void {
  program
    .command('predict')
    .summary('Forecast series from standard input')
    .description(
      'Read series as NDJSON {"id","start","step","values"} and write {"id","model","mean","lower","upper"} each.',
    )
    .requiredOption('--horizon <H>', 'steps ahead', integer(1, 10_000))
    .option('--season <LENGTHS>', 'lengths of seasons in steps, such as 24,168', seasons, [])
    .option('--level <PERCENT>', 'coverage of the interval', level, 95)
    .option('--json', 'accepted for uniformity; the output is NDJSON anyway')
    .action(async (options: { horizon: number; season: number[]; level: number }) => {
      const { predict } = await import('./predict.ts');
      const { horizon, season, level: coverage } = options;
      exit(await predict({ horizon, seasons: season, level: coverage }, io.stdin, io.stdout, io.stderr));
    });
}

function simulateCommand(program: Command, io: CommandIo, exit: (code: number) => void): void {
  program
    .command('simulate')
    .summary('What Presage would have done for a log')
    .description('Replay access logs through several policies and compare hits, bytes and latency.')
    .requiredOption('--log <FILE...>', 'access logs, in order of time')
    .addOption(
      new Option('--format <FORMAT>', 'format').choices(['auto', 'combined', 'json', 'tsv']).default('auto'),
    )
    .option('--pops <N|FILE>', 'number of PoPs, or a file that describes them', '5')
    .option('--storage <SIZE>', 'storage of each PoP')
    .option('--bandwidth <RATE>', 'mirror bandwidth of each PoP')
    .addOption(
      new Option('--region-by <RULE>', 'how clients are placed')
        .choices(['geoip', 'tld', 'hash'])
        .default('hash'),
    )
    .option('--json', 'print the result as one JSON object')
    .action(async (options: SimulateOptions) => {
      const { simulate } = await import('./simulate.ts');
      exit(await simulate(options, io));
    });
}

function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 100_000)) throw new InvalidArgumentError('expected a number above 0');
  return value;
}

function level(text: string): number {
  const value = Number(text);
  if (!(value >= 50 && value < 100))
    throw new InvalidArgumentError('expected a percentage from 50 to below 100');
  return value;
}

const seasons = (text: string): number[] => text.split(',').map((part) => integer(2, 100_000)(part.trim()));
