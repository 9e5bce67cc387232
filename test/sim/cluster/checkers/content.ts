import { versionOf } from '../../../../node/simulator/virtual-origin.ts';
import { Broken, type Checker, type Served } from '../facts.ts';

/** Bytes served are those of some version that the origin has had (guarantee 3). */
export class ContentChecker implements Checker {
  readonly name = 'content';

  served({ pop, resource, status, body }: Served): void {
    if (status !== 200) return;
    const version = versionOf(resource, body);
    if (version === undefined)
      throw new Broken(this.name, `PoP ${pop.index} served ${body.length} wrong bytes for ${resource.key}`);
    if (version > resource.version)
      throw new Broken(this.name, `PoP ${pop.index} served a version of ${resource.key} that never was`);
  }
}
