import type { Charter } from '../protocol/charter.ts';
import { type CountryLookup, createGeography, type Geography, type Located } from '../protocol/geography.ts';

/** The geography of the charter in force. */
export class LiveGeography implements Geography {
  readonly #countryOf: CountryLookup | undefined;
  #current: Geography;

  constructor(charter: Charter, countryOf: CountryLookup | undefined) {
    this.#countryOf = countryOf;
    this.#current = createGeography(charter, countryOf);
  }

  /** From now on places clients by this charter, as a whole. */
  replace(charter: Charter): void {
    this.#current = createGeography(charter, this.#countryOf);
  }

  locate(address: Uint8Array, prefixLength?: number): Located {
    return this.#current.locate(address, prefixLength);
  }

  locateText(address: string): Located {
    return this.#current.locateText(address);
  }
}
