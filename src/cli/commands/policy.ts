/** `holdfast policy`: trust policies from a draft to the file that clients get. */

import { HoldfastError } from '../../core/index.ts';
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
} from '../../operator/index.ts';
import { anchorOf, MAXIMUM_POLICY_NOTE, serialiseNote, serialiseTrustAnchor } from '../../trust/index.ts';
import { type ApprovalFlags, approverOf } from '../approval.ts';
import { readParsed, readTextFile, writeWholeFile } from '../files.ts';
import { SEEN_LATER } from '../output.ts';
import { policyLines } from '../policy-text.ts';
import type { CommandResult } from '../run.ts';
import { type SigningKeyFlags, withSigningKey } from '../signing-token.ts';
import { type CosignerFlags, requireSubmission } from '../trust-source.ts';

export interface OutFlags {
  readonly out: string;
  readonly overwrite?: boolean;
}

export interface CreateFlags extends OutFlags {
  readonly draft: string;
}

export interface PreviousFlags {
  readonly previous?: string;
}

export interface RotateFlags extends OutFlags {
  readonly changes?: string;
}

export interface SignFlags extends SigningKeyFlags, ApprovalFlags, PreviousFlags {
  readonly name: string;
  readonly out?: string;
}

export interface AnchorFlags extends OutFlags, PreviousFlags {
  readonly source: readonly string[];
  readonly sourceAuthority?: string;
}

const MAXIMUM_DRAFT = 65_536;
const MAXIMUM_PEM = 16_384;

export async function create(flags: CreateFlags): Promise<CommandResult> {
  const draft = await readTextFile(flags.draft, 'the draft', MAXIMUM_DRAFT);
  return await written({ ...createPolicy(draft, Date.now()), note: undefined }, flags);
}

/** The next version of a policy that has its signatures. */
export async function rotate(path: string, flags: RotateFlags): Promise<CommandResult> {
  const current = requireSigned(await readPolicy(path));
  requireOwnThreshold(current);
  const changes = flags.changes === undefined ? '{}' : await readTextFile(flags.changes, 'the changes', MAXIMUM_DRAFT);
  return await written({ ...rotatePolicy(current, changes, Date.now()), note: undefined }, flags);
}

async function written(file: PolicyFile, { out, overwrite = false }: OutFlags): Promise<CommandResult> {
  const { findings, refused } = lintReport(file, Date.now());
  await writeWholeFile(out, file.text, { mode: 0o644, overwrite });
  const { threshold, keys } = file.policy.policyKeys;
  return {
    value: {
      version: file.policy.version,
      digest: file.digest,
      out,
      findings: findings.map((found) => ({ ...found })),
    },
    lines: [
      ...policyLines(file),
      ...findings.map(findingLine),
      ...(refused ? ['Nobody will sign it like this: clients refuse it.'] : []),
      `The unsigned text is in ${JSON.stringify(out)}; ${threshold} of ${keys.length} keyholders sign it: holdfast policy sign`,
    ],
  };
}

/** Shows a policy and its findings, and adds one keyholder's line after approval. */
export async function sign(path: string, flags: SignFlags, signal: AbortSignal): Promise<CommandResult> {
  const file = await readPolicy(path);
  const previous = await readPrevious(flags);
  const approver = approverOf(flags, signal);
  const { vault, environment } = (previous ?? file).policy;
  const { findings } = lintReport(file, Date.now());
  const key = {
    name: flags.name,
    scope: { purpose: 'policy', vault, environment } as const,
    approver,
    render: () => [...policyLines(file, previous), ...findings.map(findingLine)],
  };
  const signed = await withSigningKey(flags, key, (signer) => signPolicy(file, signer, { previous, now: Date.now() }));
  const out = flags.out ?? path;
  const whole = flags.out === undefined ? joinSignatures(await readPolicy(path), signed) : signed;
  const approvals = approvalsOf(whole, previous);
  await writeWholeFile(out, serialiseNote(whole.note), { mode: 0o644, overwrite: flags.out === undefined });
  return {
    value: {
      version: file.policy.version,
      digest: file.digest,
      out,
      approvals: approvals.map((each) => ({ ...each })),
    },
    lines: [`Signed; the policy with its signatures is in ${JSON.stringify(out)}.`, ...approvals.map(approvalLine)],
  };
}

export async function lint(path: string): Promise<CommandResult> {
  const file = await readPolicy(path);
  const { findings, refused } = lintReport(file, Date.now());
  if (refused !== undefined) {
    const others = findings.filter(({ code }) => code !== refused.code).map(({ code }) => code);
    throw new HoldfastError(
      'policy_unsafe',
      `${refused.code}: ${refused.sentence}${others.length > 0 ? `; and ${others.join(', ')}` : ''}`,
      {
        details: { finding: refused.code, findings: findings.map(({ code }) => code) },
      },
    );
  }
  return {
    value: { version: file.policy.version, digest: file.digest, findings: findings.map((found) => ({ ...found })) },
    lines: findings.length > 0 ? findings.map(findingLine) : ['Nothing is unsafe about it.'],
  };
}

export async function show(path: string, flags: PreviousFlags): Promise<CommandResult> {
  const file = await readPolicy(path);
  const previous = await readPrevious(flags);
  const approvals = approvalsOf(file, previous);
  return {
    value: {
      version: file.policy.version,
      digest: file.digest,
      text: file.text,
      approvals: approvals.map((each) => ({ ...each })),
    },
    lines: [...policyLines(file, previous), ...approvals.map(approvalLine)],
  };
}

/** Writes the file with which clients start. */
export async function anchor(path: string, flags: AnchorFlags): Promise<CommandResult> {
  const file = await readPolicy(path);
  const previous = await readPrevious(flags);
  const policy = previous === undefined ? requireSigned(file) : requireChain(file, previous);
  const { refused } = lintReport(policy, Date.now());
  if (refused) throw new HoldfastError('policy_unsafe', `clients would refuse this policy: ${refused.sentence}`);
  const authority =
    flags.sourceAuthority === undefined
      ? undefined
      : await readTextFile(flags.sourceAuthority, 'the authority', MAXIMUM_PEM);
  const made = anchorOf(policy, flags.source, authority);
  await writeWholeFile(flags.out, serialiseTrustAnchor(made), { mode: 0o644, overwrite: flags.overwrite ?? false });
  const { vault, environment, fleet, sources } = made;
  return {
    value: {
      vault,
      environment,
      fleet,
      sources,
      version: policy.policy.version,
      digest: policy.digest,
      out: flags.out,
    },
    lines: [
      `The trust anchor of vault ${vault}, environment ${environment}, fleet ${fleet} is in ${JSON.stringify(flags.out)}.`,
    ],
  };
}

/** Sends a policy with its signatures to the cosigner, which logs it. */
export async function submit(path: string, flags: CosignerFlags, signal: AbortSignal): Promise<CommandResult> {
  const file = requireSigned(await readPolicy(path));
  await using submission = await requireSubmission(flags);
  const { index, digest } = await submission.policy(serialiseNote(file.note), signal);
  const { version } = file.policy;
  return {
    value: { version, digest, index },
    lines: [`Version ${version} is in the log as leaf ${index}.`, SEEN_LATER],
  };
}

async function readPolicy(path: string): Promise<PolicyFile> {
  return await readParsed(path, 'the trust policy', MAXIMUM_POLICY_NOTE, parsePolicyFile);
}

async function readPrevious({ previous }: PreviousFlags): Promise<PolicyFile | undefined> {
  return previous === undefined ? undefined : await readPolicy(previous);
}

/** A version that is not in force yet can have no next one. */
function requireOwnThreshold(file: PolicyFile): void {
  const [own] = approvalsOf(file);
  if (own!.signatures >= own!.threshold) return;
  const { signatures, threshold } = own!;
  throw new HoldfastError(
    'policy_signatures',
    `the policy has ${signatures} of the ${threshold} signatures that it needs`,
    {
      details: { signatures, threshold },
    },
  );
}

const findingLine = ({ code, sentence, development }: { code: string; sentence: string; development: boolean }) =>
  `${code}: ${sentence}${development ? ' (let through where the environment is development)' : ''}`;

const approvalLine = ({ by, signatures, threshold }: { by: number; signatures: number; threshold: number }) =>
  `Signatures by keys of version ${by}: ${signatures} of ${threshold}${signatures >= threshold ? '' : ', not enough yet'}.`;
