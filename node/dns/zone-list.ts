import type { Charter } from '../../protocol/charter.ts';
import type { Config } from '../config.ts';
import { readZoneKeys } from './dnssec/key-files.ts';
import { type ZoneConfig, zonesOfCharter } from './zone.ts';
import { readZones } from './zone-directory.ts';

/** The zones of this PoP: those of the charter, of `dns.zones`, and of the zone files; with the keys that sign them. */
export class ZoneList {
  readonly #config: Pick<Config, 'dns'>;
  readonly #charter: () => Pick<Charter, 'sites'>;
  #zones: readonly ZoneConfig[] = [];
  #apexes: readonly string[] = [];

  private constructor(config: Pick<Config, 'dns'>, charter: () => Pick<Charter, 'sites'>) {
    this.#config = config;
    this.#charter = charter;
  }

  /** Fails with `CONFIG_INVALID`, file and line named. */
  static async read(config: Pick<Config, 'dns'>, charter: () => Pick<Charter, 'sites'>): Promise<ZoneList> {
    const list = new ZoneList(config, charter);
    await list.renew();
    return list;
  }

  get zones(): readonly ZoneConfig[] {
    return this.#zones;
  }

  get apexes(): readonly string[] {
    return this.#apexes;
  }

  /** Reads charter, zone files and keys again. Fails with `CONFIG_INVALID`, and then keeps what was there. */
  async renew(): Promise<readonly ZoneConfig[]> {
    const { zones, zoneFiles, dnssec } = this.#config.dns;
    const named = zones.map((name) => ({ name }));
    const configured = zoneFiles === undefined ? named : await readZones(zoneFiles, named);
    const all = zonesOfCharter(this.#charter(), configured);
    this.#zones = dnssec === undefined ? all : await readZoneKeys(dnssec, all);
    this.#apexes = this.#zones.map(({ name }) => name);
    return this.#zones;
  }
}
