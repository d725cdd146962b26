/** What a person who is present at a ceremony signs during it: the transcript up to where the work with the token ended. */

import { type Digest, serialiseDocument } from '../../trust/index.ts';
import type { CeremonyParticipant } from './plan.ts';
import type { Progress } from './reader.ts';

export const PRESENCE_AT_TRANSCRIPT = 'holdfast/ceremony-presence/v1';

/** The last record before the first person's step: the same for all, however often the ceremony was interrupted since. */
export function witnessedHead(progress: Progress): { readonly record: number; readonly head: Digest } {
  const index = progress.steps.findIndex(({ name }) => name.startsWith('person-'));
  const { record, head } = progress.outcome(progress.steps[index - 1]!.name);
  return { record, head };
}

/** The text: the line of its type, and one line of JSON. */
export function witnessedText(progress: Progress, { name, role }: Pick<CeremonyParticipant, 'name' | 'role'>): string {
  const { record, head } = witnessedHead(progress);
  return serialiseDocument(PRESENCE_AT_TRANSCRIPT, { ceremony: progress.plan.name, record, head, name, role });
}
