/** A checkpoint verified by a policy: the log's signature, and which witnesses cosigned when (C2SP tlog-policy). */

import { HoldfastError } from '../../core/index.ts';
import { type Checkpoint, parseCheckpoint } from './checkpoint.ts';
import { type SignedNote, verifyNote } from './note.ts';
import { isQuorum } from './quorum.ts';
import type { PolicyLog, PolicyWitness, TlogPolicy } from './tlog-policy.ts';

export interface Cosignature {
  readonly witness: PolicyWitness;
  /** When it was made, in seconds since 1970, by the witness's own clock. */
  readonly seconds: number;
}

export interface VerifiedCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly log: PolicyLog;
  /** All of the policy's witnesses that cosigned; whether they are enough is for `quorumMet` and `quorumTime` to say. */
  readonly cosignatures: readonly Cosignature[];
}

/**
 * Verifies the log's signature and all cosignatures of the policy's witnesses; about 0.1 ms each. The quorum is NOT
 * judged here, because that depends on times.
 * @throws HoldfastError `untrusted` unless the log whose origin this is signed it, and if any signature by a key of the
 * policy does not verify or stands twice; `malformed` if the text is no checkpoint, or has extension lines.
 */
export function verifyCheckpoint(note: SignedNote, policy: TlogPolicy): VerifiedCheckpoint {
  const checkpoint = parseCheckpoint(note.text);
  const logs = policy.logs.filter(({ key }) => key.name === checkpoint.origin);
  if (logs.length === 0) throw untrusted(`the policy has no log ${checkpoint.origin}`);
  const verified = verifyNote(
    note,
    [...logs, ...policy.witnesses].map(({ key }) => key),
  );
  const log = logs.find(({ key }) => verified.some((signature) => signature.key === key));
  if (log === undefined) throw untrusted('the log has not signed the checkpoint');
  const cosignatures = policy.witnesses.flatMap((witness) => {
    const seconds = verified.find(({ key }) => key === witness.key)?.seconds;
    return typeof seconds === 'number' ? [{ witness, seconds }] : [];
  });
  return { checkpoint, log, cosignatures };
}

/**
 * Whether the cosignatures made at `from` to `to` (seconds since 1970, both included) are a quorum. Others count for
 * nothing. The policy `quorum none` is always met.
 */
export function quorumMet(
  policy: TlogPolicy,
  cosignatures: readonly Cosignature[],
  { from, to }: { readonly from: number; readonly to: number },
): boolean {
  const within = cosignatures.filter(({ seconds }) => seconds >= from && seconds <= to);
  return isQuorum(policy.rule, new Set(within.map(({ witness }) => witness.name)));
}

/**
 * The latest time (seconds since 1970) such that the cosignatures made then or later are a quorum: how fresh the
 * checkpoint is. Undefined if all of them are no quorum, or if the policy asks for none. Cosignatures after `to` do not
 * count: a witness with a fast clock cannot make a checkpoint fresher than now.
 */
export function quorumTime(
  policy: TlogPolicy,
  cosignatures: readonly Cosignature[],
  { to = Number.POSITIVE_INFINITY }: { readonly to?: number } = {},
): number | undefined {
  if (policy.rule === null) return undefined;
  const times = cosignatures.map(({ seconds }) => seconds).filter((seconds) => seconds <= to);
  return times.toSorted((a, b) => b - a).find((from) => quorumMet(policy, cosignatures, { from, to }));
}

function untrusted(problem: string): HoldfastError {
  return new HoldfastError('untrusted', problem);
}
