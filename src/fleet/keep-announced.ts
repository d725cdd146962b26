/** Has a running fleet announced in its log, by processes of their own: each opens a token (docs/trust.md, section 5). */

import { rmSync, writeFileSync } from 'node:fs';
import { asHoldfastError, type Clock, type ErrorCode, systemClock } from '../core/index.ts';
import { type HoldfastCommand, runJson } from './command.ts';
import { type FleetFolder, readPlan } from './folder.ts';

export interface KeepAnnouncedOptions {
  readonly folder: FleetFolder;
  readonly command: HoldfastCommand;
  readonly onEvent: (line: string) => void;
  /** Called once: from now on new clients can verify the fleet. */
  readonly onAnnounced?: () => void;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

/** What asking again does not undo. */
const FINAL: readonly ErrorCode[] = [
  'bundle_retired',
  'bundle_revoked',
  'policy_floor',
  'fleet_weakened',
  'policy_expired',
  'bad_input',
];
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 60_000;

/** Runs `holdfast fleet announce` until it has succeeded once, less and less often, then `holdfast evidence record`. Never throws. */
export async function keepAnnounced(options: KeepAnnouncedOptions): Promise<void> {
  const { folder, command, onEvent, onAnnounced, signal, clock = systemClock } = options;
  if (readPlan(folder).log.kind === 'none') return;
  rmSync(folder.announcement, { force: true });
  for (let pause = FIRST_PAUSE; !signal.aborted; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      const { serial, already } = await runJson(command, ['fleet', 'announce', folder.path], signal);
      rmSync(folder.announcement, { force: true });
      if (!already) onEvent(`bundle: serial ${serial} is accepted`);
      onAnnounced?.();
      await recordServices(options);
      return;
    } catch (error) {
      const failure = asHoldfastError(error);
      if (signal.aborted) return;
      const final = FINAL.includes(failure.code);
      writeFileSync(
        folder.announcement,
        `${JSON.stringify({ code: failure.code, message: failure.message, final })}\n`,
        {
          mode: 0o600,
        },
      );
      onEvent(`bundle: ${failure.message}${final ? '' : `; again in ${pause / 1000} s`}`);
      if (final) return;
      await clock.sleep(pause, signal).catch(() => {});
    }
  }
}

/**
 * Once the nodes serve, what they say of themselves belongs into the log too. Tried again while that may help: the nodes, the
 * cosigner or the witnesses may be slow for a moment. Never throws: nobody waits for it.
 */
async function recordServices(options: KeepAnnouncedOptions): Promise<void> {
  const { folder, command, onEvent, signal, clock = systemClock } = options;
  for (let pause = FIRST_PAUSE; !signal.aborted; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      const { already } = await runJson(command, ['evidence', 'record', '--fleet', folder.path], signal);
      if (!already) onEvent('service record: in the log');
      return;
    } catch (error) {
      const { message, retryable } = asHoldfastError(error);
      if (signal.aborted) return;
      onEvent(`service record: ${message}${retryable ? `; again in ${pause / 1000} s` : ''}`);
      if (!retryable) return;
      await clock.sleep(pause, signal).catch(() => {});
    }
  }
}
