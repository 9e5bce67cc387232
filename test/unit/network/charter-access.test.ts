import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { charterFromToml } from '../../../node/cli/keys-charter.ts';
import { encodeCharter, openCharter } from '../../../protocol/charter-document.ts';
import { genesisOf } from '../../../protocol/genesis.ts';
import { rawPublicKey } from '../../../protocol/pop-key.ts';

const operator = generateKeyPairSync('ed25519').privateKey;
const operatorKey = rawPublicKey(operator);
const genesis = genesisOf({ operatorKey, name: 'test', generation: 1 });
const keysOf = (line: string, id = 'films') => {
  const toml = `version = 1\nregions = ["eu"]\n[[sites]]\nid = "${id}"\nhosts = ["*"]\norigin = "http://o"\n${line}`;
  const charter = charterFromToml(toml, 'test', genesis, operator);
  const { charter: back } = openCharter(encodeCharter(charter, genesis, operator), operatorKey, genesis);
  return back.sites[0]?.accessKeys;
};

describe('access keys in a charter', () => {
  it('follow from the operator key, the site and their id, and survive the signed document', () => {
    const [next, old] = keysOf('private = true\naccessKeys = ["2026-11", "2026-08"]') ?? [];
    expect([next?.id, old?.id]).toEqual(['2026-11', '2026-08']);
    expect(next?.secret).toHaveLength(32);
    expect(next?.secret).not.toEqual(old?.secret);
    expect(keysOf('private = true\naccessKeys = ["2026-11"]')?.[0]).toEqual(next);
    expect(keysOf('private = true\naccessKeys = ["2026-11"]', 'music')?.[0]?.secret).not.toEqual(
      next?.secret,
    );
  });

  it('may be given whole, and a private site without any gets one', () => {
    const secret = 'cd'.repeat(40);
    const given = keysOf(`private = true\naccessKeys = [{ id = "a", secret = "${secret}" }]`);
    expect(given).toEqual([{ id: 'a', secret: new Uint8Array(Buffer.from(secret, 'hex')) }]);
    expect(keysOf('private = true')?.map(({ id }) => id)).toEqual(['1']);
    expect(keysOf('private = false')).toBeUndefined();
  });

  it.each([
    ['twice the same id', '["a", "a"]'],
    ['an id that no URL could carry', '["a&b"]'],
    ['a secret that is too short', '[{ id = "a", secret = "abcd" }]'],
    ['more than are ever in force', `[${Array.from({ length: 17 }, (_, at) => `"k${at}"`).join(', ')}]`],
  ])('are refused: %s', (_, list) => {
    expect(() => keysOf(`private = true\naccessKeys = ${list}`)).toThrow(
      expect.objectContaining({ code: 'CHARTER_INVALID' }),
    );
  });
});
