import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { get } from 'node:https';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../../ports.ts';
import { startCluster } from '../cluster.ts';
import { type Daemon, scratch, until } from '../daemon.ts';
import { startOrigin } from '../origin.ts';

const run = promisify(execFile);
const root = resolve(import.meta.dirname, '../../..');
const there = (program: string) =>
  run('which', [program]).then(
    () => true,
    () => false,
  );
const installed = (await Promise.all(['pebble', 'dehydrated', 'openssl'].map(there))).every(Boolean);

/** Let's Encrypt's test authority, which validates by asking one PoP; gives the URL of its directory. */
async function startAuthority(directory: string, dns: string): Promise<{ url: string; root: string }> {
  const [key, certificate] = [join(directory, 'ca.key'), join(directory, 'ca.pem')];
  await run('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-keyout', key, '-out', certificate, '-subj', '/CN=localhost'],
    ...['-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'],
  ]);
  const [listen, management] = [await freePort(), await freePort()];
  const config = {
    listenAddress: `127.0.0.1:${listen}`,
    managementListenAddress: `127.0.0.1:${management}`,
    ...{ certificate, privateKey: key, httpPort: 5002, tlsPort: 5001, ocspResponderURL: '' },
    externalAccountBindingRequired: false,
  };
  const file = join(directory, 'pebble.json');
  writeFileSync(file, JSON.stringify({ pebble: config }));
  const child: ChildProcess = spawn('pebble', ['-config', file, '-dnsserver', dns], {
    env: { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0' },
    stdio: 'ignore',
  });
  onTestFinished(async () => {
    const exited = once(child, 'exit');
    if (child.kill('SIGKILL')) await exited;
  });
  const ca = readFileSync(certificate);
  const url = `https://127.0.0.1:${listen}/dir`;
  await until('the authority answers', async () => {
    const request = get(url, { ca });
    const [response] = (await once(request, 'response')) as [{ statusCode: number; resume(): void }];
    response.resume();
    return response.statusCode === 200;
  });
  return { url, root: certificate };
}

describe('DNS-01', () => {
  it.runIf(installed)(
    'is passed by an ACME client with names and a wildcard, validated at another PoP',
    async () => {
      const origin = await startOrigin();
      onTestFinished(() => origin.close());
      const directory = scratch(onTestFinished);
      const cluster = await startCluster(directory, 2, { origin: origin.url });
      onTestFinished(async () => {
        await Promise.all(cluster.pops.map((pop) => pop.stop('SIGKILL')));
      });
      await cluster.meshed();
      const [setAt, askedAt] = cluster.pops as [Daemon, Daemon];
      const authority = await startAuthority(directory, askedAt.ready.dns ?? '');
      const config = join(directory, 'dehydrated.conf');
      writeFileSync(
        config,
        `CA="${authority.url}"\nCURL_OPTS="--cacert ${authority.root}"\nBASEDIR="${directory}/acme"\nCHALLENGETYPE=dns-01\n` +
          `HOOK="${root}/node/examples/acme/hook.sh"\nKEY_ALGO=prime256v1\n`,
      );
      await run('mkdir', ['-p', join(directory, 'acme')]);
      const env = {
        ...process.env,
        PRESAGE: `${process.execPath} ${root}/node/presage.ts`,
        PRESAGE_DATA_DIR: setAt.dataDir,
      };
      const dehydrated = (...args: string[]) => run('dehydrated', ['--config', config, ...args], { env });
      await dehydrated('--register', '--accept-terms');
      // The name and its wildcard are proven by two values of one name.
      await dehydrated(
        '--cron',
        '--domain',
        'cdn.test',
        '--domain',
        '*.cdn.test',
        '--domain',
        'www.cdn.test',
      );
      const certs = join(directory, 'acme', 'certs', 'cdn.test');
      expect(readdirSync(certs)).toContain('cert.pem');
      const certificate = new X509Certificate(readFileSync(join(certs, 'cert.pem')));
      const names = (certificate.subjectAltName ?? '').split(', ').sort();
      expect(names).toEqual(['DNS:*.cdn.test', 'DNS:cdn.test', 'DNS:www.cdn.test']);
      expect(certificate.issuer).toMatch(/Pebble/);
    },
  );
});
