/** What a key of each purpose signs, and everything else that it does not. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex, concatBytes, hexToBytes, utf8 } from '../../src/core/index.ts';
import { verifyEd25519 } from '../../src/crypto/index.ts';
import {
  IN_TOTO,
  PURPOSES,
  type Purpose,
  parsePlexiMessage,
  preAuthenticationEncoding,
  type SigningScope,
  subjectOf,
} from '../../src/signer/index.ts';
import { cosignatureMessage, serialiseBundle, serialiseCheckpoint } from '../../src/trust/index.ts';
import { deployment, revocation } from '../trust/manifests.ts';
import vectors from '../vectors/plexi-signatures.json' with { type: 'json' };
import { bundle, checkpoint, NOW, ORIGIN, plexiStatement, policyText, roster, SCOPES, TEXTS } from './texts.ts';

const refused = expect.objectContaining({ code: 'signing_refused' });
const about = (scope: SigningScope, message: Uint8Array) => subjectOf(scope, message, NOW).about;

describe('a key', () => {
  it.each(PURPOSES)('of %s signs its own texts, and none of another purpose', (purpose) => {
    expect(about(SCOPES[purpose], TEXTS[purpose])).not.toBe('');
    const sameForm = (other: Purpose) => other === purpose || bytesToHex(TEXTS[other]) === bytesToHex(TEXTS[purpose]);
    const others = PURPOSES.filter((other) => !sameForm(other));
    expect(others.length).toBeGreaterThanOrEqual(PURPOSES.length - 2);
    for (const other of others) expect(() => about(SCOPES[purpose], TEXTS[other])).toThrow(refused);
  });

  it.each(PURPOSES)('of %s signs nothing that is changed by one byte at an end, or empty', (purpose) => {
    const text = TEXTS[purpose];
    const scope = SCOPES[purpose];
    for (const changed of [
      new Uint8Array(),
      text.subarray(0, -1),
      concatBytes(text, utf8('\n')),
      concatBytes(utf8('\n'), text),
      concatBytes(Uint8Array.of(0xef, 0xbb, 0xbf), text),
    ]) {
      expect(() => about(scope, changed)).toThrow(refused);
    }
  });

  it.each(PURPOSES)('of %s refuses any bytes without a crash', (purpose) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(200), (bytes, cut) => {
        for (const message of [bytes, concatBytes(TEXTS[purpose].subarray(0, cut), bytes)]) {
          try {
            subjectOf(SCOPES[purpose], message, NOW);
          } catch (error) {
            expect(error).toMatchObject({ code: 'signing_refused' });
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it('tells what it signs', () => {
    expect(about(SCOPES.bundle, TEXTS.bundle)).toBe('deploy of fleet first, serial 1');
    expect(about(SCOPES.checkpoint, TEXTS.checkpoint)).toMatch(/^checkpoint of log\.example.*, size 3, root .{44}$/);
    expect(about(SCOPES.plexi, TEXTS.plexi)).toBe('Plexi statement on family.production.first, epoch 1');
  });
});

describe('the scope of a key', () => {
  it.each<[string, SigningScope, Uint8Array]>([
    ['another vault', { ...SCOPES.bundle, vault: 'other' } as SigningScope, TEXTS.bundle],
    ['another environment', { ...SCOPES.bundle, environment: 'staging' } as SigningScope, TEXTS.bundle],
    ['a kind of bundle not its own', { ...SCOPES.bundle, kinds: ['revoke'] } as SigningScope, TEXTS.bundle],
    ['a policy of another vault', SCOPES.policy, utf8(policyText({ vault: 'other' }))],
    ['a policy of another environment', SCOPES.policy, utf8(policyText({ environment: 'staging' }))],
    ['a policy that is not canonical', SCOPES.policy, utf8(policyText().replace('{', '{ '))],
    ['a roster of another log', SCOPES.roster, utf8(roster('other.example/log'))],
    ['a checkpoint of another log', SCOPES.checkpoint, utf8(checkpoint(3, 7, 'other.example/log'))],
    ['a Plexi statement on another namespace', { purpose: 'plexi', namespace: 'x.y.z' }, TEXTS.plexi],
    ['a cosignature of an unknown log', { purpose: 'witness', origins: ['other.example/log'] }, TEXTS.witness],
  ])('keeps it from signing %s', (_, scope, message) => {
    expect(() => about(scope, message)).toThrow(refused);
  });

  it('lets a revoker’s key sign revocations only', () => {
    const scope: SigningScope = { purpose: 'bundle', vault: 'family', environment: 'production', kinds: ['revoke'] };
    const text = serialiseBundle(revocation({ fleet: 'first', serial: 1, digest: 'a'.repeat(64) }));
    expect(about(scope, utf8(text))).toBe('revoke of fleet first, serial 1');
    expect(() => about(scope, utf8(serialiseBundle(deployment())))).toThrow(refused);
  });

  it('has no checkpoint with extension lines, and cosigns those of others', () => {
    const root = new Uint8Array(32);
    const text = serialiseCheckpoint({ origin: ORIGIN, size: 1, root, extensions: ['more'] });
    expect(() => about(SCOPES.checkpoint, utf8(text))).toThrow(refused);
    expect(about(SCOPES.witness, cosignatureMessage(text, NOW / 1000))).toContain('size 1');
  });

  it('has no cosignature with a time more than 5 minutes from the clock', () => {
    const at = (seconds: number) => cosignatureMessage(checkpoint(3), NOW / 1000 + seconds);
    for (const near of [-300, 0, 300]) expect(about(SCOPES.witness, at(near))).toContain('cosignature of');
    for (const far of [-301, 301, 86_400]) expect(() => about(SCOPES.witness, at(far))).toThrow(refused);
  });

  it('has evidence in the in-toto type only', () => {
    const other = preAuthenticationEncoding('application/octet-stream', utf8('{}'));
    expect(() => about(SCOPES.evidence, other)).toThrow(refused);
    const wrongLength = utf8(`DSSEv1 28 ${IN_TOTO} 3 {}`);
    expect(() => about(SCOPES.evidence, wrongLength)).toThrow(refused);
    expect(about(SCOPES.evidence, preAuthenticationEncoding(IN_TOTO, utf8('{"é":1}')))).toContain('8 bytes');
  });
});

describe('Plexi statements', () => {
  it('are what Plexi itself signs', () => {
    const vector = vectors.vectors.find(({ ciphersuite }) => ciphersuite === 1)!;
    const message = plexiStatement(vector.namespace);
    expect(verifyEd25519(hexToBytes(vector.verifying_key), message, hexToBytes(vector.signature))).toBe(true);
    expect(parsePlexiMessage(message)).toEqual({
      namespace: vector.namespace,
      timestamp: 1717084639921,
      epoch: 1,
      digest: new Uint8Array(32).fill(0x11),
    });
  });

  it.each([
    ['a longer form of a number', [0x08, 0x81, 0x00]],
    ['another ciphersuite', [0x08, 0x02]],
    ['another first field', [0x10, 0x01]],
  ])('are refused with %s', (_, start) => {
    const changed = concatBytes(Uint8Array.from(start), plexiStatement().subarray(2));
    expect(() => parsePlexiMessage(changed)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  it('are refused with an epoch of 0, a number beyond 2^53, and whatever follows', () => {
    const bad = (message: Uint8Array) =>
      expect(() => parsePlexiMessage(message)).toThrow(expect.objectContaining({ code: 'malformed' }));
    const epoch = plexiStatement().slice();
    epoch[epoch.length - 35] = 0;
    bad(epoch);
    bad(concatBytes(Uint8Array.of(0x08), new Uint8Array(8).fill(0xff), Uint8Array.of(0x01)));
    bad(concatBytes(plexiStatement(), Uint8Array.of(0x30, 1)));
  });
});

it('texts of two lines are not taken for each other by their first line alone', () => {
  const swapped = bundle().replace('holdfast/validation-bundle/v1', 'holdfast/roster/v1');
  expect(() => about(SCOPES.roster, utf8(swapped))).toThrow(refused);
});
