/** Has a running fleet announced in its log, by processes of their own: each opens a token (docs/trust.md, section 5). */

import { rmSync, writeFileSync } from 'node:fs';
import { asHoldfastError, type ErrorCode, systemClock } from '../core/index.ts';
import { type HoldfastCommand, runJson } from './command.ts';
import { type FleetFolder, readPlan } from './folder.ts';

export interface KeepAnnouncedOptions {
  readonly folder: FleetFolder;
  readonly command: HoldfastCommand;
  readonly onEvent: (line: string) => void;
  readonly signal: AbortSignal;
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

/** Runs `holdfast fleet announce` until it has succeeded once, less and less often. Never throws. */
export async function keepAnnounced({ folder, command, onEvent, signal }: KeepAnnouncedOptions): Promise<void> {
  if (readPlan(folder).log.kind === 'none') return;
  rmSync(folder.announcement, { force: true });
  for (let pause = FIRST_PAUSE; !signal.aborted; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      const { serial, already } = await runJson(command, ['fleet', 'announce', folder.path], signal);
      rmSync(folder.announcement, { force: true });
      if (!already) onEvent(`bundle: serial ${serial} is accepted`);
      await recordServices(folder, command, onEvent, signal);
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
      await systemClock.sleep(pause, signal).catch(() => {});
    }
  }
}

/** Once the nodes serve, what they say of themselves belongs into the log too. Never throws: nobody waits for it. */
async function recordServices(
  folder: FleetFolder,
  command: HoldfastCommand,
  onEvent: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  try {
    const { already } = await runJson(command, ['evidence', 'record', '--fleet', folder.path], signal);
    if (!already) onEvent('service record: in the log');
  } catch (error) {
    if (!signal.aborted) onEvent(`service record: ${asHoldfastError(error).message}`);
  }
}
