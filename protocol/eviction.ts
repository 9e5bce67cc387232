import type { HeldReplica } from './held-replica.ts';
import type { ReplicaSource } from './replica.ts';

/** A client's replica that nobody has asked for this long may give way to a mirrored one, demand ms: an hour. */
const IDLE_MS = 3_600_000;
/** Replicas compared for each eviction: the oldest so many of a class; the order within a class is least recently used. */
const SAMPLE = 16;
/** A use moves a replica to the young end of its class at most this often, demand ms. */
const MOVE_EVERY_MS = 1_000;

type Class = 'speculative' | 'mirrored' | 'client';

/**
 * What gives way when storage is short. Speculative pulls go first, then mirrored replicas that nobody has asked
 * for, then what clients asked for: mirrored objects enter below those that clients wanted here, and rise when a
 * client uses them. Within a class, of the longest unused the one with the least uses per byte and age.
 */
export class EvictionOrder {
  readonly #classes: Record<Class, Set<HeldReplica>> = {
    speculative: new Set(),
    mirrored: new Set(),
    client: new Set(),
  };

  add(replica: HeldReplica): void {
    replica.shelved = true;
    this.#classes[classOf(replica)].add(replica);
  }

  remove(replica: HeldReplica): void {
    replica.shelved = false;
    for (const members of Object.values(this.#classes)) members.delete(replica);
  }

  used(replica: HeldReplica, demandNow: number): void {
    // One who still holds a replica that was replaced may say that it is used.
    if (!replica.shelved) return;
    const first = replica.uses === 0;
    replica.uses += 1;
    if (!first && demandNow - replica.usedAt < MOVE_EVERY_MS) return;
    replica.usedAt = demandNow;
    this.remove(replica);
    this.add(replica);
  }

  /** The next to go in favour of something that came by `source`; `undefined` if nothing should give way to it. */
  victim(source: ReplicaSource, demandNow: number): HeldReplica | undefined {
    const { speculative, mirrored, client } = this.#classes;
    const found =
      worst(speculative, demandNow) ??
      (source === 'speculative' ? undefined : worst(mirrored, demandNow)) ??
      worst(client, demandNow);
    if (!found || source === 'client' || classOf(found) !== 'client') return found;
    return demandNow - found.usedAt >= IDLE_MS ? found : undefined;
  }
}

function classOf(replica: HeldReplica): Class {
  if (replica.source === 'client' || replica.uses > 0) return 'client';
  return replica.source === 'plan' ? 'mirrored' : 'speculative';
}

function worst(members: Set<HeldReplica>, demandNow: number): HeldReplica | undefined {
  let found: HeldReplica | undefined;
  let least = Number.POSITIVE_INFINITY;
  let seen = 0;
  for (const replica of members) {
    const age = Math.max(1, demandNow - replica.usedAt);
    const worth = (replica.uses + 1) / (Math.max(1, replica.size) * age);
    if (worth < least) {
      least = worth;
      found = replica;
    }
    seen += 1;
    if (seen >= SAMPLE) break;
  }
  return found;
}
