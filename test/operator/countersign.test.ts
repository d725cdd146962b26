/** What an operator's key never signs, each with the code of the check that stops it. */

import { beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/core/index.ts';
import {
  type CheckProposalOptions,
  COUNTERSIGN_CHECKS,
  checkProposal,
  countersign,
  parseBundleFile,
  readLog,
  requireAcceptance,
} from '../../src/operator/index.ts';
import {
  emptyLog,
  type LiveManifest,
  noteLeaf,
  parseVerifierKey,
  type SignedPolicy,
  serialiseNote,
  type TrustPolicy,
} from '../../src/trust/index.ts';
import {
  COSIGNER,
  digestOfManifest,
  evidence,
  key,
  nextPolicy,
  OPERATOR,
  POLICY_KEYS,
  proposal,
  revocationLeaf,
  signBundle,
  signPolicy,
  TestLog,
  trustPolicy,
  WITNESSES,
} from '../trust/fixture.ts';
import { bundleNode, DAY, deployment, NOW, revocation } from '../trust/manifests.ts';
import { codeOf, sourceOf } from './bench.ts';

let policy: SignedPolicy;
beforeAll(async () => {
  policy = await signPolicy(trustPolicy());
});

/** A log whose last proposal is `manifest`. */
async function proposed(manifest: LiveManifest = deployment(), of = policy): Promise<TestLog> {
  const log = new TestLog(of);
  await log.append(evidence(), await proposal(manifest));
  return log;
}

const optionsOf = (log: TestLog, changes: Partial<CheckProposalOptions> = {}): CheckProposalOptions => ({
  policy: log.policy,
  source: sourceOf(log),
  fleet: 'first',
  now: NOW,
  ...changes,
});

/** The code, and the number of the check. */
async function failureOf(options: CheckProposalOptions): Promise<string> {
  try {
    await checkProposal(options);
  } catch (error) {
    if (error instanceof HoldfastError) return `${error.details.check} ${error.code}`;
    throw error;
  }
  return 'nothing';
}

const following = (before: LiveManifest, changes: Partial<LiveManifest> = {}): LiveManifest =>
  deployment({
    serial: before.serial + 1,
    previous: digestOfManifest(before),
    accepted: digestOfManifest(before),
    ...(changes as object),
  });

describe('a proposal that is as it must be', () => {
  it('passes all checks, in their order, and gets the operator’s line after the cosigner’s', async () => {
    const seen: number[] = [];
    const log = await proposed();
    const checked = await checkProposal(optionsOf(log, { onCheck: ({ number }) => seen.push(number) }));
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(checked.checks.map(({ name }) => name)).toEqual(COUNTERSIGN_CHECKS);
    const note = await countersign(checked, OPERATOR);
    expect(note.signatures.map(({ name }) => name)).toEqual([COSIGNER.name, OPERATOR.name]);
    expect(log.write(noteLeaf('acceptance', note))).toEqual([]);
  });

  it('is compared with the accepted bundle', async () => {
    const log = new TestLog(policy);
    await log.accept(deployment());
    await log.append(await proposal(following(deployment(), { coordinators: ['https://c.vault.example'] })));
    const { accepted, checks } = await checkProposal(optionsOf(log));
    expect(accepted?.digest).toBe(digestOfManifest(deployment()));
    expect(checks[6]!.finding).toContain('not weaker than serial 1');
  });

  it('is signed by no other key than the policy’s operator key', async () => {
    const checked = await checkProposal(optionsOf(await proposed()));
    for (const signer of [COSIGNER, key('operator.example/bundle', 'ed25519', 'another secret')]) {
      expect(await codeOf(() => countersign(checked, signer))).toBe('signing_refused');
    }
  });
});

describe('check 1, the witnessed log', () => {
  const failure = async (changes: Partial<CheckProposalOptions>) => failureOf(optionsOf(await proposed(), changes));

  it('refuses a log that no quorum of witnesses confirmed', async () => {
    const log = await proposed();
    const some = { [WITNESSES[0]]: NOW, [WITNESSES[3]]: NOW };
    expect(await failure({ source: sourceOf(log, { witnessed: some }) })).toBe('1 quorum_not_met');
    const ahead = Object.fromEntries(WITNESSES.map((name) => [name, NOW + 600_000]));
    expect(await failure({ source: sourceOf(log, { witnessed: ahead }) })).toBe('1 quorum_not_met');
  });

  it('refuses confirmations that are too old', async () => {
    const old = Object.fromEntries(WITNESSES.map((name) => [name, NOW - DAY - 1000]));
    expect(await failure({ source: sourceOf(await proposed(), { witnessed: old }) })).toBe('1 log_stale');
  });

  it('refuses a log that is empty still', async () => {
    const empty = { ...sourceOf(await proposed()), checkpoint: async () => undefined };
    expect(await failure({ source: empty })).toBe('1 quorum_not_met');
    const view = await readLog(policy, empty, { which: 'newest', now: NOW });
    expect(view.state).toEqual(emptyLog(policy));
  });

  it('refuses leaves that are not those of the checkpoint', async () => {
    const log = await proposed();
    const source = sourceOf(log);
    const cut = { ...source, leaves: async () => log.entries.slice(0, -1) };
    expect(await failure({ source: cut })).toBe('1 untrusted');
    const other = await proposed(deployment({ coordinators: ['https://c.vault.example'] }));
    expect(await failure({ source: { ...source, leaves: async () => other.entries } })).toBe('1 untrusted');
  });

  it('refuses a checkpoint that the log has not signed', async () => {
    const log = await proposed();
    log.signers.log = key(log.state.origin, 'ed25519', 'another secret');
    expect(await failure({ source: sourceOf(log) })).toBe('1 untrusted');
  });

  it('refuses another log', async () => {
    const log = await proposed();
    const source = sourceOf(log);
    const text = async () =>
      new TextEncoder().encode(serialiseNote(await log.checkpoint({ origin: 'log.example/other' })));
    expect(await failure({ source: { ...source, checkpoint: text } })).toBe('1 wrong_origin');
  });

  it('refuses a log that broke its rules, and says where', async () => {
    const log = await proposed();
    log.write(await proposal(deployment({ serial: 7, previous: 'a'.repeat(64) })));
    await log.append();
    await expect(checkProposal(optionsOf(log))).rejects.toMatchObject({
      code: 'log_misconduct',
      details: { check: 1, index: 3, rule: 'serial_wrong' },
    });
  });

  it('refuses a log that ends in no list of fleets', async () => {
    const log = await proposed();
    log.write(evidence('f'.repeat(64)));
    expect(await failureOf(optionsOf(log))).toBe('1 roster_wrong');
  });

  it('refuses a policy without its own keyholders’ signatures', async () => {
    const log = await proposed();
    const unsigned = await signPolicy(trustPolicy(), [key(POLICY_KEYS[0])]);
    expect(await failureOf(optionsOf(log, { policy: unsigned }))).toBe('1 policy_signatures');
  });
});

describe('a policy that has changed', () => {
  const second = async (changes: Partial<TrustPolicy> = {}) => signPolicy(nextPolicy(policy, changes));

  it('is followed in the log, and decides', async () => {
    const log = new TestLog(policy);
    const next = await second({ floors: { ...trustPolicy().floors, nodes: 5 } });
    await log.append(noteLeaf('policy', policy.note), noteLeaf('policy', next.note));
    await log.append(evidence(), await proposal(deployment()));
    expect(await failureOf(optionsOf(log))).toBe('7 policy_floor');
  });

  it('ends proposals that a replaced cosigner signed', async () => {
    const log = await proposed();
    const successor = parseVerifierKey(key('successor.example/bundle').verifierKey);
    const organisations = new Map([...trustPolicy().organisations, [successor.name, 'successor.example']]);
    const next = await second({ cosigner: successor, organisations });
    await log.append(noteLeaf('policy', policy.note), noteLeaf('policy', next.note));
    expect(await failureOf(optionsOf(log))).toBe('4 signature_missing');
  });

  it('leads back to the one that the log began with', async () => {
    const log = new TestLog(policy);
    const next = await second({ graceAge: 10 * 86_400 });
    await log.append(noteLeaf('policy', policy.note), noteLeaf('policy', next.note));
    await log.append(evidence(), await proposal(deployment()));
    const policies = [policy, next].map(({ note }) => serialiseNote(note));
    const options = { policy: next, source: sourceOf(log, { policies }) };
    const { view } = await checkProposal(optionsOf(log, options));
    expect(view.policy.policy.version).toBe(2);
    const other = await second({ graceAge: 9 * 86_400 });
    expect(await failureOf(optionsOf(log, { ...options, policy: other }))).toBe('1 chain_broken');
    const forged = await signPolicy(trustPolicy({ graceAge: 9 * 86_400 }));
    const replaced = sourceOf(log, { policies: [serialiseNote(forged.note)] });
    expect(await failureOf(optionsOf(log, { policy: next, source: replaced }))).toBe('1 chain_broken');
  });
});

describe('checks 2 to 7', () => {
  it('refuse an expired or unsafe policy', async () => {
    const expired = await signPolicy(trustPolicy({ expires: NOW }));
    expect(await failureOf(optionsOf(await proposed(deployment(), expired)))).toBe('2 policy_expired');
    const unsafe = await signPolicy(trustPolicy({ graceAge: 90 * 86_400 }));
    expect(await failureOf(optionsOf(await proposed(deployment(), unsafe)))).toBe('2 policy_unsafe');
  });

  it('refuse what is not the fleet’s last proposal', async () => {
    const log = await proposed();
    expect(await failureOf(optionsOf(log, { fleet: 'other' }))).toBe('3 not_found');
    expect(await failureOf(optionsOf(log, { digest: 'a'.repeat(64) }))).toBe('3 conflict');
    const digest = digestOfManifest(deployment());
    expect(await failureOf(optionsOf(log, { digest }))).toBe('nothing');
  });

  it('refuse a proposal that has been revoked', async () => {
    const log = await proposed();
    const revokes = { fleet: 'first', serial: 1, digest: digestOfManifest(deployment()) };
    await log.append(await revocationLeaf(revocation(revokes)));
    expect(await failureOf(optionsOf(log))).toBe('3 bundle_revoked');
  });

  it('refuse evidence that is not logged, or not what the operator has', async () => {
    const log = new TestLog(policy);
    await log.append(await proposal(deployment()));
    expect(await failureOf(optionsOf(log))).toBe('5 evidence_wrong');
    const logged = await proposed();
    expect(await failureOf(optionsOf(logged, { evidence: new Uint8Array(1000) }))).toBe('5 evidence_wrong');
  });

  it('refuse what has expired, or is too weak', async () => {
    const late = deployment({ notAfter: NOW });
    expect(await failureOf(optionsOf(await proposed(late)))).toBe('6 bundle_expired');
    const weak = deployment({ nodes: [1, 2, 3].map((n) => ({ ...bundleNode(n), tokenClass: 'emulated' as const })) });
    expect(await failureOf(optionsOf(await proposed(weak)))).toBe('7 policy_floor');
  });

  it('refuse a fleet weaker than the accepted one, unless the policy names it', async () => {
    const strong = { ...deployment().policy, minimumShares: 4 };
    const five = deployment({ nodes: [1, 2, 3, 4, 5].map((n) => bundleNode(n)), policy: strong });
    const three = following(five, { epoch: 2, nodes: [1, 2, 3].map((n) => bundleNode(n, `other-${n}`)) });
    const weaken = async (of: SignedPolicy) => {
      const log = new TestLog(of);
      await log.accept(five);
      await log.append(await proposal(three));
      return failureOf(optionsOf(log));
    };
    expect(await weaken(policy)).toBe('7 fleet_weakened');
    const allowing = await signPolicy(trustPolicy({ weakerBundles: [digestOfManifest(three)] }));
    expect(await weaken(allowing)).toBe('nothing');
  });
});

describe('a countersigned note', () => {
  const file = async (...signers: Parameters<typeof signBundle>[1][]) =>
    parseBundleFile(new TextEncoder().encode(serialiseNote(await signBundle(deployment(), ...signers))));

  it('has exactly the cosigner’s line and the operator’s, in this order', async () => {
    expect(requireAcceptance(await file(COSIGNER, OPERATOR), policy).digest).toBe(digestOfManifest(deployment()));
    const refused = async (...signers: Parameters<typeof signBundle>[1][]) => {
      const given = await file(...signers);
      return codeOf(() => requireAcceptance(given, policy));
    };
    expect(await refused(COSIGNER)).toBe('signature_missing');
    expect(await refused(OPERATOR, COSIGNER)).toBe('bundle_malformed');
    expect(await refused(COSIGNER, OPERATOR, key('other.example/bundle'))).toBe('bundle_malformed');
    expect(await refused(COSIGNER, key(OPERATOR.name, 'ed25519', 'another secret'))).toBe('signature_missing');
  });
});
