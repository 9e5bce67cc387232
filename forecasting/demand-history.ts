import type { History, RegionDemand } from '../protocol/history.ts';
import type { Key16 } from '../protocol/ids.ts';
import type { RingName } from '../protocol/rings.ts';
import type { DemandHistory } from './demand.ts';

/**
 * What is known of the demand for a resource in a region, ready to be forecast; undefined while there is too little.
 * What lies before its first request says nothing, and is not sent to the workers.
 */
export function demandHistory(
  history: Pick<History, 'series'>,
  key16: Key16,
  { region, first }: Pick<RegionDemand, 'region' | 'first'>,
  now: number,
): DemandHistory | undefined {
  const ring = (name: RingName) => history.series(key16, region, name, now, first);
  const [minute, ten, hour] = [ring('minute'), ring('ten'), ring('hour')];
  return minute && ten && hour ? { id: key16 + region, minute, ten, hour, first } : undefined;
}
