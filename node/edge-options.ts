import type { Config } from './config.ts';
import type { EdgeOptions } from './http/context.ts';

/** What the configuration says about the HTTP edge. */
export function edgeOptions(
  { http, storage }: Pick<Config, 'http' | 'storage'>,
  name: string,
): Pick<EdgeOptions, 'name' | 'maxObjectBytes'> & Partial<EdgeOptions> {
  const { heuristic, heuristicMax, staleIfError, direct } = http;
  const seconds = (ms: number) => Math.floor(ms / 1000);
  return {
    name,
    maxObjectBytes: storage.maxObject,
    direct,
    staleIfErrorSeconds: seconds(staleIfError),
    ...(heuristic > 0 && { heuristic: { fraction: heuristic, maxSeconds: seconds(heuristicMax) } }),
  };
}
