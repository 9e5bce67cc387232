import maxmind, { type CountryResponse } from 'maxmind';
import { PresageError } from '../../protocol/errors.ts';
import type { CountryLookup } from '../../protocol/geography.ts';
import { addressText } from './address.ts';

/** Prefixes whose country is remembered; the memory is dropped whole when full, some 8 MB at most. */
const REMEMBERED = 65_536;

/**
 * Opens a country database in MaxMind's format (GeoLite2, DB-IP, …). Countries are remembered by /24 and /48 where
 * the record covers at least that. Fails with `CONFIG_INVALID` if the file cannot be read.
 */
export async function openGeoip(path: string): Promise<CountryLookup> {
  const reader = await maxmind.open<CountryResponse>(path).catch((error: unknown) => {
    throw new PresageError('CONFIG_INVALID', `geo.database: cannot read ${path}`, { path }, error);
  });
  const v4Only = reader.metadata.ipVersion === 4;
  const remembered = new Map<number, ReturnType<CountryLookup>>();
  return (address) => {
    if (v4Only && address.length === 16) return NOWHERE;
    const key =
      address.length === 4
        ? (address[0]! << 16) | (address[1]! << 8) | address[2]!
        : 0x1_0000_0000_0000 +
          ((address[0]! << 16) | (address[1]! << 8) | address[2]!) * 0x100_0000 +
          ((address[3]! << 16) | (address[4]! << 8) | address[5]!);
    const known = remembered.get(key);
    if (known) return known;
    let found = NOWHERE;
    try {
      const [record, prefixLength] = reader.getWithPrefixLength(addressText(address));
      found = { country: record?.country?.iso_code ?? record?.registered_country?.iso_code, prefixLength };
    } catch {
      // A damaged record of the database: its addresses are nowhere, the default region takes them.
      found = { prefixLength: address.length * 8 };
    }
    if (found.prefixLength <= (address.length === 4 ? 24 : 48)) {
      if (remembered.size >= REMEMBERED) remembered.clear();
      remembered.set(key, found);
    }
    return found;
  };
}

const NOWHERE: ReturnType<CountryLookup> = { prefixLength: 0 };
