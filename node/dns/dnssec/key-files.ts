import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PresageError } from '../../../protocol/errors.ts';
import { keyOfText } from '../name.ts';
import type { ZoneConfig } from '../zone.ts';
import { ZoneKey } from './key.ts';

/**
 * Keys lie in one directory, `cdn.example.net.key` for the zone `cdn.example.net`; the same file at every PoP. A key in
 * `cdn.example.net.standby.key` is published and signs nothing: it takes the other's place once resolvers and the parent
 * zone know it.
 */
const SUFFIX = '.key';
const STANDBY_SUFFIX = '.standby.key';

const bareName = (name: string) => name.toLowerCase().replace(/\.$/, '') || 'root';

/** The zones, with keys for those that have any in the directory. Fails with `CONFIG_INVALID`, the file named. */
export async function readZoneKeys(directory: string, zones: readonly ZoneConfig[]): Promise<ZoneConfig[]> {
  const read = async (file: string): Promise<string | undefined> => {
    const path = join(directory, file);
    try {
      const pem = await readFile(path, 'utf8');
      new ZoneKey(pem, path);
      return pem;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      if (error instanceof PresageError) throw error;
      throw new PresageError('CONFIG_INVALID', `dns.dnssec: cannot read ${path}`, { path }, error);
    }
  };
  return Promise.all(
    zones.map(async (zone) => {
      const name = bareName(zone.name);
      const key = await read(name + SUFFIX);
      if (key === undefined) return zone;
      const standby = await read(name + STANDBY_SUFFIX);
      return { ...zone, keys: standby === undefined ? [key] : [key, standby] };
    }),
  );
}

/** The key of a zone in a directory, made if there is none. Fails with `CONFIG_INVALID`. */
export async function obtainZoneKey(
  directory: string,
  zone: string,
  standby = false,
): Promise<{ key: ZoneKey; path: string; made: boolean }> {
  const name = bareName(zone);
  keyOfText(name === 'root' ? '.' : name);
  if (/[/\\]/.test(name)) throw new PresageError('CONFIG_INVALID', `${zone} is no name of a zone`);
  const path = join(directory, name + (standby ? STANDBY_SUFFIX : SUFFIX));
  const pem = ZoneKey.generate();
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeFile(path, pem, { mode: 0o600, flag: 'wx' });
    return { key: new ZoneKey(pem, path), path, made: true };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST')
      throw new PresageError('CONFIG_INVALID', `${path} cannot be written`, { path }, error);
  }
  const known = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new PresageError('CONFIG_INVALID', `${path} cannot be read`, { path }, error);
  });
  return { key: new ZoneKey(known, path), path, made: false };
}
