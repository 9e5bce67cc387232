/** Zeros in a row from which a busy series is taken to have been down. */
const OUTAGE_STEPS = 3;
/** A series with more zeros than this is quiet by nature. */
const QUIET_ZEROS = 0.25;
/** What stands in for an outage must reach this share of the mean on most of its steps, else zeros were usual. */
const BUSY_SHARE = 0.1;
/** Seasons that a stand-in may lie away. */
const SEASONS_AWAY = 3;

/**
 * Takes runs of zeros in the midst of a busy series for outages (of the site, or of the counting) and gives them the
 * values of the nearest whole season, in place, so that models do not learn them. A run that still lasts stays: it
 * may be the end. `seasons` ascend.
 */
export function bridgeOutages(values: Float64Array, seasons: readonly number[]): void {
  const n = values.length;
  let zeros = 0;
  let sum = 0;
  for (let i = 0; i < n; i++) {
    if (values[i] === 0) zeros++;
    sum += values[i]!;
  }
  if (zeros < OUTAGE_STEPS || zeros > QUIET_ZEROS * n) return;
  const busy = (BUSY_SHARE * sum) / n;
  for (let from = 0; from < n; from++) {
    if (values[from] !== 0) continue;
    let to = from;
    while (to < n && values[to] === 0) to++;
    if (to < n && to - from >= OUTAGE_STEPS) bridge(values, from, to, seasons, busy);
    from = to;
  }
}

function bridge(
  values: Float64Array,
  from: number,
  to: number,
  seasons: readonly number[],
  busy: number,
): void {
  const stand = new Float64Array(to - from);
  let usual = 0;
  for (let i = from; i < to; i++) {
    const value = standIn(values, i, from, to, seasons);
    stand[i - from] = value;
    if (value > busy) usual++;
  }
  if (2 * usual > to - from) values.set(stand, from);
}

/** The value of the longest season before or after that lies outside the outage. */
function standIn(
  values: Float64Array,
  at: number,
  from: number,
  to: number,
  seasons: readonly number[],
): number {
  for (let away = 1; away <= SEASONS_AWAY; away++) {
    for (let k = seasons.length - 1; k >= 0; k--) {
      const distance = away * seasons[k]!;
      if (at - distance >= 0 && at - distance < from) return values[at - distance]!;
      if (at + distance >= to && at + distance < values.length) return values[at + distance]!;
    }
  }
  return 0;
}
