/** Trust policies from the keyholders' side: no keyholder signs what is unsafe, false, or does not follow. */

import { describe, expect, it } from 'vitest';
import {
  approvalsOf,
  createPolicy,
  joinSignatures,
  lintReport,
  type PolicyFile,
  parsePolicyFile,
  requireChain,
  requireSigned,
  rotatePolicy,
  signPolicy,
} from '../../src/operator/index.ts';
import { serialiseNote, serialisePolicy, verifyPolicyChain } from '../../src/trust/index.ts';
import { COSIGNER, key, POLICY_KEYS, trustPolicy } from '../trust/fixture.ts';
import { DAY, NOW } from '../trust/manifests.ts';
import { codeOf } from './bench.ts';

const [ANNA, BELA, CECIL] = POLICY_KEYS.map((name) => key(name)) as [typeof COSIGNER, typeof COSIGNER, typeof COSIGNER];

/** What a draft of the fixture's policy may leave out. */
const OPTIONAL = ['expires', 'maxAge', 'graceAge', 'floor', 'floors', 'weakerBundles', 'version', 'previous'];

function draftText(changes: Record<string, unknown> = {}): string {
  const members = JSON.parse(serialisePolicy(trustPolicy()).split('\n')[1]!) as Record<string, unknown>;
  for (const name of OPTIONAL) delete members[name];
  return JSON.stringify({ ...members, ...changes });
}

const file = (changes: Record<string, unknown> = {}): PolicyFile => ({
  ...createPolicy(draftText(changes), NOW),
  note: undefined,
});

async function signed(of: PolicyFile, ...signers: readonly (typeof COSIGNER)[]): Promise<PolicyFile> {
  let current = of;
  for (const signer of signers) current = await signPolicy(current, signer, { now: NOW });
  return current;
}

describe('a file that two keyholders sign at the same time', () => {
  it('gets both lines, whoever is done last, and each line once', async () => {
    const made = file();
    const [byAnna, byBela] = await Promise.all([ANNA, BELA].map((signer) => signPolicy(made, signer, { now: NOW })));
    const both = joinSignatures(byAnna!, byBela!);
    expect(approvalsOf(both, undefined)).toEqual(approvalsOf(await signed(made, ANNA, BELA), undefined));
    expect(joinSignatures(both, byBela!).note).toEqual(both.note);
    expect(joinSignatures(made, byAnna!).note).toEqual(byAnna!.note);
  });

  it('is not written where it has become another policy', async () => {
    const byAnna = await signPolicy(file(), ANNA, { now: NOW });
    expect(await codeOf(() => joinSignatures(file({ maxAge: 3600 }), byAnna))).toBe('conflict');
  });
});

describe('a new policy', () => {
  it('has safe defaults', () => {
    const made = file();
    expect(made.policy).toMatchObject({
      version: 1,
      previous: null,
      maxAge: 86_400,
      graceAge: 14 * 86_400,
      expires: NOW + 365 * DAY,
      floors: trustPolicy().floors,
    });
    expect(lintReport(made, NOW)).toEqual({ findings: [], refused: undefined });
  });

  it('takes single floors, and the log policy as lines', () => {
    const lines = trustPolicy().tlog.trimEnd().split('\n');
    const made = file({ floors: { nodes: 5 }, tlog: lines });
    expect(made.policy.floors).toEqual({ ...trustPolicy().floors, nodes: 5 });
    expect(made.policy.tlog).toBe(trustPolicy().tlog);
  });

  it('is refused with what is wrong or missing', async () => {
    expect(() => createPolicy(draftText({ operator: undefined, tlog: undefined }), NOW)).toThrow('tlog, operator');
    expect(await codeOf(() => file({ version: 3 }))).toBe('bad_input');
    expect(await codeOf(() => file({ operator: 'nobody' }))).toBe('policy_malformed');
    expect(await codeOf(() => createPolicy('no JSON', NOW))).toBe('bad_input');
  });
});

describe('signing a policy', () => {
  it('adds one line for each key, and is enough at the threshold', async () => {
    const one = await signed(file(), ANNA);
    expect(approvalsOf(one)).toEqual([{ by: 1, signatures: 1, threshold: 2 }]);
    expect(await codeOf(() => requireChain(one, undefined))).toBe('policy_signatures');
    const two = await signed(one, ANNA, BELA);
    expect(approvalsOf(two)).toEqual([{ by: 1, signatures: 2, threshold: 2 }]);
    const read = parsePolicyFile(serialiseNote(requireChain(two, undefined).note));
    expect(read.note?.signatures.map(({ name }) => name)).toEqual([ANNA.name, BELA.name]);
  });

  it('is refused for what would not protect', async () => {
    expect(await codeOf(() => signed(file({ graceAge: 90 * 86_400 }), ANNA))).toBe('policy_unsafe');
    expect(await codeOf(() => signed(file({ expires: '2026-11-20T00:00:00Z' }), ANNA))).toBe('policy_expired');
  });

  it('is refused for a key that is not the policy’s', async () => {
    expect(await codeOf(() => signed(file(), COSIGNER))).toBe('signing_refused');
    expect(await codeOf(() => signed(file(), key(ANNA.name, 'ed25519', 'another secret')))).toBe('signing_refused');
  });

  it('is refused beside a false signature', async () => {
    const one = requireSigned(await signed(file(), ANNA));
    const [line] = one.note.signatures;
    const broken = { ...line!, signature: line!.signature.map((byte, i) => (i === 0 ? byte ^ 1 : byte)) };
    const forged = { ...one, note: { ...one.note, signatures: [broken] } };
    expect(await codeOf(() => signed(forged, BELA))).toBe('signature_invalid');
  });
});

describe('the next version', () => {
  const first = async () => requireSigned(await signed(file(), ANNA, BELA));

  it('is signed by the thresholds of both versions', async () => {
    const current = await first();
    const fresh = [key('dora.example/policy'), key('emil.example/policy'), key('fred.example/policy')] as const;
    const policyKeys = { threshold: 2, keys: fresh.map(({ verifierKey }) => verifierKey) };
    const next: PolicyFile = { ...rotatePolicy(current, JSON.stringify({ policyKeys }), NOW + DAY), note: undefined };
    expect(next.policy).toMatchObject({ version: 2, previous: current.digest, expires: NOW + 366 * DAY });
    const options = { previous: current, now: NOW };
    let note: PolicyFile = next;
    for (const signer of [ANNA, fresh[0], fresh[1]]) note = await signPolicy(note, signer, options);
    expect(approvalsOf(note, current)).toEqual([
      { by: 1, signatures: 1, threshold: 2 },
      { by: 2, signatures: 2, threshold: 2 },
    ]);
    expect(await codeOf(() => requireChain(note, current))).toBe('policy_signatures');
    const done = requireChain(await signPolicy(note, CECIL, options), current);
    expect(verifyPolicyChain(current, [serialiseNote(done.note)]).digest).toBe(next.digest);
  });

  it('changes single floors only', async () => {
    const current = await first();
    const next = rotatePolicy(current, '{"floors":{"nodes":5}}', NOW);
    expect(next.policy.floors).toEqual({ ...current.policy.floors, nodes: 5 });
    expect(next.policy.tlog).toBe(current.policy.tlog);
  });

  it('is for the same vault, environment and fleet', async () => {
    const current = await first();
    for (const name of ['vault', 'environment', 'fleet']) {
      expect(await codeOf(() => rotatePolicy(current, JSON.stringify({ [name]: 'other' }), NOW))).toBe('bad_input');
    }
  });

  it('is not signed without the one before it, or beside another', async () => {
    const current = await first();
    const next: PolicyFile = { ...rotatePolicy(current, '{}', NOW), note: undefined };
    const sign = (previous: typeof current | undefined) => codeOf(() => signPolicy(next, ANNA, { previous, now: NOW }));
    expect(await sign(undefined)).toBe('chain_broken');
    const other = requireSigned(await signed(file({ graceAge: 10 * 86_400 }), ANNA, BELA));
    expect(await sign(other)).toBe('chain_broken');
    expect(await sign(current)).toBe('nothing');
    expect(await codeOf(() => signPolicy(file(), ANNA, { previous: current, now: NOW }))).toBe('chain_broken');
  });
});

describe('the linter’s report', () => {
  it('tells what is refused from what development may have', () => {
    const weak = { floors: { oneOperator: 'allow', tokenClass: 'emulated' } };
    expect(lintReport(file(weak), NOW).refused?.code).toBe('floors_weak');
    const tlog = trustPolicy().tlog;
    const development = lintReport(file({ ...weak, environment: 'development', tlog }), NOW);
    expect(development.findings.map(({ code }) => code)).toEqual(['floors_weak']);
    expect(development.refused).toBeUndefined();
  });
});
