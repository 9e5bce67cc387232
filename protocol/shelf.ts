import { EvictionOrder } from './eviction.ts';
import type { HeldReplica } from './held-replica.ts';
import type { ContentHash, Key16 } from './ids.ts';
import type { ReplicaSource } from './replica.ts';
import { key16OfVariant, type VariantId } from './versions.ts';

/** Variants of one resource; a Vary that makes more is a fault of the origin, and the oldest give way. */
const MAX_VARIANTS = 64;

const NONE: readonly HeldReplica[] = [];

/** The replicas that are held here, and the contents that they share, within a budget. */
export class Shelf {
  readonly budgetBytes: number;
  readonly #replicas = new Map<Key16, HeldReplica[]>();
  readonly #references = new Map<ContentHash, number>();
  readonly #order = new EvictionOrder();
  #bytes = 0;
  #count = 0;

  constructor(budgetBytes: number) {
    this.budgetBytes = budgetBytes;
  }

  /** Bytes of the distinct contents. */
  get bytes(): number {
    return this.#bytes;
  }

  get size(): number {
    return this.#count;
  }

  get(key16: Key16): readonly HeldReplica[] {
    return this.#replicas.get(key16) ?? NONE;
  }

  find(id: VariantId): HeldReplica | undefined {
    const variants = this.#replicas.get(key16OfVariant(id));
    if (!variants) return undefined;
    for (const replica of variants) if (replica.id === id) return replica;
    return undefined;
  }

  *[Symbol.iterator](): Iterator<HeldReplica> {
    for (const variants of this.#replicas.values()) yield* [...variants];
  }

  /** How many replicas name a content. */
  references(content: ContentHash): number {
    return this.#references.get(content) ?? 0;
  }

  add(replica: HeldReplica): void {
    const variants = this.#replicas.get(replica.key16);
    if (variants) variants.push(replica);
    else this.#replicas.set(replica.key16, [replica]);
    this.#count += 1;
    const references = this.references(replica.content);
    if (references === 0) this.#bytes += replica.size;
    this.#references.set(replica.content, references + 1);
    this.#order.add(replica);
  }

  /** Takes a replica off; true if nothing names its content any more. */
  remove(replica: HeldReplica): boolean {
    const variants = this.#replicas.get(replica.key16) ?? [];
    const at = variants.indexOf(replica);
    if (at < 0) return false;
    variants.splice(at, 1);
    if (variants.length === 0) this.#replicas.delete(replica.key16);
    this.#count -= 1;
    this.#order.remove(replica);
    const references = this.references(replica.content) - 1;
    if (references > 0) {
      this.#references.set(replica.content, references);
      return false;
    }
    this.#references.delete(replica.content);
    this.#bytes -= replica.size;
    return true;
  }

  used(replica: HeldReplica, demandNow: number): void {
    this.#order.used(replica, demandNow);
  }

  /** The variant that must go for another of the same resource to come. */
  crowded(key16: Key16): HeldReplica | undefined {
    const variants = this.get(key16);
    return variants.length >= MAX_VARIANTS ? variants[0] : undefined;
  }

  /**
   * Calls `evict` until `size` more bytes fit, which take the place of `previous`. False if they do not, or if
   * nothing should give way to something that came by `source`.
   */
  makeRoom(
    size: number,
    source: ReplicaSource,
    previous: HeldReplica | undefined,
    demandNow: number,
    evict: (victim: HeldReplica) => void,
  ): boolean {
    if (size > this.budgetBytes) return false;
    const freed = () => (previous && this.references(previous.content) === 1 ? previous.size : 0);
    while (this.#bytes - freed() + size > this.budgetBytes) {
      const victim = this.#order.victim(source, demandNow);
      if (!victim) return false;
      if (victim === previous) previous = undefined;
      evict(victim);
    }
    return true;
  }
}
