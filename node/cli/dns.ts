import type { Command } from 'commander';
import type { CommandIo } from './io.ts';
import { ask, type DaemonOptions, integer, withDaemon } from './remote.ts';

/** What the daemon may take beside the wait for acknowledgements, ms. */
const GRACE_MS = 10_000;

interface SetOptions extends DaemonOptions {
  readonly ttl: number;
  readonly wait?: boolean;
  readonly timeout: number;
}

/** `dns set`. Ends with `failed` if `--wait` ends with PoPs missing. */
export function dnsCommand(program: Command, io: CommandIo, failed: () => void): void {
  const dns = program
    .command('dns')
    .summary('Records of the DNS server')
    .description('Records of the DNS server');
  withDaemon(dns.command('set'))
    .description(
      'Set a short-lived TXT record at every PoP, for instance for DNS-01 (RFC 8555). Exit code 1 if --wait ends with PoPs missing.',
    )
    .argument('<NAME>', 'domain name in a zone of ours')
    .addArgument(dns.createArgument('<TYPE>', 'type of the record').choices(['TXT']))
    .argument('<VALUE>', 'text of the record')
    .option('--ttl <SECONDS>', 'life of the record', integer(1, 86_400), 300)
    .option('--wait', 'until every reachable PoP has acknowledged')
    .option('--timeout <MS>', 'longest wait, ms', integer(1, 600_000), 10_000)
    .action(async (name: string, _type: string, value: string, options: SetOptions) => {
      const { ttl, wait = false, timeout, ...rest } = options;
      const { dnsSetView } = await import('./views-dns.ts');
      const params = { name, value, ttlSeconds: ttl, wait, timeoutMs: timeout };
      const result = await ask(io, rest, 'dns.set', params, dnsSetView, timeout + GRACE_MS);
      if (wait && !result.complete) failed();
    });
}
