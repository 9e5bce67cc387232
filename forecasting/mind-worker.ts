import { parentPort, workerData } from 'node:worker_threads';
import * as Comlink from 'comlink';
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs';
import { Mind, type MindOptions } from './mind.ts';
import { type PackedDemand, packDemand } from './packing.ts';

/** The mind as its thread shows it: series leave it packed, in buffers that move without being copied. */
export class MindWorker extends Mind {
  packedSeries(now: number): PackedDemand {
    const packed = packDemand(this.series(now));
    return Comlink.transfer(packed, [packed.heads.buffer, packed.cells.buffer]);
  }
}

if (parentPort !== null) Comlink.expose(new MindWorker(workerData as MindOptions), nodeEndpoint(parentPort));
