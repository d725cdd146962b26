/** What makes a trust policy unsafe although it is well formed: each finding has a code and a sentence. */

import { type ErrorDetails, HoldfastError } from '../../core/index.ts';
import {
  everyQuorumIncludes,
  minimumOverlap,
  type QuorumRule,
  type TlogPolicy,
  type VerifierKey,
  witnessesOf,
} from '../tlog/index.ts';
import type { TrustPolicy, TrustPolicyText } from './document.ts';

export type PolicyFindingCode =
  | 'one_log'
  | 'key_shared'
  | 'key_unknown'
  | 'policy_keys_few'
  | 'organisation_unknown'
  | 'cosigner_is_operator'
  | 'quorum_none'
  | 'quorums_disjoint'
  | 'quorums_meet_inside'
  | 'quorum_of_insiders'
  | 'auditor_missing'
  | 'ages_wrong'
  | 'expiry_wrong'
  | 'floors_weak';

export interface PolicyFinding {
  readonly code: PolicyFindingCode;
  readonly sentence: string;
  /** Let through where the policy's environment is `development`, because it needs several parties or machines. */
  readonly development: boolean;
}

const DAY = 86_400;
const SECOND = 1000;
/** The environment in which one person may be all parties. */
export const DEVELOPMENT = 'development';
/** Seconds. */
export const MAXIMUM_POLICY_LIFE = 366 * DAY;
export const MAXIMUM_GRACE_AGE = 30 * DAY;

/** Everything that is unsafe about a policy at a time; `now` in milliseconds since 1970. About 0.1 ms. */
export function lintPolicy({ policy, tlog }: TrustPolicyText, now: number): readonly PolicyFinding[] {
  const finding = (code: PolicyFindingCode, sentence: string, development = false) => ({ code, sentence, development });
  const found: PolicyFinding[] = [];
  if (tlog.logs.length !== 1 || tlog.logs[0]!.key.type !== 'ed25519') {
    found.push(finding('one_log', 'the policy must name exactly one log, with an Ed25519 key'));
  }
  for (const names of sharedKeys(policy, tlog)) {
    found.push(finding('key_shared', `one key serves several purposes: ${names.join(', ')}`));
  }
  if (tlog.witnesses.some(({ key }) => key.type === 'unknown')) {
    found.push(finding('key_unknown', 'a witness has a key of an unknown type, so that it would never count'));
  }
  const { threshold, keys } = policy.policyKeys;
  if (threshold < 2 || keys.length < 3 || 2 * threshold <= keys.length || threshold > keys.length) {
    const sentence = `${threshold} of ${keys.length} policy keys sign; it must be more than half, at least 2, of at least 3`;
    found.push(finding('policy_keys_few', sentence));
  }
  found.push(...organisationFindings(policy, tlog), ...quorumFindings(policy, tlog));
  if (policy.maxAge < 60 || policy.graceAge < policy.maxAge || policy.graceAge > MAXIMUM_GRACE_AGE) {
    found.push(finding('ages_wrong', 'maxAge must be 1 minute or more, and graceAge from maxAge to 30 days'));
  }
  if (!(policy.expires <= now + (MAXIMUM_POLICY_LIFE + DAY) * SECOND)) {
    found.push(finding('expiry_wrong', 'the policy must expire within a year'));
  }
  const { floors } = policy;
  if (floors.nodes < 3 || floors.tokenClass === 'emulated' || floors.oneOperator === 'allow') {
    const sentence = 'the floors must ask for 3 nodes, tokens that are at least declared, and several operators';
    found.push(finding('floors_weak', sentence, true));
  }
  return found;
}

/**
 * @throws HoldfastError `policy_unsafe` for the first finding, except for those that development may have where the
 * policy's environment is `development`.
 */
export function requireSafePolicy(policy: TrustPolicyText, now: number): void {
  const forDevelopment = policy.policy.environment === DEVELOPMENT;
  const found = lintPolicy(policy, now).find(({ development }) => !(development && forDevelopment));
  if (found === undefined) return;
  const details: ErrorDetails = { finding: found.code, version: policy.policy.version };
  throw new HoldfastError('policy_unsafe', `the trust policy would not protect you: ${found.sentence}`, { details });
}

/** The names of keys that are the same key, for each that is used twice. */
function sharedKeys(policy: TrustPolicy, tlog: TlogPolicy): string[][] {
  const users = new Map<string, string[]>();
  const use = (purpose: string, keys: readonly VerifierKey[]) => {
    for (const { publicKey, name } of keys) {
      const bytes = publicKey.join();
      users.set(bytes, [...(users.get(bytes) ?? []), `${purpose} ${name}`]);
    }
  };
  use('cosigner', [policy.cosigner]);
  use('operator', [policy.operator]);
  use('roster', [policy.roster]);
  use('plexi', [policy.plexi]);
  use('revoker', policy.revokers);
  use('policy', policy.policyKeys.keys);
  use(
    'log',
    tlog.logs.map(({ key }) => key),
  );
  use(
    'witness',
    tlog.witnesses.map(({ key }) => key),
  );
  return [...users.values()].filter((names) => names.length > 1);
}

function organisationFindings({ organisations, cosigner, operator }: TrustPolicy, tlog: TlogPolicy): PolicyFinding[] {
  const named = [cosigner, operator, ...tlog.witnesses.map(({ key }) => key)];
  const found = named
    .filter(({ name }) => !organisations.has(name))
    .map(({ name }): PolicyFinding => {
      const sentence = `the policy does not say which organisation is behind the key ${name}`;
      return { code: 'organisation_unknown', sentence, development: false };
    });
  if (organisations.get(cosigner.name) !== organisations.get(operator.name)) return found;
  const sentence = 'cosigner and operator are the same organisation, so that its word alone makes a bundle live';
  return [...found, { code: 'cosigner_is_operator', sentence, development: true }];
}

function quorumFindings(
  { organisations, cosigner, operator, auditors }: TrustPolicy,
  tlog: TlogPolicy,
): PolicyFinding[] {
  const { rule, witnesses } = tlog;
  const finding = (code: PolicyFindingCode, sentence: string) => ({ code, sentence, development: false });
  if (rule === null)
    return [finding('quorum_none', 'the policy asks for no witness, so that nobody would notice a split view')];
  const inside = new Set([cosigner, operator].map(({ name }) => organisations.get(name)));
  const outside = witnesses.filter(({ key }) => {
    const organisation = organisations.get(key.name);
    return key.type === 'cosignature' && organisation !== undefined && !inside.has(organisation);
  });
  const names = new Set(outside.map(({ name }) => name));
  const auditing = outside.filter(({ key }) => auditors.some((auditor) => auditor.text === key.text));
  const found: PolicyFinding[] = [];
  if (minimumOverlap(rule) === 0) {
    found.push(finding('quorums_disjoint', 'two quorums can have no witness in common, and vouch for two histories'));
  } else if (overlapOf(rule, names) === 0) {
    const sentence =
      'two quorums can have only witnesses of cosigner and operator in common, who could show two histories';
    found.push(finding('quorums_meet_inside', sentence));
  }
  if (!everyQuorumIncludes(rule, names)) {
    found.push(finding('quorum_of_insiders', 'cosigner and operator can be a quorum without anybody else'));
  }
  if (!everyQuorumIncludes(rule, new Set(auditing.map(({ name }) => name)))) {
    const sentence = 'a quorum can do without an auditing witness outside cosigner and operator';
    found.push(finding('auditor_missing', sentence));
  }
  const witnessing = new Set(witnessesOf(rule));
  const unused = auditors.filter(
    ({ text }) => !witnesses.some(({ name, key }) => key.text === text && witnessing.has(name)),
  );
  if (unused.length > 0) {
    found.push(finding('auditor_missing', `the auditing witness ${unused[0]!.name} is no witness of the quorum`));
  }
  return found;
}

/** How many of `witnesses` any two quorums have in common at least (see `minimumOverlap`). */
function overlapOf(rule: QuorumRule, witnesses: ReadonlySet<string>): number {
  if (rule.members === undefined) return witnesses.has(rule.name) ? 1 : 0;
  const shared = Math.max(0, 2 * rule.threshold - rule.members.length);
  return rule.members
    .map((member) => overlapOf(member, witnesses))
    .sort((a, b) => a - b)
    .slice(0, shared)
    .reduce((sum, overlap) => sum + overlap, 0);
}
