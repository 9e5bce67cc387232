import * as v from 'valibot';

/** Building blocks of the RPC's parameters and results. Each field carries the words that `rpc.discover` shows. */

/** Longest text that a parameter may be. */
export const TEXT_MAX = 8192;
/** Most rows that one call returns. */
export const ROWS_MAX = 10_000;

export const words = (description: string) =>
  v.pipe(v.string(), v.maxLength(TEXT_MAX), v.description(description));
export const flag = (description: string) => v.pipe(v.boolean(), v.description(description));
export const amount = (description: string) => v.pipe(v.number(), v.finite(), v.description(description));
export const count = (description: string) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.description(description));
export const instant = (description: string) =>
  v.pipe(v.number(), v.safeInteger(), v.description(`${description}; Unix ms`));
export const choice = <const T extends readonly [string, ...string[]]>(choices: T, description: string) =>
  v.pipe(v.picklist(choices), v.description(description));
export const list = <S extends v.GenericSchema>(row: S, description: string) =>
  v.pipe(v.array(row), v.description(description));
/** Always present, `null` where there is nothing to say. */
export const maybe = <S extends v.GenericSchema>(schema: S) => v.nullable(schema);

/** A resource as an operator names it: URL, canonical key, or the 32 hex digits of its key16. */
export const resource = v.pipe(
  v.string(),
  v.minLength(1),
  v.maxLength(TEXT_MAX),
  v.description('URL, canonical key (host/path?query) or key16 (32 hex digits)'),
);

export const limit = (preset: number) =>
  v.pipe(
    v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(ROWS_MAX)), preset),
    v.description(`at most so many rows; ${preset} by default`),
  );

/** Names a resource in a result. */
export const named = {
  key: words('canonical key; the key16 where the name is not known here'),
  key16: words('32 hex digits'),
};
