import { generateKeyPairSync } from 'node:crypto';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createCharter,
  createFounders,
  createOperator,
  createPop,
  revoke,
} from '../../node/cli/keys-issue.ts';
import { popIdOf } from '../../protocol/pop-key.ts';
import { freePort } from '../ports.ts';
import { type Daemon, startDaemon, until } from './daemon.ts';
import type { Links } from './links.ts';

export interface TestCluster {
  readonly pops: Daemon[];
  readonly names: readonly string[];
  /** Starts PoP `index` again on its data directory. */
  restart(index: number): Promise<Daemon>;
  /** Signs a further edition of the charter, gives it to PoP `index` alone, and has its daemon read it. */
  recharter(index: number, change: (toml: string) => string): Promise<void>;
  /** Shuts PoP `index` out, and has the daemon of PoP `at` read it. */
  revoke(index: number, at: number): Promise<void>;
  /** Waits until each running PoP is connected to all others that run. */
  meshed(): Promise<void>;
}

/** Real daemons of one cluster, each in a region of its own: `r0`, `r1`, … All found by the first as bootstrap. */
export async function startCluster(
  directory: string,
  count: number,
  options: {
    readonly origin: string;
    readonly site?: string;
    readonly epoch?: string;
    readonly addresses?: readonly string[];
    /** Ports of HTTP that stand in the certificates, where DNS checks the PoPs. */
    readonly httpPorts?: readonly number[];
    /** PoPs that stand in the list of founders, and are given it; the rest ask and join. All by default, `false`: none. */
    readonly founders?: false | ((index: number) => boolean);
    /** Through which the PoPs reach each other, so that their links can be broken. */
    readonly links?: Links;
    /** Further flags of a PoP. */
    readonly flags?: (index: number) => readonly string[];
  },
): Promise<TestCluster> {
  const operator = await createOperator({ directory, name: 'test' });
  const regions = Array.from({ length: count }, (_, index) => `r${index}`);
  const distances = regions
    .map(
      (from, i) =>
        `[distances.${from}]\n${regions.map((to, j) => `${to} = ${i === j ? 5 : 40 + 10 * Math.abs(i - j)}`).join('\n')}`,
    )
    .join('\n');
  const networks = regions
    .map((region, i) => `[[networks]]\ncidr = "10.${i}.0.0/16"\nregion = "${region}"`)
    .join('\n');
  let edition = 1;
  let toml = `epoch = "${options.epoch ?? '1s'}"\nhorizon = "10m"\nregions = [${regions.map((r) => `"${r}"`).join(', ')}]\n${distances}\n${networks}\n[[sites]]\nid = "main"\nhosts = ["*"]\norigin = "${options.origin}"\nzone = "cdn.test"\n${options.site ?? ''}\n`;
  const sign = () => createCharter(operator, `version = ${edition}\n${toml}`, { force: true });
  const charter = await sign();
  const names = regions.map((_, index) => `pop${index}`);
  const charterOf = (index: number) => join(directory, names[index] ?? '', 'charter.pem');
  const addressOf = (index: number) => options.addresses?.[index] ?? '127.0.0.1';
  const files: Awaited<ReturnType<typeof createPop>>[] = [];
  for (const [index, name] of names.entries()) {
    mkdirSync(join(directory, name));
    const fields = {
      ...{ name, region: regions[index] ?? 'r0', addressesV4: [addressOf(index)] },
      ...(options.httpPorts && { http: options.httpPorts[index] ?? 0 }),
    };
    files.push(await createPop(operator, fields, { directory: join(directory, name), now: Date.now() }));
    copyFileSync(charter.path, charterOf(index));
  }
  const isFounder = (index: number) => options.founders !== false && (options.founders?.(index) ?? true);
  const certificates = files.flatMap((file, index) => (isFounder(index) ? [file.certificatePath] : []));
  const founders = certificates.length > 0 ? await createFounders(operator, certificates) : undefined;
  // A list has to stand there from the start, so that it can be read anew.
  const shutOut = (pop: string) => revoke(operator, [pop], { now: Date.now() });
  const revocations = await shutOut(popIdOf(generateKeyPairSync('ed25519').privateKey));
  const { links } = options;
  /** Where each PoP listens, 0 for any port, and where the others find it. */
  const ports: number[] = [];
  for (const index of names.keys()) ports.push(links || index === 0 ? await freePort() : 0);
  const doors = links ? await Promise.all(ports.map((port, index) => links.open(index, port))) : ports;
  const pids = new Map<number, number | undefined>();
  links?.knows((index) => pids.get(index));
  const start = (index: number) => {
    const file = files[index];
    if (!file) throw new RangeError(`no PoP ${index}`);
    const config = join(directory, `${names[index]}.toml`);
    writeFileSync(
      config,
      `[cluster]\ncertificate = "${file.certificatePath}"\nkey = "${file.keyPath}"\ncharter = "${charterOf(index)}"\nrevocations = "${revocations.path}"\n${founders && isFounder(index) ? `founders = "${founders.path}"\n` : ''}[forecast]\nworkers = 1\n`,
    );
    const listen = `/ip4/127.0.0.1/tcp/${ports[index]}`;
    const bootstrap =
      index === 0 ? [] : ['--bootstrap', `/ip4/127.0.0.1/tcp/${doors[0]}/p2p/${files[0]?.pop}`];
    const announce = links ? ['--announce', `/ip4/127.0.0.1/tcp/${doors[index]}`] : [];
    const host = addressOf(index);
    return startDaemon(
      join(directory, names[index] ?? '', 'data'),
      [
        ...['--config', config, '--listen', listen, ...bootstrap, ...announce],
        ...['--http', `${host}:0`, '--dns', `${host}:0`],
        ...(options.flags?.(index) ?? []),
      ],
      (pid) => pids.set(index, pid),
    );
  };
  const started = await Promise.allSettled(names.map((_, index) => start(index)));
  const pops = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const failed = started.find((one) => one.status === 'rejected');
  if (failed) {
    await Promise.all(pops.map((pop) => pop.stop('SIGKILL')));
    throw failed.reason;
  }
  const alive = () => pops.filter(({ process }) => process.exitCode === null && process.signalCode === null);
  return {
    pops,
    names,
    async restart(index) {
      const daemon = await start(index);
      pops[index] = daemon;
      return daemon;
    },
    async recharter(index, change) {
      edition += 1;
      toml = change(toml);
      const { path } = await sign();
      copyFileSync(path, charterOf(index));
      pops[index]?.process.kill('SIGHUP');
    },
    async revoke(index, at) {
      await shutOut(files[index]?.pop ?? '');
      pops[at]?.process.kill('SIGHUP');
    },
    meshed: () =>
      until('every PoP is connected to every other', async () => {
        const running = alive();
        const states = await Promise.all(
          running.map((pop) => pop.rpc<{ peers: { connected: number } }>('status')),
        );
        return states.every(({ peers }) => peers.connected === running.length - 1);
      }),
  };
}
