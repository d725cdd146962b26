import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../../src/core/index.ts';
import {
  lintPolicy,
  newVerifierKey,
  type PolicyFindingCode,
  parsePolicy,
  parseSignedPolicy,
  parseVerifierKey,
  requireSafePolicy,
  type SignedPolicy,
  serialiseNote,
  serialisePolicy,
  type TrustPolicy,
  verifyPolicyChain,
} from '../../../src/trust/index.ts';
import {
  COSIGNER,
  key,
  LOG,
  nextPolicy,
  OPERATOR,
  POLICY_KEYS,
  signPolicy,
  tlogText,
  trustPolicy,
  WITNESSES,
} from '../fixture.ts';
import { DAY, NOW, point } from '../manifests.ts';

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
  return 'nothing';
};

const policyKey = (i: number) => key(POLICY_KEYS[i]!);
const vkey = (name: string, type: 'ed25519' | 'cosignature' = 'ed25519') =>
  parseVerifierKey(key(name, type).verifierKey);

describe('a trust policy’s text', () => {
  it('is read back as what it was made from', () => {
    const changes: fc.Arbitrary<Partial<TrustPolicy>> = fc.record({
      version: fc.constant(7),
      previous: fc.stringMatching(/^[0-9a-f]{64}$/),
      expires: fc.integer({ min: 0, max: 4_000_000_000 }).map((seconds) => seconds * 1000),
      maxAge: fc.integer({ min: 1, max: 1e6 }),
      weakerBundles: fc.array(fc.stringMatching(/^[0-9a-f]{64}$/), { maxLength: 3 }),
      organisations: fc
        .array(fc.tuple(fc.stringMatching(/^[a-zé/"_.]{1,20}$/), fc.stringMatching(/^[a-z0-9]{1,9}$/)), {
          maxLength: 5,
        })
        .map((pairs) => new Map(pairs)),
      floor: fc.record({
        size: fc.integer({ min: 0, max: 2 ** 50 }),
        root: fc.stringMatching(/^[0-9a-f]{64}$/),
        serial: fc.integer({ min: 1, max: 100 }),
      }),
    });
    fc.assert(
      fc.property(changes, (changed) => {
        const policy = trustPolicy(changed);
        const read = parsePolicy(serialisePolicy(policy));
        expect(read.policy).toEqual(policy);
        expect(read.tlog.logs.map((log) => log.key.name)).toEqual([LOG.name]);
      }),
      { numRuns: 50 },
    );
  });

  it('has ECDSA keys where a token has no Ed25519', () => {
    const ecdsa = newVerifierKey('operator.example/bundle', 'ecdsa', point('operator'));
    expect(parsePolicy(serialisePolicy(trustPolicy({ operator: ecdsa }))).policy.operator).toEqual(ecdsa);
  });

  const text = serialisePolicy(trustPolicy());
  it.each<[string, string]>([
    ['white space', text.replace('{"', '{ "')],
    ['an unknown member', text.replace('"maxAge"', '"extra":1,"maxAge"')],
    ['a member twice', text.replace('"maxAge":86400', '"maxAge":86400,"maxAge":86400')],
    ['a witness’s key for the cosigner', text.replace(COSIGNER.verifierKey, key('x', 'cosignature').verifierKey)],
    ['a key whose ID is another’s', text.replace(/"cosigner":"([^+]*)\+......../, '"cosigner":"$1+00000000')],
    ['a quorum of an unknown name', text.replace('quorum both', 'quorum them')],
    ['an age that is no whole number', text.replace('"maxAge":86400', '"maxAge":8.5')],
    ['more bytes than it may have', text.replace('log log.example', `# ${'#'.repeat(50_000)}\\nlog log.example`)],
    ['version 1 after another', text.replace('"previous":null', `"previous":"${'a'.repeat(64)}"`)],
  ])('is refused with %s', (_, changed) => {
    expect(changed).not.toBe(text);
    expect(codeOf(() => parsePolicy(changed))).toBe('policy_malformed');
  });
});

describe('the chain of trust policies', () => {
  let one: SignedPolicy;
  let two: SignedPolicy;
  let three: SignedPolicy;
  const text = (policy: SignedPolicy) => serialiseNote(policy.note);
  const newKeys = { threshold: 2, keys: ['d', 'e', 'f'].map((name) => vkey(`${name}.example/policy`)) };
  const newSigners = ['d', 'e'].map((name) => key(`${name}.example/policy`));
  beforeAll(async () => {
    one = await signPolicy(trustPolicy());
    two = await signPolicy(nextPolicy(one, { policyKeys: newKeys }), [policyKey(0), policyKey(2), ...newSigners]);
    three = await signPolicy(nextPolicy(two, { maxAge: 3600 }), newSigners);
  });

  it('leads over every policy to the newest, also past those that come before its beginning', () => {
    expect(verifyPolicyChain(one, [text(two), text(three)]).digest).toBe(three.digest);
    expect(verifyPolicyChain(two, [text(one), text(two), text(three)]).digest).toBe(three.digest);
    expect(verifyPolicyChain(three, [text(one), text(two), text(three)]).digest).toBe(three.digest);
    expect(verifyPolicyChain(one, []).digest).toBe(one.digest);
  });

  it('needs every policy in between', () => {
    expect(codeOf(() => verifyPolicyChain(one, [text(three)]))).toBe('chain_broken');
  });

  it.each<[string, string, () => Promise<SignedPolicy>]>([
    ['the new keys only', 'policy_signatures', () => signPolicy(nextPolicy(one, { policyKeys: newKeys }), newSigners)],
    [
      'the old keys only',
      'policy_signatures',
      () => signPolicy(nextPolicy(one, { policyKeys: newKeys }), [policyKey(0), policyKey(1)]),
    ],
    ['one old key', 'policy_signatures', () => signPolicy(nextPolicy(one, {}), [policyKey(0)])],
    ['the cosigner and the operator', 'policy_signatures', () => signPolicy(nextPolicy(one, {}), [COSIGNER, OPERATOR])],
    ['one old key twice', 'signature_invalid', () => signPolicy(nextPolicy(one, {}), [policyKey(0), policyKey(0)])],
    [
      'another key of the same name',
      'policy_signatures',
      () => signPolicy(nextPolicy(one, {}), [policyKey(0), key(POLICY_KEYS[1], 'ed25519', 'thief')]),
    ],
    ['enough keys, but another past', 'chain_broken', () => signPolicy(nextPolicy(one, { previous: 'a'.repeat(64) }))],
    ['enough keys, but a version left out', 'chain_broken', () => signPolicy(nextPolicy(one, { version: 3 }))],
    ['enough keys, for another vault', 'chain_broken', () => signPolicy(nextPolicy(one, { vault: 'others' }))],
    ['enough keys, for another fleet', 'chain_broken', () => signPolicy(nextPolicy(one, { fleet: 'second' }))],
    ['enough keys, but the same version', 'chain_broken', () => signPolicy(trustPolicy({ maxAge: 3600 }))],
  ])('breaks at one that is signed by %s', async (_, code, made) => {
    const next = text(await made());
    expect(codeOf(() => verifyPolicyChain(one, [next]))).toBe(code);
  });

  it('counts keys and not names: one key under two names is one signature', async () => {
    const twice = (name: string) => key(name, 'ed25519', 'the same');
    const keys = ['a/x', 'b/x', 'c/x'].map((name, i) =>
      parseVerifierKey((i < 2 ? twice(name) : key(name)).verifierKey),
    );
    const shared = await signPolicy(trustPolicy({ policyKeys: { threshold: 2, keys } }), [twice('a/x'), twice('b/x')]);
    expect(codeOf(() => verifyPolicyChain(shared, []))).toBe('policy_signatures');
  });

  it('rejects a false line of a known key, however many right ones there are', () => {
    const [first, ...rest] = one.note.signatures;
    const signature = first!.signature.slice();
    signature[0]! ^= 1;
    const note = { text: one.text, signatures: [{ ...first!, signature }, ...rest] };
    expect(codeOf(() => verifyPolicyChain(parseSignedPolicy(serialiseNote(note)), []))).toBe('signature_invalid');
  });
});

describe('the linter of trust policies', () => {
  const codes = (changes: Partial<TrustPolicy>): PolicyFindingCode[] =>
    lintPolicy(parsePolicy(serialisePolicy(trustPolicy(changes))), NOW).map(({ code }) => code);
  const witness = (name: string) => key(name, 'cosignature');
  const quorum = (lines: string) => tlogText().replace(/group others.*\n(?:.*\n)*/, `${lines}\n`);

  it('finds nothing in a safe policy', () => {
    expect(codes({})).toEqual([]);
  });

  it.each<[PolicyFindingCode, string, Partial<TrustPolicy>]>([
    ['one_log', 'two logs', { tlog: `log ${key('two.example/log').verifierKey}\n${tlogText()}` }],
    ['one_log', 'no log', { tlog: tlogText().replace(/^log.*\n/, '') }],
    [
      'key_shared',
      'the cosigner’s key for the roster',
      { roster: parseVerifierKey(key('cosigner.example/roster', 'ed25519', COSIGNER.name).verifierKey) },
    ],
    [
      'key_shared',
      'a witness that is a policy key',
      {
        tlog: tlogText({
          witnesses: [...WITNESSES.slice(0, 3).map(witness), key('cosigner.example/w', 'cosignature', POLICY_KEYS[0])],
        }),
      },
    ],
    ['policy_keys_few', 'one of three', { policyKeys: { threshold: 1, keys: POLICY_KEYS.map((name) => vkey(name)) } }],
    [
      'policy_keys_few',
      'two of two',
      { policyKeys: { threshold: 2, keys: POLICY_KEYS.slice(1).map((name) => vkey(name)) } },
    ],
    [
      'policy_keys_few',
      'two of four, so that two pairs could sign rivals',
      { policyKeys: { threshold: 2, keys: [...POLICY_KEYS, 'd/p'].map((name) => vkey(name)) } },
    ],
    [
      'organisation_unknown',
      'a witness of nobody',
      { organisations: new Map([...trustPolicy().organisations].filter(([name]) => name !== WITNESSES[3])) },
    ],
    [
      'cosigner_is_operator',
      'one organisation in both roles',
      { organisations: new Map([...trustPolicy().organisations, [OPERATOR.name, 'cosigner.example']]) },
    ],
    ['quorum_none', 'no witnesses', { tlog: tlogText().replace('quorum both', 'quorum none') }],
    ['ages_wrong', 'a grace shorter than the age', { graceAge: 3600 }],
    ['ages_wrong', 'a grace of a year', { graceAge: 365 * 86_400 }],
    ['expiry_wrong', 'two years', { expires: NOW + 730 * DAY }],
    ['floors_weak', 'emulated tokens', { floors: { ...trustPolicy().floors, tokenClass: 'emulated' } }],
    ['floors_weak', 'one operator', { floors: { ...trustPolicy().floors, oneOperator: 'allow' } }],
    ['floors_weak', 'one node', { floors: { ...trustPolicy().floors, nodes: 1 } }],
    ['auditor_missing', 'no auditing witness', { auditors: [] }],
    ['auditor_missing', 'an auditing witness of the cosigner', { auditors: [vkey(WITNESSES[3], 'cosignature')] }],
    [
      'auditor_missing',
      'an auditing witness that is no witness',
      { auditors: [...trustPolicy().auditors, vkey('other/w', 'cosignature')] },
    ],
    ['auditor_missing', 'a quorum that can do without it', { tlog: quorum('group g 2 w1 w2 w3\nquorum g') }],
  ])('finds %s: %s', (code, _, changes) => {
    expect(codes(changes)).toContain(code);
  });

  it('finds quorums without a common witness', () => {
    expect(codes({ tlog: quorum('group g 2 w1 w2 w3 w4\nquorum g') })).toContain('quorums_disjoint');
  });

  it('finds quorums that have only the cosigner’s witness in common', () => {
    const organisations = new Map(trustPolicy().organisations);
    expect(
      codes({ organisations, tlog: quorum('group others any w1 w2 w3\ngroup g all w4 others\nquorum g') }),
    ).toContain('quorums_meet_inside');
  });

  it('finds a quorum of cosigner and operator', () => {
    const organisations = new Map([...trustPolicy().organisations, [WITNESSES[1], 'operator.example']]);
    const found = codes({ organisations, tlog: quorum('group g all w2 w4\nquorum g') });
    expect(found).toContain('quorum_of_insiders');
  });

  it('lets development be weak, and nothing else', () => {
    const weak = { floors: { ...trustPolicy().floors, nodes: 1, oneOperator: 'allow' as const } };
    const policy = (changes: Partial<TrustPolicy>) =>
      parsePolicy(serialisePolicy(trustPolicy({ ...weak, ...changes })));
    expect(codeOf(() => requireSafePolicy(policy({}), NOW))).toBe('policy_unsafe');
    expect(codeOf(() => requireSafePolicy(policy({ environment: 'development' }), NOW))).toBe('nothing');
    expect(codeOf(() => requireSafePolicy(policy({ environment: 'development', auditors: [] }), NOW))).toBe(
      'policy_unsafe',
    );
  });
});
