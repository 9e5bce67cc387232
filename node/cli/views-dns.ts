import type { Result } from '../rpc/methods.ts';
import { type Cell, decimal, instant, printable, table } from './table.ts';

/** What people see of the records of the DNS server. */
export function dnsSetView(d: Result<'dns.set'>): string {
  const rows: Cell[][] = [
    ...d.acknowledged.map((a) => [a.name, 'acknowledged', `${decimal(a.afterMs)} ms`, a.pop]),
    ...d.missing.map((m) => [m.name, 'missing', m.code, m.pop]),
  ];
  const end = d.complete ? '\nevery PoP that can be reached answers with it' : '';
  const head = `${printable(d.name)} TXT until ${instant(d.expiresAt)}`;
  return `${head}\n${table(['PoP', 'state', '', 'peer id'], rows)}${end}`;
}
