import { isIPv4, isIPv6 } from 'node:net';
import { join } from 'node:path';
import type { Command } from 'commander';
import { inspect } from '../../protocol/certificate.ts';
import { openCharter } from '../../protocol/charter-document.ts';
import { PresageError } from '../../protocol/errors.ts';
import { verifyFounders } from '../../protocol/founders.ts';
import { decodeCluster, genesisOf } from '../../protocol/genesis.ts';
import { popIdOf, rawPublicKey } from '../../protocol/pop-key.ts';
import { verifyRevocations } from '../../protocol/revocation.ts';
import { dearmour, decodeCertificateFile, readPrivateKey, readText } from '../adapters/admission-files.ts';
import {
  CLUSTER_FILE,
  createCharter,
  createFounders,
  createOperator,
  createPop,
  type OperatorFiles,
  openOperator,
  popIdFrom,
  revoke,
} from './keys-issue.ts';
import { zoneCommand } from './keys-zone.ts';
import { integer } from './remote.ts';

export {
  createCharter,
  createFounders,
  createOperator,
  createPop,
  openOperator,
  revoke,
} from './keys-issue.ts';

interface Common {
  readonly dir: string;
  readonly json?: boolean;
  readonly force?: boolean;
}

/** Registers the subcommands of `keys`. None talks to a daemon: the operator's key stays off the PoPs. */
export function keysCommand(
  keys: Command,
  io: {
    readonly stdout: { write(text: string): unknown };
    readonly stderr?: { write(text: string): unknown };
  } = process,
): void {
  keys.description(
    'The operator of a cluster makes its key once (`cluster`), a key and a certificate for every PoP (`pop`), ' +
      'signs the charter (`charter`) and the list of the first members (`founders`). The directory with operator.key belongs on no PoP.',
  );
  const print = ({ json }: Common, result: object, text: string) =>
    io.stdout.write(json ? `${JSON.stringify(result)}\n` : `${text}\n`);
  const sub = (name: string, summary: string) =>
    keys
      .command(name)
      .summary(summary)
      .description(summary)
      .option('--dir <DIR>', "the operator's directory", '.')
      .option('--json', 'print the result as JSON');

  sub('cluster', "Found a cluster: the operator's key and the cluster's identity")
    .requiredOption('--name <NAME>', 'name of the cluster, for people')
    .option('--generation <N>', 'raised when a cluster is founded anew', integer(1, 0xffff_ffff), 1)
    .option('--force', 'overwrite what is there')
    .action(async (options: Common & { name: string; generation: number }) => {
      const made = await createOperator({
        directory: options.dir,
        name: options.name,
        generation: options.generation,
        force: options.force ?? false,
      });
      print(options, { genesis: made.genesis, directory: made.directory }, `cluster ${made.genesis}`);
    });

  popCommand(sub('pop', 'Make the key and the certificate of a PoP, or renew the certificate'), print);

  sub('charter', 'Sign a charter written in TOML')
    .argument('<FILE>', 'the charter')
    .option('--out <FILE>', 'where the signed charter goes [DIR/charter.pem]')
    .option('--force', 'overwrite a version that is not older')
    .action(async (file: string, options: Common & { out?: string }) => {
      const operator = await openOperator(options.dir);
      const made = await createCharter(operator, await readText(file, 'the charter'), {
        force: options.force ?? false,
        ...(options.out !== undefined && { path: options.out }),
      });
      print(options, made, `${made.path}: version ${made.version}`);
    });

  sub('founders', 'Sign the list of the first members, which must be the same at every PoP for good')
    .argument('[CERT...]', "certificate files [all in the operator's directory]")
    .option('--out <FILE>', 'where the signed list goes [DIR/founders.pem]')
    .option('--force', 'overwrite what is there, though founders must never change')
    .action(async (files: string[], options: Common & { out?: string }) => {
      const made = await createFounders(await openOperator(options.dir), files, {
        force: options.force ?? false,
        ...(options.out !== undefined && { path: options.out }),
      });
      if (made.warning !== undefined) io.stderr?.write(`${made.warning}\n`);
      print(options, made, `${made.path}: ${made.founders.join(', ')}`);
    });

  zoneCommand(sub('zone', 'Make or show the key that signs the answers of a DNS zone (DNSSEC)'), print);

  sub('revoke', 'Shut identities out for good')
    .argument('<POP...>', 'peer ids, or certificate files')
    .option('--reason <TEXT>', 'for the log', '')
    .action(async (pops: string[], options: Common & { reason: string }) => {
      const operator = await openOperator(options.dir);
      const ids = await Promise.all(pops.map(popIdFrom));
      const made = await revoke(operator, ids, { reason: options.reason, now: Date.now() });
      print(options, made, `${made.path}: version ${made.version}, ${made.revoked} revoked`);
    });

  sub('show', 'Show what a file of keys holds')
    .argument('<FILE>', 'key, certificate, charter, founders, revocations or cluster')
    .action(async (file: string, options: Common) => {
      const shown = await show(file, options.dir);
      print(options, shown, JSON.stringify(shown, undefined, 2));
    });
}

function popCommand(command: Command, print: (options: Common, result: object, text: string) => void): void {
  const port = integer(0, 65_535);
  const several = (value: string, before: readonly string[] | undefined) => [...(before ?? []), value];
  command
    .requiredOption('--name <NAME>', 'name of the PoP, unique in the cluster')
    .requiredOption('--region <REGION>', 'region of the charter')
    .option('--address <IP>', 'service address, IPv4 or IPv6; may be repeated', several)
    .option('--http <PORT>', 'port of HTTP, 0 for none', port, 80)
    .option('--https <PORT>', 'port of HTTPS, 0 for none', port, 0)
    .option('--dns <PORT>', 'port of DNS, 0 for none', port, 53)
    .option('--storage-ceiling <MIB>', 'most that it may claim, 0 for no ceiling', integer(0), 0)
    .option('--fill-ceiling <KIBPS>', 'most that it may claim, 0 for no ceiling', integer(0), 0)
    .option('--days <N>', 'how long the certificate is valid', integer(1, 36_500), 365)
    .option('--key <FILE>', 'an existing key: renews the certificate')
    .option('--out <DIR>', "where the files go [the operator's directory]")
    .option('--force', 'overwrite what is there')
    .action(async (options: Common & PopOptions) => {
      const addresses = options.address ?? [];
      const strange = addresses.find((address) => !isIPv4(address) && !isIPv6(address));
      if (strange !== undefined) {
        throw new PresageError('CONFIG_INVALID', `--address ${strange} is no IP address`);
      }
      const made = await createPop(
        await openOperator(options.dir),
        {
          name: options.name,
          region: options.region,
          addressesV4: addresses.filter((address) => isIPv4(address)),
          addressesV6: addresses.filter((address) => isIPv6(address)),
          http: options.http,
          https: options.https,
          dns: options.dns,
          storageCeilingMiB: options.storageCeiling,
          fillCeilingKiBps: options.fillCeiling,
          days: options.days,
        },
        {
          now: Date.now(),
          force: options.force ?? false,
          ...(options.key !== undefined && { keyPath: options.key }),
          ...(options.out !== undefined && { directory: options.out }),
        },
      );
      print(
        options,
        { pop: made.pop, key: made.keyPath, certificate: made.certificatePath },
        `${made.pop}\nkey          ${made.keyPath}\ncertificate  ${made.certificatePath}`,
      );
    });
}

interface PopOptions {
  readonly name: string;
  readonly region: string;
  readonly address?: readonly string[];
  readonly http: number;
  readonly https: number;
  readonly dns: number;
  readonly storageCeiling: number;
  readonly fillCeiling: number;
  readonly days: number;
  readonly key?: string;
  readonly out?: string;
}

/** What is in a file, verified where the means are at hand; site secrets and private keys are left out. */
async function show(path: string, directory: string): Promise<Record<string, unknown>> {
  const text = await readText(path, 'the file');
  const label = /-----BEGIN (PRESAGE )?([A-Z ]+)-----/.exec(text)?.[2];
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  switch (label) {
    case 'PRIVATE KEY': {
      const key = await readPrivateKey(path, 'the key');
      return { kind: 'private key', pop: popIdOf(key), publicKey: hex(rawPublicKey(key)) };
    }
    case 'CLUSTER': {
      const cluster = decodeCluster(dearmour('CLUSTER', text, path));
      return {
        kind: 'cluster',
        ...cluster,
        operatorKey: hex(cluster.operatorKey),
        genesis: genesisOf(cluster),
      };
    }
    case 'CERTIFICATE': {
      const { cluster, certificate } = decodeCertificateFile(text, path);
      const fields = inspect(certificate, cluster.operatorKey, genesisOf(cluster));
      const day = (ms: number) => new Date(ms).toISOString();
      return {
        kind: 'certificate',
        cluster: cluster.name,
        ...fields,
        notBefore: day(fields.notBefore),
        expiry: day(fields.expiry),
        expired: fields.expiry <= Date.now(),
      };
    }
    case 'CHARTER': {
      const { cluster, genesis } = await clusterOf(directory);
      const { charter, terms } = openCharter(dearmour('CHARTER', text, path), cluster.operatorKey, genesis);
      const sites = charter.sites.map(({ secret: _, accessKeys, ...site }) => ({
        ...site,
        ...(accessKeys && { accessKeys: accessKeys.map(({ id }) => id) }),
      }));
      return { kind: 'charter', ...charter, hash: terms.hash, sites };
    }
    case 'FOUNDERS': {
      const { cluster, genesis } = await clusterOf(directory);
      const founders = verifyFounders(dearmour('FOUNDERS', text, path), cluster.operatorKey, genesis);
      const shown = founders.map(({ certificate: { pop, name, region } }) => ({ pop, name, region }));
      return { kind: 'founders', cluster: cluster.name, founders: shown };
    }
    case 'REVOCATIONS': {
      const { cluster, genesis } = await clusterOf(directory);
      const list = verifyRevocations(dearmour('REVOCATIONS', text, path), cluster.operatorKey, genesis);
      return { kind: 'revocations', ...list };
    }
    default:
      throw new PresageError('CONFIG_INVALID', `${path} is no file of \`presage keys\``);
  }
}

/** The public half of the operator's directory is enough to verify with. */
async function clusterOf(directory: string): Promise<Pick<OperatorFiles, 'cluster' | 'genesis'>> {
  const path = join(directory, CLUSTER_FILE);
  const cluster = decodeCluster(dearmour('CLUSTER', await readText(path, 'the cluster (--dir)'), path));
  return { cluster, genesis: genesisOf(cluster) };
}
