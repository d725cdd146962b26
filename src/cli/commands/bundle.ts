/** `holdfast bundle submit`: sends to the cosigner what was made and signed elsewhere, as it is. */

import { HoldfastError } from '../../core/index.ts';
import { SUBMISSIONS } from '../../operator/index.ts';
import { readTextFile, writeWholeFile } from '../files.ts';
import { SEEN_LATER } from '../output.ts';
import type { CommandResult } from '../run.ts';
import { type CosignerFlags, requireSubmission } from '../trust-source.ts';

export interface SubmitFlags extends CosignerFlags {
  readonly kind: string;
  readonly out?: string;
}

/** Sends a proposal, an acceptance, a revocation, a trust policy or a piece of evidence. */
export async function submit(file: string, flags: SubmitFlags, signal: AbortSignal): Promise<CommandResult> {
  const kind = SUBMISSIONS.find((each) => each === flags.kind);
  if (!kind) throw new HoldfastError('usage', `--kind must be one of ${SUBMISSIONS.join(', ')}`);
  const text = await readTextFile(file, 'the file', 65_536);
  await using submission = await requireSubmission(flags);
  const result = await submission.submit(kind, text, signal);
  if (!('status' in result))
    return { value: { ...result }, lines: [`In the log at index ${result.index}.`, SEEN_LATER] };
  if (result.status === 'pending') {
    return {
      value: { ...result },
      lines: [`Waits for approval: ${result.digest}`, 'An approver runs holdfast bundle cosign with this digest.'],
    };
  }
  if (flags.out !== undefined) await writeWholeFile(flags.out, result.note, { mode: 0o644, overwrite: false });
  const lines = [`In the log at index ${result.index}, digest ${result.digest}.`, SEEN_LATER];
  return {
    value: { ...result },
    lines: flags.out === undefined ? lines : [...lines, `The signed note is in ${flags.out}.`],
  };
}
