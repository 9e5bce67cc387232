/** Guesses further off than this share of the word's length are worse than none. */
const DISTANCE_SHARE = 0.4;

/** The known word nearest to what was typed, if one is near enough to be what was meant. */
export function nearest(typed: string, known: readonly string[]): string | undefined {
  const word = typed.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(word.length * DISTANCE_SHARE)) + 1;
  for (const candidate of known) {
    // The last part alone is a common slip: `budget` for `storage.budget`.
    const tail = candidate.split(/[.-]/).at(-1)?.toLowerCase() === word;
    const distance = tail ? 1 : editDistance(word.slice(0, 64), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions and substitutions between two words (Levenshtein 1966). */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
