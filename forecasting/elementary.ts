/**
 * Elementary functions in plain arithmetic. The language leaves the last bits of `Math.exp` and its like to the engine,
 * the compiler and the processor, but sums, products and quotients of doubles are the same everywhere (IEEE 754): with
 * these, the same series and seed give the same integers on every machine. Errors are within two units in the last
 * place, of `tanh` within 2e-16.
 */

const double = new Float64Array(1);
const words = new Uint32Array(double.buffer);
/** Which of the two words holds sign and exponent. */
const HIGH = new Uint8Array(Uint32Array.of(1).buffer)[0] === 1 ? 1 : 0;

/** Powers of two: that of k stands at k + `MIDDLE`. */
const MIDDLE = 1023;
const POWERS = new Float64Array(2 * MIDDLE + 1).fill(1);
for (let k = 1; k <= MIDDLE; k++) {
  POWERS[MIDDLE + k] = 2 * POWERS[MIDDLE + k - 1]!;
  POWERS[MIDDLE - k] = POWERS[MIDDLE - k + 1]! / 2;
}
const LEAST_NORMAL = POWERS[1]!;
const TWO_54 = POWERS[MIDDLE + 54]!;
const TWO_1000 = POWERS[MIDDLE + 1000]!;

/** ln 2 in two parts; the first has so few bits that multiples of it by an exponent are exact. */
const LN2_HIGH = 0.6931471803691238;
const LN2_LOW = 1.9082149292705877e-10;
const EXP_MAX = 709.782712893384;
const EXP_MIN = -745.1332191019412;
/** Beyond it the hyperbolic tangent is 1 to the last place. */
const TANH_FLAT = 20;

/** Natural logarithm: the exponent's share, and the series of artanh for what is left within a factor √2 of 1. */
export function log(x: number): number {
  if (!(x > 0)) return x === 0 ? Number.NEGATIVE_INFINITY : Number.NaN;
  if (x === Number.POSITIVE_INFINITY) return x;
  const tiny = x < LEAST_NORMAL;
  const normal = tiny ? x * TWO_54 : x;
  double[0] = normal;
  let k = (words[HIGH]! >>> 20) - 1023;
  let f = normal * POWERS[MIDDLE - k]!;
  if (f > Math.SQRT2) {
    f /= 2;
    k += 1;
  }
  if (tiny) k -= 54;
  const s = (f - 1) / (f + 1);
  const z = s * s;
  const low = z * (2 / 15 + z * (2 / 17 + z * (2 / 19 + z * (2 / 21))));
  const series = z * (2 / 3 + z * (2 / 5 + z * (2 / 7 + z * (2 / 9 + z * (2 / 11 + z * (2 / 13 + low))))));
  return k * LN2_HIGH + (2 * s + (s * series + k * LN2_LOW));
}

/** log(1 + x), also where x is too small for the sum. */
export function log1p(x: number): number {
  const sum = 1 + x;
  if (sum === 1) return x;
  if (sum === Number.POSITIVE_INFINITY) return sum;
  // What the sum lost of x is made up for by the slope (Kahan).
  return (log(sum) * x) / (sum - 1);
}

/** e^x: a power of two, and Taylor's series for what is left within ln 2 / 2 of 0. */
export function exp(x: number): number {
  if (!(x <= EXP_MAX)) return x > EXP_MAX ? Number.POSITIVE_INFINITY : Number.NaN;
  if (x < EXP_MIN) return 0;
  const k = Math.round(x * Math.LOG2E);
  const r = x - k * LN2_HIGH - k * LN2_LOW;
  const tail =
    1 / 5040 +
    r *
      (1 / 40320 +
        r * (1 / 362880 + r * (1 / 3628800 + r * (1 / 39916800 + r * (1 / 479001600 + r / 6227020800)))));
  const rest = r * r * (1 / 2 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r * tail)))));
  const mantissa = 1 + (r + rest);
  if (k >= -1022 && k <= 1023) return mantissa * POWERS[MIDDLE + k]!;
  return k > 0 ? 2 * mantissa * POWERS[MIDDLE + k - 1]! : (mantissa * POWERS[MIDDLE + k + 1000]!) / TWO_1000;
}

/** x^y for x above 0; for whole y of a few units by products. */
export function pow(x: number, y: number): number {
  if (Number.isInteger(y) && y >= 0 && y <= 16) {
    let product = 1;
    for (let i = 0; i < y; i++) product *= x;
    return product;
  }
  return exp(y * log(x));
}

/** Hyperbolic tangent. */
export function tanh(x: number): number {
  if (x > TANH_FLAT) return 1;
  if (x < -TANH_FLAT) return -1;
  const e = exp(2 * x);
  return (e - 1) / (e + 1);
}
