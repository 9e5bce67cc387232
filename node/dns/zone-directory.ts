import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PresageError } from '../../protocol/errors.ts';
import type { ZoneConfig } from './zone.ts';
import { parseZoneFile } from './zone-file.ts';

const SUFFIX = '.zone';
const MAX_FILE_BYTES = 64 << 20;
const MAX_FILES = 10_000;

/**
 * Adds the records of zone files to zones: `cdn.example.zone` in the directory belongs to the zone `cdn.example.`, which
 * is added if it is not among them. A directory that is not there has no files. Fails with `CONFIG_INVALID`, file and
 * line named.
 */
export async function readZones(directory: string, zones: readonly ZoneConfig[]): Promise<ZoneConfig[]> {
  const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new PresageError('CONFIG_INVALID', `zone files: cannot read ${directory}`, { directory }, error);
  });
  const files = names.filter((name) => name.endsWith(SUFFIX)).sort();
  if (files.length > MAX_FILES) throw new PresageError('CONFIG_INVALID', `more than ${MAX_FILES} zone files`);
  const merged = new Map(zones.map((zone) => [absolute(zone.name), zone]));
  for (const file of files) {
    const path = join(directory, file);
    const name = absolute(file.slice(0, -SUFFIX.length));
    const zone = merged.get(name) ?? { name };
    const records = parseZoneFile(await textOf(path), name);
    merged.set(name, { ...zone, records: [...(zone.records ?? []), ...records] });
  }
  return [...merged.values()];
}

async function textOf(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > MAX_FILE_BYTES) {
      throw new PresageError('CONFIG_INVALID', `${path} is larger than ${MAX_FILE_BYTES} bytes`);
    }
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof PresageError) throw error;
    throw new PresageError('CONFIG_INVALID', `cannot read ${path}`, { path }, error);
  }
}

const absolute = (name: string) => (name.endsWith('.') ? name : `${name}.`).toLowerCase();
