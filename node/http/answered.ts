import type { Sent } from './answer.ts';
import type { HitKind } from './observation.ts';
import type { StoredResponse } from './stored.ts';

/** How a request was answered, for the observation. */
export interface Answered extends Sent {
  readonly hit: HitKind;
  readonly size: number;
  readonly used: StoredResponse | undefined;
  readonly setsCookie: boolean;
}

export const nothingUsed = (sent: Sent, hit: HitKind): Answered => ({
  status: sent.status,
  bytes: sent.bytes,
  hit,
  size: sent.bytes,
  used: undefined,
  setsCookie: false,
});

export const setsCookie = (headers: readonly (readonly [string, string])[]): boolean =>
  headers.some(([name]) => name === 'set-cookie');
