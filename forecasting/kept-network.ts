import { createHash } from 'node:crypto';
import { PARAMETERS } from './models/recurrent.ts';
import type { NetworkTrial } from './network-trial.ts';

/** A trained network as it is kept on disk, and what it showed before it was taken into use. */
export interface KeptNetwork {
  readonly parameters: Float64Array;
  /** Demand time of its training, ms. */
  readonly trainedAt: number;
  readonly trial: NetworkTrial;
}

/** `PGRU` and the edition of the layout: magic, time, trial, parameters as little-endian doubles, SHA-256 of all that. */
const MAGIC = 0x50475231;
const HEAD = 4 + 4 * 8;
const SEAL = 32;
const LENGTH = HEAD + PARAMETERS * 8 + SEAL;

/** A network as bytes, with a checksum. */
export function sealNetwork({ parameters, trainedAt, trial }: KeptNetwork): Uint8Array {
  const bytes = new Uint8Array(LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC);
  [trainedAt, trial.series, trial.without, trial.with].forEach((value, i) => {
    view.setFloat64(4 + 8 * i, value, true);
  });
  parameters.forEach((value, i) => {
    view.setFloat64(HEAD + 8 * i, value, true);
  });
  bytes.set(sealOf(bytes), LENGTH - SEAL);
  return bytes;
}

/** What was sealed, or nothing where a byte is not as it was, or the network is of another shape. */
export function openNetwork(bytes: unknown): KeptNetwork | undefined {
  if (!(bytes instanceof Uint8Array) || bytes.length !== LENGTH) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== MAGIC || !sealOf(bytes).equals(bytes.subarray(LENGTH - SEAL))) return undefined;
  const number = (at: number) => view.getFloat64(at, true);
  const parameters = Float64Array.from({ length: PARAMETERS }, (_, i) => number(HEAD + 8 * i));
  const head = [0, 1, 2, 3].map((i) => number(4 + 8 * i));
  if (!parameters.every(Number.isFinite) || !head.every(Number.isFinite)) return undefined;
  const [trainedAt = 0, series = 0, without = 0, withIt = 0] = head;
  return { parameters, trainedAt, trial: { series, without, with: withIt } };
}

const sealOf = (bytes: Uint8Array): Buffer =>
  createHash('sha256')
    .update(bytes.subarray(0, LENGTH - SEAL))
    .digest();
