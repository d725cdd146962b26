/** Trust policies from the keyholders' side: the first one, the next one, and the lines of their signatures one by one. */

import { bytesToHex, type ErrorDetails, HoldfastError, parseJson } from '../core/index.ts';
import { DEFAULT_POLICY } from '../protocol/index.ts';
import {
  type CanonicalValue,
  canonicalJson,
  countPolicySignatures,
  EMPTY_ROOT,
  lintPolicy,
  MAXIMUM_POLICY_NOTE,
  MAXIMUM_POLICY_TEXT,
  type NoteSignature,
  type NoteSigner,
  POLICY_TYPE,
  type PolicyFinding,
  parsePolicy,
  parseSignedPolicy,
  parseVerifierKey,
  requireSafePolicy,
  type SignedNote,
  type SignedPolicy,
  signText,
  type TrustPolicyText,
  verifyNextPolicy,
} from '../trust/index.ts';

/** A policy's file: its text alone, or with the signatures it has so far. */
export interface PolicyFile extends TrustPolicyText {
  /** Undefined while nobody has signed. */
  readonly note: SignedNote | undefined;
}

const DAY = 86_400;
const DEFAULT_MAX_AGE = DAY;
const DEFAULT_GRACE_AGE = 14 * DAY;
const DEFAULT_LIFE = 365 * DAY * 1000;

type Members = { readonly [name: string]: CanonicalValue | undefined };

const MEMBERS = [
  'vault',
  'environment',
  'fleet',
  'expires',
  'maxAge',
  'graceAge',
  'tlog',
  'auditors',
  'organisations',
  'cosigner',
  'operator',
  'roster',
  'plexi',
  'revokers',
  'floor',
  'floors',
  'weakerBundles',
  'policyKeys',
] as const;
/** What never changes from one version to the next. */
const FIXED: readonly string[] = ['vault', 'environment', 'fleet'];
const NEEDED = [
  ...FIXED,
  'tlog',
  'organisations',
  'cosigner',
  'operator',
  'roster',
  'plexi',
  'policyKeys',
] as readonly string[];

/**
 * Version 1 of a policy, out of a draft: JSON with members as the policy has them. Left out may be: `expires` (a year),
 * `maxAge` (a day), `graceAge` (14 days), `auditors` and `revokers` (none), `floor` (an empty log), `floors` (production's),
 * `weakerBundles` (none). `tlog` may be a list of lines.
 * @param now milliseconds since 1970.
 * @throws HoldfastError `bad_input` for a draft that cannot be read, `policy_malformed` for what no policy can say.
 */
export function createPolicy(draft: string, now: number): TrustPolicyText {
  const members = readMembers(draft);
  const missing = NEEDED.filter((name) => members[name] === undefined);
  if (missing.length > 0) throw new HoldfastError('bad_input', `the draft lacks ${missing.join(', ')}`);
  return policyOf({
    expires: timeText(now + DEFAULT_LIFE),
    maxAge: DEFAULT_MAX_AGE,
    graceAge: DEFAULT_GRACE_AGE,
    auditors: [],
    revokers: [],
    floor: { size: 0, root: bytesToHex(EMPTY_ROOT), serial: 1 },
    weakerBundles: [],
    ...members,
    floors: { ...PRODUCTION_FLOORS, ...((members.floors as Members | undefined) ?? {}) },
    version: 1,
    previous: null,
  });
}

/** What a fleet for real people must offer at least, where a draft does not say otherwise. */
const PRODUCTION_FLOORS: Members = {
  tokenClass: 'declared',
  nodes: 3,
  limit: DEFAULT_POLICY.limit,
  lifetimeLimit: DEFAULT_POLICY.lifetimeLimit,
  waits: DEFAULT_POLICY.waits,
  takeover: DEFAULT_POLICY.takeover,
  keyStretching: DEFAULT_POLICY.keyStretching,
  oneOperator: 'refuse',
};

/**
 * The next version: as the current one, with the members that `changes` (JSON) has. Unless it says so itself, it expires a
 * year from now.
 * @throws HoldfastError `bad_input`, `policy_malformed`; as `requireChain` where nothing may change.
 */
export function rotatePolicy(current: TrustPolicyText, changes: string, now: number): TrustPolicyText {
  const changed = readMembers(changes);
  const fixed = Object.keys(changed).find((name) => FIXED.includes(name));
  if (fixed !== undefined) throw new HoldfastError('bad_input', `${fixed} is the same in all versions of a policy`);
  const before = membersOf(current);
  return policyOf({
    ...before,
    expires: timeText(now + DEFAULT_LIFE),
    ...changed,
    ...(changed.floors !== undefined && { floors: { ...(before.floors as Members), ...(changed.floors as Members) } }),
    version: current.policy.version + 1,
    previous: current.digest,
  });
}

/** @throws HoldfastError `policy_malformed`. Verifies no signature. */
export function parsePolicyFile(text: string): PolicyFile {
  if (text.length > MAXIMUM_POLICY_NOTE) {
    throw new HoldfastError('policy_malformed', `the policy has more than ${MAXIMUM_POLICY_NOTE} characters`);
  }
  return text.includes('\n\n') ? parseSignedPolicy(text) : { ...parsePolicy(text), note: undefined };
}

/** A file with at least one signature. @throws HoldfastError `policy_signatures`. */
export function requireSigned(file: PolicyFile): SignedPolicy {
  if (file.note !== undefined) return { ...file, note: file.note };
  const { threshold } = file.policy.policyKeys;
  throw new HoldfastError('policy_signatures', `nobody has signed this policy yet; ${threshold} policy keys must`, {
    details: { signatures: 0, threshold },
  });
}

export interface PolicyApproval {
  /** Of the version whose keys are counted. */
  readonly by: number;
  readonly signatures: number;
  readonly threshold: number;
}

/**
 * How many signatures a policy has of those that it needs: of its own keys, and of the keys of the version before it.
 * @throws HoldfastError `signature_invalid` for a false or doubled line.
 */
export function approvalsOf({ note, policy }: PolicyFile, previous?: TrustPolicyText): PolicyApproval[] {
  return [...(previous ? [previous.policy] : []), policy].map((by) => ({
    by: by.version,
    signatures: note === undefined ? 0 : countPolicySignatures(note, by),
    threshold: by.policyKeys.threshold,
  }));
}

export interface SignPolicyOptions {
  /** The version before this one; from version 2 on it is needed. */
  readonly previous?: TrustPolicyText | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * Adds one policy key's line. Signing again with the same key changes nothing.
 * @throws HoldfastError `policy_unsafe` for a policy that the linter refuses, `policy_expired`, `chain_broken` where it does
 * not follow from `previous`, `signing_refused` for a key of neither, `signature_invalid` for lines that it has already;
 * and whatever the signer throws.
 */
export async function signPolicy(
  file: PolicyFile,
  signer: NoteSigner,
  options: SignPolicyOptions,
): Promise<SignedPolicy> {
  const { previous, now } = options;
  const { policy, text } = file;
  requireSafePolicy(file, now);
  if (now >= policy.expires) throw new HoldfastError('policy_expired', 'the policy has expired; make one that has not');
  requireFollows(file, previous);
  const key = parseVerifierKey(signer.verifierKey);
  const keys = [...policy.policyKeys.keys, ...(previous?.policy.policyKeys.keys ?? [])];
  if (!keys.some((known) => known.text === key.text)) {
    throw new HoldfastError('signing_refused', `${key.name} is no policy key of this version or the one before it`, {
      details: { key: key.text },
    });
  }
  // Lines that are there already must hold: nobody signs beside a false one.
  approvalsOf(file, previous);
  const lines = file.note?.signatures ?? [];
  if (file.note !== undefined && lines.some(({ name, id }) => name === key.name && id === key.id)) {
    return { ...file, note: file.note };
  }
  return { ...file, note: { text, signatures: [...lines, await signText(text, signer)] } };
}

/**
 * What was signed, with the lines that others have put into its file while this keyholder read and approved it.
 * @param now the file as it is now.
 * @throws HoldfastError `conflict` where it has become another policy.
 */
export function joinSignatures(now: PolicyFile, signed: SignedPolicy): SignedPolicy {
  if (now.text !== signed.text) {
    throw new HoldfastError(
      'conflict',
      'the file has become another policy while it was signed; nothing was written, look at it again',
    );
  }
  const there = now.note?.signatures ?? [];
  const isThere = ({ name, id }: NoteSignature) => there.some((line) => line.name === name && line.id === id);
  const added = signed.note.signatures.filter((line) => !isThere(line));
  return { ...signed, note: { text: signed.text, signatures: [...there, ...added] } };
}

/** @throws HoldfastError `chain_broken` unless the policy may come after `previous`, its signatures left aside. */
function requireFollows({ policy }: PolicyFile, previous: TrustPolicyText | undefined): void {
  const broken = (problem: string) => new HoldfastError('chain_broken', `the policy ${problem}`);
  if (policy.previous === null) {
    if (previous !== undefined) throw broken('is version 1, which follows no other');
    return;
  }
  if (previous === undefined) throw broken(`is version ${policy.version}; give the version before it, too`);
  if (policy.previous !== previous.digest || policy.version !== previous.policy.version + 1) {
    throw broken('does not follow from the one that is given as the version before it');
  }
  const other = (['vault', 'environment', 'fleet'] as const).find((name) => policy[name] !== previous.policy[name]);
  if (other !== undefined) throw broken(`is for another ${other} than the version before it`);
}

/**
 * A policy that is ready for use: enough signatures of its own keys, and of those of `previous`.
 * @throws HoldfastError `policy_signatures`, `signature_invalid`, `chain_broken`.
 */
export function requireChain(file: PolicyFile, previous: TrustPolicyText | undefined): SignedPolicy {
  const signed = requireSigned(file);
  requireFollows(file, previous);
  if (previous !== undefined) {
    verifyNextPolicy(previous, signed);
    return signed;
  }
  const [own] = approvalsOf(file);
  if (own!.signatures >= own!.threshold) return signed;
  const details: ErrorDetails = { signatures: own!.signatures, threshold: own!.threshold };
  throw new HoldfastError(
    'policy_signatures',
    `the policy has ${own!.signatures} of the ${own!.threshold} signatures that it needs`,
    { details },
  );
}

export interface LintReport {
  readonly findings: readonly PolicyFinding[];
  /** The code and sentence of the first finding that is not let through. */
  readonly refused: PolicyFinding | undefined;
}

/** All findings about a policy, and whether it is refused: some are let through in development. */
export function lintReport(file: TrustPolicyText, now: number): LintReport {
  const findings = lintPolicy(file, now);
  try {
    requireSafePolicy(file, now);
    return { findings, refused: undefined };
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return { findings, refused: findings.find(({ code }) => code === error.details.finding) };
  }
}

function readMembers(text: string): Members {
  if (text.length > MAXIMUM_POLICY_TEXT) {
    throw new HoldfastError('bad_input', `the draft has more than ${MAXIMUM_POLICY_TEXT} characters`);
  }
  const given = parseJson(text, 'bad_input');
  given.object(MEMBERS);
  const members = { ...(given.value as Members) };
  const { tlog } = members;
  if (!Array.isArray(tlog)) return members;
  return { ...members, tlog: (tlog as readonly CanonicalValue[]).map((line) => `${String(line)}\n`).join('') };
}

function policyOf(members: Members): TrustPolicyText {
  return parsePolicy(`${POLICY_TYPE}\n${canonicalJson(members)}\n`);
}

function membersOf({ text }: TrustPolicyText): Members {
  return parseJson(text.split('\n')[1] ?? '', 'policy_malformed').value as Members;
}

function timeText(time: number): string {
  return new Date(Math.floor(time / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}
