import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLevel } from '../../../node/adapters/level.ts';
import { CountingMetrics, silentLog } from '../../step-clock.ts';
import { describeDatabase } from './suite.ts';

describeDatabase('LevelDB', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'presage-level-'));
  return {
    open: () => openLevel(join(directory, 'db'), { log: silentLog, metrics: new CountingMetrics() }),
    dispose: async () => rmSync(directory, { recursive: true }),
  };
});
