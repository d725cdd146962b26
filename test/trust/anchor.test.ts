import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/core/index.ts';
import {
  anchorOf,
  MAXIMUM_TRUST_ANCHOR,
  parseTrustAnchor,
  type SignedPolicy,
  serialiseTrustAnchor,
} from '../../src/trust/index.ts';
import { key, POLICY_KEYS, signPolicy, trustPolicy } from './fixture.ts';

const SOURCES = ['https://log.example', 'https://mirror.example:8443'];
const AUTHORITY = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
  return 'nothing';
};

let policy: SignedPolicy;
beforeAll(async () => {
  policy = await signPolicy(trustPolicy());
});

/** The file with members replaced; undefined takes one away. */
const changed = (changes: Record<string, unknown>) =>
  JSON.stringify({ ...JSON.parse(serialiseTrustAnchor(anchorOf(policy, SOURCES, AUTHORITY))), ...changes });

describe('a trust anchor', () => {
  it('is read back as what it was made from', () => {
    const origin = fc
      .tuple(fc.stringMatching(/^[a-z][a-z0-9]{0,20}$/), fc.integer({ min: 1, max: 65_535 }))
      .map(([host, port]) => new URL(`https://${host}.example:${port}`).origin);
    const sources = fc.uniqueArray(origin, { minLength: 1, maxLength: 32 });
    fc.assert(
      fc.property(sources, fc.constantFrom(AUTHORITY, undefined), (origins, authority) => {
        const text = serialiseTrustAnchor(anchorOf(policy, origins, authority));
        const read = parseTrustAnchor(text);
        expect(read).toEqual({
          vault: 'family',
          environment: 'production',
          fleet: 'first',
          policy,
          sources: origins,
          authority,
        });
        expect(serialiseTrustAnchor(read)).toBe(text);
      }),
    );
  });

  it('has room for the longest policy there is', async () => {
    const organisations = new Map(Array.from({ length: 128 }, (_, i) => [`${'"'.repeat(150)}${i}`, 'o'.repeat(60)]));
    const long = await signPolicy(
      trustPolicy({ organisations: new Map([...trustPolicy().organisations, ...organisations].slice(0, 128)) }),
    );
    expect(long.text.length).toBeGreaterThan(40_000);
    expect(serialiseTrustAnchor(anchorOf(long, SOURCES)).length).toBeLessThan(MAXIMUM_TRUST_ANCHOR);
  });

  it.each<[string, Record<string, unknown>]>([
    ['another format', { format: 'holdfast/trust/v1' }],
    ['no format', { format: undefined }],
    ['an unknown member', { pinned: true }],
    ['no sources', { sources: [] }],
    ['33 sources', { sources: Array.from({ length: 33 }, (_, i) => `https://s${i}.example`) }],
    ['one source twice', { sources: ['https://log.example', 'https://log.example'] }],
    ['a source with a path', { sources: ['https://log.example/'] }],
    ['a source over plain HTTP', { sources: ['http://log.example'] }],
    ['an authority that is none', { authority: 'none' }],
    ['a vault that is no name', { vault: 'Family' }],
    ['a policy that is no text', { policy: 7 }],
  ])('with %s is refused', (_, changes) => {
    expect(codeOf(() => parseTrustAnchor(changed(changes)))).toBe('bad_input');
  });

  it.each(['vault', 'environment', 'fleet'])('of another %s than its policy is refused', (name) => {
    expect(codeOf(() => parseTrustAnchor(changed({ [name]: 'other' })))).toBe('wrong_environment');
  });

  it('with a member twice, or too long, is refused', () => {
    expect(codeOf(() => parseTrustAnchor(changed({}).replace('{', '{"vault":"family",')))).toBe('bad_input');
    expect(codeOf(() => parseTrustAnchor(`${changed({})}${' '.repeat(MAXIMUM_TRUST_ANCHOR)}`))).toBe('bad_input');
  });

  it('with a policy that its own threshold has not signed is refused', async () => {
    const one = await signPolicy(trustPolicy(), [key(POLICY_KEYS[0])]);
    expect(codeOf(() => anchorOf(one, SOURCES))).toBe('policy_signatures');
    const forged = await signPolicy(trustPolicy(), [key(POLICY_KEYS[0]), key(POLICY_KEYS[1], 'ed25519', 'mallory')]);
    const claimed = {
      ...forged,
      note: {
        ...forged.note,
        signatures: [forged.note.signatures[0]!, { ...forged.note.signatures[1]!, id: policy.note.signatures[1]!.id }],
      },
    };
    expect(codeOf(() => anchorOf(claimed, SOURCES))).toBe('signature_invalid');
    const text = changed({ policy: 'holdfast/trust-policy/v1\n{}\n\n' });
    expect(codeOf(() => parseTrustAnchor(text))).toBe('policy_malformed');
  });

  it('never crashes the reader, whatever is changed in it', () => {
    const text = serialiseTrustAnchor(anchorOf(policy, SOURCES));
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 3 }), (at, put) => {
        const mutated = text.slice(0, at) + put + text.slice(at + 1);
        expect(codeOf(() => parseTrustAnchor(mutated))).toMatch(
          /^(nothing|bad_input|policy_malformed|policy_signatures|signature_invalid|wrong_environment)$/,
        );
      }),
      { numRuns: 300 },
    );
  });
});
