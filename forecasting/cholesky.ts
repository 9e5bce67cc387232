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
