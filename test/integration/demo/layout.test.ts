import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dearmour, decodeCertificateFile, readText } from '../../../node/adapters/admission-files.ts';
import { loadConfig } from '../../../node/config.ts';
import { layOut } from '../../../node/demo/layout.ts';

describe('files of a demo cluster', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'presage-layout-'));
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  it('are what the daemon reads: configuration, certificate, bootstrap list without the PoP itself', async () => {
    const pops = ['us-east', 'us-west', 'europe'].map((name, region) => ({
      name,
      region,
      address: `127.0.0.${10 + region}`,
      directory: join(directory, name),
    }));
    const ports = { http: 8001, dns: 8002, p2p: 8003 };
    const time = { offset: -123_456_789_012_345, speed: 180 };
    await layOut(directory, { pops, ports, originPort: 9, time, epochMs: 1000 });
    const founders = new Set<string | undefined>();
    for (const pop of pops) {
      const config = loadConfig({ file: join(pop.directory, 'presage.toml'), env: {} });
      expect(config.http.listen).toEqual({ host: pop.address, port: 8001 });
      expect(config.clock).toEqual(time);
      founders.add(config.cluster.founders);
      expect(config.dataDir).toBe(join(pop.directory, 'data'));
      const path = config.cluster.certificate ?? '';
      expect(
        decodeCertificateFile(await readText(path, 'certificate'), path).certificate.length,
      ).toBeGreaterThan(64);
      expect(config.p2p.bootstrap).toHaveLength(pop.region < 2 ? 1 : 2);
      for (const address of config.p2p.bootstrap) expect(address).not.toContain(pop.address);
    }
    const [list] = founders;
    expect(founders.size).toBe(1);
    expect(dearmour('FOUNDERS', await readText(list ?? '', 'founders'), 'founders').length).toBeGreaterThan(
      600,
    );
  });
});
