import type { Target } from './target.ts';
import { agreedTargets } from './targets/agreed.ts';
import { doorTargets } from './targets/doors.ts';
import { inputTargets } from './targets/input.ts';
import { signalTargets } from './targets/signals.ts';
import { signedTargets } from './targets/signed.ts';
import { storedTargets } from './targets/stored.ts';
import { wireTargets } from './targets/wire.ts';

/** Every decoder that reads what others wrote. */
export const TARGETS: readonly Target[] = [
  ...wireTargets,
  ...signedTargets,
  ...agreedTargets,
  ...doorTargets,
  ...inputTargets,
  ...storedTargets,
  ...signalTargets,
];
