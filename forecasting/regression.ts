/**
 * Solves (G + ridge) x = b for the augmented normal equations of a regression, in place and without pivoting.
 * `gram` is the lower triangle, row-major with `stride`, of the cross products of `size` regressors followed by the
 * target (row `size`). `penalty[i]` is added to the diagonal. Returns the coefficients, or `undefined` when the matrix
 * is not positive definite.
 */
export function solveRidge(
  gram: Float64Array,
  size: number,
  penalty: Float64Array,
  work: Float64Array,
): Float64Array | undefined {
  const stride = size + 1;
  // Cholesky factor of the augmented matrix: its last row is L⁻¹ b, so that one back substitution remains.
  for (let i = 0; i <= size; i++) {
    const ri = i * stride;
    for (let j = 0; j <= i && j < size; j++) {
      const rj = j * stride;
      let sum = gram[ri + j]!;
      if (i === j) sum += penalty[i]!;
      for (let k = 0; k < j; k++) sum -= work[ri + k]! * work[rj + k]!;
      if (i === j) {
        if (!(sum > 0)) return undefined;
        work[ri + i] = Math.sqrt(sum);
      } else {
        work[ri + j] = sum / work[rj + j]!;
      }
    }
  }
  const solution = new Float64Array(size);
  const last = size * stride;
  for (let i = size - 1; i >= 0; i--) {
    let sum = work[last + i]!;
    for (let k = i + 1; k < size; k++) sum -= work[k * stride + i]! * solution[k]!;
    solution[i] = sum / work[i * stride + i]!;
  }
  return solution;
}

/** A series seen `lag` steps late: a regressor, or the target where the lag is 0. */
export interface Column {
  readonly of: Float64Array;
  readonly lag: number;
}

/**
 * Adds the cross products of the columns over the steps `from` … `to` to the lower triangle of `gram`, the last column
 * being the target. Pair by pair, because long sums run faster than short outer products.
 */
export function accumulateGram(
  gram: Float64Array,
  columns: readonly Column[],
  from: number,
  to: number,
  weights?: Float64Array,
): void {
  const stride = columns.length;
  const length = Math.max(0, to - from);
  const scaled = new Float64Array(length);
  for (let i = 0; i < stride; i++) {
    const left = columns[i]!.of;
    const late = from - columns[i]!.lag;
    if (weights === undefined) for (let k = 0; k < length; k++) scaled[k] = left[k + late]!;
    else for (let k = 0; k < length; k++) scaled[k] = weights[k + from]! * left[k + late]!;
    for (let j = 0; j <= i && j < stride - 1; j++) {
      gram[i * stride + j]! += dot(scaled, columns[j]!.of, from - columns[j]!.lag);
    }
  }
}

function dot(a: Float64Array, b: Float64Array, shift: number): number {
  let even = 0;
  let odd = 0;
  const pairs = a.length & ~1;
  // Two sums that do not wait for each other.
  for (let k = 0; k < pairs; k += 2) {
    even += a[k]! * b[k + shift]!;
    odd += a[k + 1]! * b[k + 1 + shift]!;
  }
  if (pairs < a.length) even += a[pairs]! * b[pairs + shift]!;
  return even + odd;
}
