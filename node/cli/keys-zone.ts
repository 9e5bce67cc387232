import type { Command } from 'commander';
import { printKey } from '../dns/dnssec/key.ts';
import { obtainZoneKey } from '../dns/dnssec/key-files.ts';
import { keyOfText } from '../dns/name.ts';

interface ZoneOptions {
  readonly dir: string;
  readonly json?: boolean;
  readonly standby?: boolean;
}

/** `keys zone`: the key that signs a zone, made where there is none, and what the zone above must be told. */
export function zoneCommand(
  command: Command,
  print: (options: ZoneOptions, result: object, text: string) => void,
): void {
  command
    .argument('<ZONE>', 'zone, such as cdn.example.net')
    .option('--standby', 'the key that is published for a change of keys, and signs nothing yet')
    .action(async (zone: string, options: ZoneOptions) => {
      const name = `${zone.toLowerCase().replace(/\.$/, '')}.`;
      const { key, path, made } = await obtainZoneKey(options.dir, zone, options.standby ?? false);
      const records = printKey(name, keyOfText(name), key);
      const head = `${path}${made ? ', made now' : ''}: key ${key.tag}, for dns.dnssec at every PoP`;
      print(
        options,
        { zone: name, path, made, tag: key.tag, ...records },
        `${head}\n\nfor the zone above:\n${records.ds}\n\n${records.dnskey}`,
      );
    });
}
