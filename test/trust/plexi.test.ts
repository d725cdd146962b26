import { describe, expect, it } from 'vitest';
import { bytesToHex, hexToBytes, Secret } from '../../src/core/index.ts';
import { ed25519KeyFromSeed } from '../../src/crypto/index.ts';
import {
  type PlexiStatement,
  plexiKeyId,
  plexiMessage,
  plexiNamespace,
  plexiResponse,
  verifyPlexi,
} from '../../src/trust/index.ts';
import vectors from '../vectors/plexi-signatures.json' with { type: 'json' };

const vector = vectors.vectors.find(({ ciphersuite }) => ciphersuite === 1)!;
const statement: PlexiStatement = {
  namespace: vector.namespace,
  timestamp: vector.timestamp,
  epoch: vector.epoch,
  digest: hexToBytes(vector.digest),
};
const publicKey = hexToBytes(vector.verifying_key);
const signature = hexToBytes(vector.signature);

describe('a Plexi statement of ciphersuite 1', () => {
  it('is signed as Plexi’s own vector is, byte for byte', () => {
    const key = ed25519KeyFromSeed(new Secret(hexToBytes(vector.signing_key)));
    expect(bytesToHex(key.publicKey)).toBe(vector.verifying_key);
    expect(bytesToHex(key.sign(plexiMessage(statement)))).toBe(vector.signature);
    expect(plexiKeyId(publicKey)).toBe(vector.key_id);
    expect(verifyPlexi(publicKey, statement, signature)).toBe(true);
  });

  it.each<[string, Partial<PlexiStatement>]>([
    ['namespace', { namespace: 'log2.example.com' }],
    ['time', { timestamp: vector.timestamp + 1 }],
    ['epoch', { epoch: 2 }],
    ['digest', { digest: new Uint8Array(32) }],
  ])('does not verify with another %s', (_, changes) => {
    expect(verifyPlexi(publicKey, { ...statement, ...changes }, signature)).toBe(false);
  });

  it.each<[string, Partial<PlexiStatement>]>([
    ['a namespace with a slash', { namespace: 'a/b' }],
    ['no namespace', { namespace: '' }],
    ['a time with a fraction', { timestamp: 0.5 }],
    ['epoch 0', { epoch: 0 }],
    ['a short digest', { digest: new Uint8Array(31) }],
  ])('has no bytes with %s', (_, changes) => {
    expect(() => plexiMessage({ ...statement, ...changes })).toThrow(expect.objectContaining({ code: 'bad_input' }));
  });

  it('is answered with the members of Plexi’s API', () => {
    expect(plexiResponse(statement, publicKey, signature)).toMatchObject({
      ciphersuite: 1,
      namespace: 'log1.example.com',
      digest: vector.digest,
      signature: vector.signature,
      key_id: 188,
    });
    expect(plexiNamespace({ vault: 'family', environment: 'production', fleet: 'first' })).toBe(
      'family.production.first',
    );
  });
});
