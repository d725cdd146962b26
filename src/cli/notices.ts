/** What a person must be told after a success: signs of somebody else, of lying nodes, and of an end in sight. */

import type { Recovered, Status } from '../client/index.ts';
import { HoldfastError } from '../core/index.ts';
import type { Connection } from './connect.ts';
import { say } from './output.ts';
import type { CommandResult } from './run.ts';

/** At this many uses left in a record's life and below, the person is told. */
const FEW_USES = 10;

const count = (number: number, one: string, many: string) => `${number} ${number === 1 ? one : many}`;

export function recoveryNotices(recovered: Omit<Recovered, 'secret'>): string[] {
  const { earlierAttempts, takenOver, degraded, faultyNodes, lifetimeLeft, reenrolled } = recovered;
  const notices = [...recovered.notices];
  if (reenrolled)
    notices.push('Nodes were replaced since this record was enrolled: it is now enrolled anew, under the same PIN.');
  if (earlierAttempts > 0) {
    notices.push(
      `${count(earlierAttempts, 'attempt', 'attempts')} since the last success came before this one. ` +
        'If they were not yours, change your PIN: holdfast secret change-pin',
    );
  }
  if (takenOver) {
    notices.push(
      'This record was enrolled over an earlier one without its PIN. If that was not you, do not use it: ' +
        'somebody else may know this secret.',
    );
  }
  if (degraded) {
    notices.push(
      'Fewer nodes than the fleet has hold a share of this record. When all are back, renew it: holdfast secret change-pin',
    );
  }
  if (faultyNodes.length > 0) {
    notices.push(`Answers of node ${faultyNodes.join(', ')} did not fit the others’: tell the operator.`);
  }
  if (lifetimeLeft <= FEW_USES) {
    notices.push(
      `This record can be used ${count(lifetimeLeft, 'more time', 'more times')} in its life. ` +
        'Changing the PIN begins a new one: holdfast secret change-pin',
    );
  }
  return notices;
}

/** A result with what the person should know of the fleet's trust: on standard error, and for programs in `notices`. */
export async function tell(
  connection: Pick<Connection, 'notices' | 'clear'>,
  { json = false }: { readonly json?: boolean },
  { value, lines }: CommandResult,
): Promise<CommandResult> {
  const notices = await connection.notices();
  connection.clear();
  if (notices.length === 0) return { value, lines };
  if (!json) say(...notices);
  return { value: { ...value, notices }, lines };
}

/** A recovery's facts as JSON. */
export function recoveryFacts(recovered: Omit<Recovered, 'secret'>): Record<string, unknown> {
  const { fleet, generation, epoch, reenrolled, earlierAttempts, takenOver, degraded, faultyNodes, lifetimeLeft } =
    recovered;
  return { fleet, generation, epoch, reenrolled, earlierAttempts, takenOver, degraded, faultyNodes, lifetimeLeft };
}

/** Adds to `waiting` how many attempts are left, where that can be learned; it costs no attempt. */
export async function explainWaiting(thrown: unknown, status: () => Promise<Status>): Promise<unknown> {
  if (!(thrown instanceof HoldfastError) || thrown.code !== 'waiting') return thrown;
  try {
    const { attemptsLeft } = await status();
    return new HoldfastError('waiting', thrown.message, {
      cause: thrown,
      details: { ...thrown.details, attemptsLeft },
    });
  } catch {
    return thrown;
  }
}
