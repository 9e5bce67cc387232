/** What a model is asked for: forecasts of `horizon` steps from each of several origins. */
export interface ModelRequest {
  /** Non-negative and finite; a model may look only at values before the origin that it forecasts from. */
  readonly values: Float64Array;
  /** Ascending; `values.length` itself is the forecast, the earlier ones are hold-outs. */
  readonly origins: readonly number[];
  readonly horizon: number;
  /** Season lengths in steps, ascending. */
  readonly seasons: readonly number[];
  /** Of the values, relative to their mean before the first origin, where the caller has them at hand for many models. */
  readonly logarithms?: Logarithms;
}

export interface Logarithms {
  /** log((value + offset) / mean). */
  readonly values: Float64Array;
  readonly mean: number;
  readonly offset: number;
}

/**
 * A forecasting model: a pure function. Several origins are asked for at once, because most models reach a later
 * origin from an earlier one at little cost, so that hold-outs need no fit of their own.
 */
export interface Model {
  readonly name: string;
  /** Fewest values before an origin with which the model says anything; infinite when it cannot serve at all. */
  needs(seasons: readonly number[], horizon: number): number;
  /** One row a request's origin, `horizon` long. Rows may hold any number, NaN included: the caller guards. */
  forecast(request: ModelRequest): Float64Array[];
}
