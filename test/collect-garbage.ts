import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Collects all garbage now: what a test then measures is what is held, not what the collector has not come to yet. */
export const collectGarbage = (): void => collect();
