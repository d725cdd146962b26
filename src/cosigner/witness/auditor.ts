/**
 * What an auditing witness does before it cosigns: it reads every leaf that it has not seen, replays them by the log's
 * rules, and looks whether the last one is the roster that follows from them (docs/trust.md, section 3). Its key says
 * besides consistency that all this is so.
 */

import { HoldfastError } from '../../core/index.ts';
import type { Checkpoint } from '../../trust/index.ts';
import type { LogReader, LogReplay } from '../replay/index.ts';
import type { CheckpointAuditor } from './witness.ts';

export interface AuditedLog {
  readonly replay: LogReplay;
  readonly reader: Pick<LogReader, 'leaves'>;
}

/** Milliseconds for reading what is new; a log that is slower is not cosigned now. */
const AUDIT_TIMEOUT = 60_000;

/** Each log's checkpoints come one after another: the witness takes turns by origin. */
export function createAuditor(logs: readonly AuditedLog[], timeout = AUDIT_TIMEOUT): CheckpointAuditor {
  const byOrigin = new Map(logs.map((log) => [log.replay.origin, log]));
  return {
    audit: async (checkpoint: Checkpoint) => {
      const log = byOrigin.get(checkpoint.origin);
      if (!log) throw new HoldfastError('not_ready', `${checkpoint.origin} is not audited here; configure its policy`);
      if (checkpoint.extensions.length > 0) return 'the checkpoint has extension lines, which nobody can audit';
      try {
        await log.replay.advance(log.reader, checkpoint, AbortSignal.timeout(timeout));
      } catch (error) {
        if (!(error instanceof HoldfastError) || !UNREADABLE.includes(error.code)) throw error;
        throw new HoldfastError('not_ready', `the log’s leaves cannot be audited now: ${error.message}`, {
          cause: error,
        });
      }
      return log.replay.faultOf(checkpoint);
    },
  };
}

/** The server's fault, not a statement of the log: what it serves is not signed. */
const UNREADABLE: readonly string[] = ['cancelled', 'malformed', 'not_ready', 'too_large', 'untrusted'];
