/**
 * A log as an operator sees it before signing: every leaf read, the root recomputed, all rules replayed, the checkpoint
 * verified by the newest trust policy (docs/trust.md, section 3). Nothing of it is taken on anybody's word.
 */

import { equalBytes, HoldfastError } from '../../core/index.ts';
import { checkLog, emptyLog, type LogState, originOf, parseLeaf } from '../bundle/index.ts';
import { parseSignedPolicy, type SignedPolicy, verifyFirstPolicy } from '../policy/index.ts';
import {
  type Cosignature,
  Frontier,
  hashEntry,
  parseCheckpoint,
  parseNote,
  quorumTime,
  verifyCheckpoint,
} from '../tlog/index.ts';
import { CLOCK_TOLERANCE } from './authority.ts';

/** Where a log is read from. Nothing that comes from there is trusted. */
export interface LogSource {
  /** The newest checkpoint with what cosignatures it has, or the newest with a quorum; undefined while there is none. */
  checkpoint(which: CheckpointKind, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  /** Leaves `from` up to `to`. */
  leaves(from: number, to: number, signal?: AbortSignal): Promise<readonly Uint8Array[]>;
  /** The signed trust policy of that version; undefined where the log has none. */
  policy(version: number, signal?: AbortSignal): Promise<string | undefined>;
}

export type CheckpointKind = 'newest' | 'witnessed';

export interface LogView {
  /** The newest policy, by which all was verified. */
  readonly policy: SignedPolicy;
  readonly state: LogState;
  /** All leaves. */
  readonly entries: readonly Uint8Array[];
  /** Of the policy's witnesses, all verified. */
  readonly cosignatures: readonly Cosignature[];
  /** Seconds since 1970 from which the cosignatures are a quorum; undefined if they are none. */
  readonly witnessedAt: number | undefined;
}

export interface ReadLogOptions {
  readonly which: CheckpointKind;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly signal?: AbortSignal | undefined;
}

/** Predecessors of a policy that are looked for. */
const MAXIMUM_PREDECESSORS = 256;

/**
 * Reads and verifies a log from its first leaf. Whether the witnesses' quorum is fresh is left to the caller.
 * @param policy a trust policy of the log, from the caller's own configuration; newer ones are followed.
 * @throws HoldfastError `policy_signatures`, `chain_broken`, `wrong_origin`, `untrusted` for leaves or signatures that do
 * not fit, `log_misconduct` for a leaf that breaks a rule, `roster_wrong`; and whatever the source throws.
 */
export async function readLog(policy: SignedPolicy, source: LogSource, options: ReadLogOptions): Promise<LogView> {
  const { which, now, signal } = options;
  verifyFirstPolicy(policy);
  const first = await firstPolicyOf(policy, source, signal);
  const served = await source.checkpoint(which, signal);
  if (served === undefined) {
    return { policy, state: emptyLog(first), entries: [], cosignatures: [], witnessedAt: undefined };
  }
  const note = parseNote(served);
  const head = parseCheckpoint(note.text);
  if (head.origin !== originOf(first)) {
    throw new HoldfastError(
      'wrong_origin',
      `this is the log ${head.origin}, and the trust policy’s is ${originOf(first)}`,
    );
  }
  const entries = await source.leaves(0, head.size, signal);
  requireRoot(entries, head);
  const state = replayLog(emptyLog(first), entries);
  if (entries.length > 0 && !state.endsInRoster) {
    throw new HoldfastError('roster_wrong', 'the log’s last leaf is no list of fleets; this is misconduct of the log');
  }
  const newest = newestPolicy(policy, state, entries);
  const { cosignatures } = verifyCheckpoint(note, newest.tlog);
  const witnessedAt = quorumTime(newest.tlog, cosignatures, { to: Math.floor(now / 1000) + CLOCK_TOLERANCE });
  return { policy: newest, state, entries, cosignatures, witnessedAt };
}

/**
 * A witnesses' quorum has vouched for the view within the policy's `maxAge`.
 * @param now milliseconds since 1970.
 * @throws HoldfastError `quorum_not_met`, `log_stale`.
 */
export function requireWitnessed({ witnessedAt, policy, cosignatures }: LogView, now: number): void {
  if (witnessedAt === undefined) {
    throw new HoldfastError(
      'quorum_not_met',
      `${cosignatures.length} witnesses have confirmed this state of the log, which is no quorum; wait, or ask the witnesses’ operators`,
      { details: { witnesses: cosignatures.map(({ witness }) => witness.name) } },
    );
  }
  const age = Math.floor(now / 1000) - witnessedAt;
  if (age <= policy.policy.maxAge) return;
  throw new HoldfastError(
    'log_stale',
    `the witnesses last confirmed the log ${age} seconds ago, and the trust policy allows ${policy.policy.maxAge}; somebody may be showing you an old state`,
    { details: { age, maxAge: policy.policy.maxAge } },
  );
}

/**
 * The policy with which the log began: its descendant names it by digest, so that it may come from anywhere.
 * @throws HoldfastError `chain_broken`, `policy_malformed`; and whatever the source throws.
 */
export async function firstPolicyOf(
  policy: SignedPolicy,
  source: Pick<LogSource, 'policy'>,
  signal?: AbortSignal,
): Promise<SignedPolicy> {
  let first = policy;
  for (let i = 0; first.policy.previous !== null && i < MAXIMUM_PREDECESSORS; i++) {
    const { version, previous } = first.policy;
    const text = await source.policy(version - 1, signal);
    if (text === undefined) return first;
    const before = parseSignedPolicy(text);
    if (before.digest !== previous) {
      throw new HoldfastError(
        'chain_broken',
        `the log serves another version ${version - 1} of the trust policy than the one that yours names`,
        { details: { version: version - 1, expected: previous, found: before.digest } },
      );
    }
    // A policy for a log of another origin belongs to the log before this one.
    if (originOf(before) !== originOf(first)) return first;
    first = before;
  }
  return first;
}

/** @throws HoldfastError `untrusted` unless `entries` are exactly the leaves of that tree. */
export function requireRoot(entries: readonly Uint8Array[], head: { size: number; root: Uint8Array }): void {
  const frontier = new Frontier();
  for (const entry of entries) frontier.append(hashEntry(entry), () => {});
  if (frontier.size === head.size && equalBytes(frontier.root(), head.root)) return;
  throw new HoldfastError('untrusted', 'the leaves that were served do not give the root of the log’s checkpoint');
}

/**
 * The state after `entries`, which come next in a log.
 * @throws HoldfastError `log_misconduct` for the first leaf that breaks a rule.
 */
export function replayLog(before: LogState, entries: readonly Uint8Array[]): LogState {
  const { state, misconduct } = checkLog(before, entries);
  const [wrong] = misconduct;
  if (wrong === undefined) return state;
  throw new HoldfastError(
    'log_misconduct',
    `leaf ${wrong.index} of the log breaks its rules: ${wrong.sentence}; keep the log’s files as evidence, and sign nothing`,
    { details: { index: wrong.index, rule: wrong.code } },
  );
}

/**
 * The later of the configured policy and the log's, which must be of one chain.
 * @param state of the whole log, replayed.
 * @throws HoldfastError `chain_broken`.
 */
export function newestPolicy(configured: SignedPolicy, state: LogState, entries: readonly Uint8Array[]): SignedPolicy {
  const logged = entries.flatMap((entry): SignedPolicy[] => {
    const leaf = parseLeaf(entry);
    return leaf.type === 'policy' ? [{ ...leaf.policy, note: leaf.note }] : [];
  });
  const { version } = configured.policy;
  const other = logged.find(({ policy, digest }) => policy.version === version && digest !== configured.digest);
  if (other !== undefined) {
    throw new HoldfastError('chain_broken', `the log has another version ${version} of the trust policy than yours`, {
      details: { version, yours: configured.digest, logged: other.digest },
    });
  }
  const last = logged.at(-1);
  return last !== undefined && state.policy.policy.version > version ? last : configured;
}
