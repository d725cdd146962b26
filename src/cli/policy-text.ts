/** Trust policies as lines for the people who sign them. */

import { parseJson } from '../core/index.ts';
import type { TrustPolicyText } from '../trust/index.ts';

/** Everything that a policy says; with the version before it, what has changed. */
export function policyLines(policy: TrustPolicyText, previous?: TrustPolicyText): string[] {
  const { version, vault, environment, fleet } = policy.policy;
  return [
    `Trust policy of vault ${vault}, environment ${environment}, first fleet ${fleet}: version ${version}`,
    `SHA-256 ${policy.digest}`,
    ...memberLines(policy).flatMap(({ name, text }) => [`  ${name}: ${text}`]),
    ...(previous === undefined ? [] : changeLines(previous, policy)),
  ];
}

function changeLines(before: TrustPolicyText, after: TrustPolicyText): string[] {
  const was = new Map(memberLines(before).map(({ name, text }) => [name, text]));
  const changed = memberLines(after).filter(({ name, text }) => was.get(name) !== text);
  return [
    `Changes from version ${before.policy.version}:`,
    ...changed.flatMap(({ name, text }) => [`  ${name}`, `    - ${was.get(name) ?? ''}`, `    + ${text}`]),
  ];
}

/** A member as text; the log's policy in its own lines. */
function memberLines({ text }: TrustPolicyText): { name: string; text: string }[] {
  const members = parseJson(text.split('\n')[1] ?? '', 'policy_malformed').value as Record<string, unknown>;
  return Object.entries(members).map(([name, value]) => ({
    name,
    text: visible(name === 'tlog' ? String(value).trimEnd().replaceAll('\n', ' | ') : JSON.stringify(value)),
  }));
}

/** Names of keys and comments may have any characters; those that move text about are shown by their number. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`);
}
