/** One request as it was served: which PoP got it is part of the input, so that every policy sees the same stream. */
export interface ServedRequest {
  readonly key: string;
  readonly pop: string;
  /** Bytes of the resource. */
  readonly size: number;
}

/** What caches that only react would have done. */
export interface ReactiveOutcome {
  readonly hitRatio: number;
  /** Pairs (resource, PoP) that were asked for: each is a cold miss. */
  readonly pairs: number;
  /** Bytes that all PoPs together fetch from the origin, each for itself. */
  readonly originBytes: number;
  /** The same if a PoP asks its peers first. */
  readonly originBytesWithPeers: number;
}

/** What a rule "mirror everywhere after k requests" would have done. */
export interface RuleOutcome {
  /** Requests in the whole cluster after which a resource goes everywhere; between two rules that were mixed, the lower. */
  readonly k: number;
  /** Largest resource that the rule mirrors, bytes; absent where the rule has no limit. */
  readonly sizeLimit?: number;
  /** Pairs that were mirrored before their first request. */
  readonly pairs: number;
  readonly mirroredBytes: number;
  readonly unusedBytes: number;
}

/** No k above this is tried: such a resource has been nearly everywhere already. */
const MOST_REQUESTS = 200;

/** A cache at each PoP that stores what it is asked for; storage is not scarce, fetches take no time. */
export function reactive(served: readonly ServedRequest[]): ReactiveOutcome {
  const pairs = new Set<string>();
  const keys = new Set<string>();
  let hits = 0;
  let originBytes = 0;
  let originBytesWithPeers = 0;
  for (const { key, pop, size } of served) {
    const pair = `${pop} ${key}`;
    if (pairs.has(pair)) {
      hits += 1;
      continue;
    }
    pairs.add(pair);
    originBytes += size;
    if (!keys.has(key)) originBytesWithPeers += size;
    keys.add(key);
  }
  const hitRatio = served.length === 0 ? 0 : hits / served.length;
  return { hitRatio, pairs: pairs.size, originBytes, originBytesWithPeers };
}

/** What one resource contributes to a rule: storage is not scarce, so that resources do not touch each other. */
interface Contribution {
  readonly size: number;
  readonly pairs: number;
  readonly mirroredBytes: number;
}

/**
 * The best plain rule at `budget` mirrored bytes, chosen in hindsight, its pushes instantaneous and free of faults.
 * Where the budget falls between the bytes of k and of k + 1, a mixture of both that uses it up is taken.
 */
export function bestThreshold(
  served: readonly ServedRequest[],
  pops: readonly string[],
  budget: number,
): RuleOutcome {
  const requests = byKey(served);
  let above: RuleOutcome | undefined;
  for (let k = 1; k <= MOST_REQUESTS; k += 1) {
    const outcome = sum(k, contributions(requests, pops, k));
    if (outcome.mirroredBytes === budget) return outcome;
    if (outcome.mirroredBytes < budget) return above === undefined ? outcome : mix(outcome, above, budget);
    above = outcome;
  }
  return { k: MOST_REQUESTS, pairs: 0, mirroredBytes: 0, unusedBytes: 0 };
}

/** The best rule with a size limit at `budget` mirrored bytes, smallest resources first, k and limit chosen in hindsight. */
export function bestSizeLimited(
  served: readonly ServedRequest[],
  pops: readonly string[],
  budget: number,
): RuleOutcome {
  const requests = byKey(served);
  let best: RuleOutcome = { k: MOST_REQUESTS, sizeLimit: 0, pairs: 0, mirroredBytes: 0, unusedBytes: 0 };
  for (let k = 1; k <= MOST_REQUESTS; k += 1) {
    const inOrder = contributions(requests, pops, k).sort((a, b) => a.size - b.size);
    const taken: Contribution[] = [];
    let bytes = 0;
    for (const contribution of inOrder) {
      if (bytes + contribution.mirroredBytes > budget) break;
      bytes += contribution.mirroredBytes;
      taken.push(contribution);
    }
    const outcome = { ...sum(k, taken), sizeLimit: taken.at(-1)?.size ?? 0 };
    if (outcome.pairs > best.pairs) best = outcome;
  }
  return best;
}

function byKey(served: readonly ServedRequest[]): ReadonlyMap<string, readonly ServedRequest[]> {
  const requests = new Map<string, ServedRequest[]>();
  for (const request of served) {
    const list = requests.get(request.key);
    if (list === undefined) requests.set(request.key, [request]);
    else list.push(request);
  }
  return requests;
}

function contributions(
  requests: ReadonlyMap<string, readonly ServedRequest[]>,
  pops: readonly string[],
  k: number,
): Contribution[] {
  const found: Contribution[] = [];
  for (const list of requests.values()) {
    if (list.length < k) continue;
    const size = list[k - 1]!.size;
    const lacking = new Set(pops);
    for (const { pop } of list.slice(0, k)) lacking.delete(pop);
    const mirroredBytes = size * lacking.size;
    let pairs = 0;
    for (const { pop } of list.slice(k)) if (lacking.delete(pop)) pairs += 1;
    found.push({ size, pairs, mirroredBytes });
  }
  return found;
}

function sum(k: number, list: readonly Contribution[]): RuleOutcome {
  let pairs = 0;
  let mirroredBytes = 0;
  let usedBytes = 0;
  for (const contribution of list) {
    pairs += contribution.pairs;
    mirroredBytes += contribution.mirroredBytes;
    usedBytes += contribution.pairs * contribution.size;
  }
  return { k, pairs, mirroredBytes, unusedBytes: mirroredBytes - usedBytes };
}

function mix(low: RuleOutcome, high: RuleOutcome, budget: number): RuleOutcome {
  const share = (budget - low.mirroredBytes) / (high.mirroredBytes - low.mirroredBytes);
  const between = (from: number, to: number) => Math.round(from + share * (to - from));
  return {
    k: high.k,
    pairs: between(low.pairs, high.pairs),
    mirroredBytes: between(low.mirroredBytes, high.mirroredBytes),
    unusedBytes: between(low.unusedBytes, high.unusedBytes),
  };
}
