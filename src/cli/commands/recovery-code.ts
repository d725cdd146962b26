/** `holdfast recovery-code`: makes recovery codes, and checks those on paper. */

import { methodsOf } from '../../backup/index.ts';
import { fromUtf8, HoldfastError, systemRandom } from '../../core/index.ts';
import { newRecoveryCode, type RecoveryCode } from '../../recovery/index.ts';
import { writeWholeFile } from '../files.ts';
import { say } from '../output.ts';
import { askHidden } from '../prompt.ts';
import { correctionsOf, identityByCode, readCode } from '../recovery-ways.ts';
import type { CommandResult } from '../run.ts';

const GROUPS_TO_CONFIRM = 2;
const TRIES = 3;
const ADVICE = 'Whoever has it opens every backup made with it. Keep it on paper, away from your devices.';

export interface NewFlags {
  readonly out?: string;
  readonly json?: boolean;
}

export async function create(flags: NewFlags, signal: AbortSignal): Promise<CommandResult> {
  const code = newRecoveryCode();
  const { name } = code;
  if (flags.out !== undefined) {
    const day = new Date().toISOString().slice(0, 10);
    const text = `# Holdfast recovery code ${name}, made on ${day}.\n# ${ADVICE}\n${code.passphrase()}\n`;
    await writeWholeFile(flags.out, text, { mode: 0o600, overwrite: false });
    const next = `Print ${flags.out} or copy it to paper; then: holdfast backup create --recovery-code-file ${flags.out} ...`;
    return {
      value: { name, out: flags.out },
      lines: [`The recovery code that begins with ${name} is made. ${ADVICE}`, next],
    };
  }
  if (!process.stdin.isTTY || !process.stderr.isTTY || flags.json) {
    throw new HoldfastError('usage', 'there is no terminal to show the code on; use --out FILE');
  }
  say('Write this down. It is shown only once.', '', ...rowsOf(code), '', ADVICE, '');
  await confirm(code, signal);
  const next = 'Now let backups be opened with it: holdfast backup create --recovery-code-file - ...';
  return { value: { name }, lines: [`Your paper is right. The code begins with ${name}.`, next] };
}

/** Four groups to a row. */
function rowsOf(code: RecoveryCode): string[] {
  const groups = code.groups();
  return [0, 4, 8, 12].map((at) => `  ${String(at + 1).padStart(2)}  ${groups.slice(at, at + 4).join('   ')}`);
}

async function confirm(code: RecoveryCode, signal: AbortSignal): Promise<void> {
  const groups = code.groups();
  // Not the name, which is shown everywhere.
  const asked = new Set<number>();
  while (asked.size < GROUPS_TO_CONFIRM) asked.add(1 + ((systemRandom(1)[0] ?? 0) % (groups.length - 1)));
  for (const at of asked) {
    for (let left = TRIES; ; left--) {
      if (left === 0) throw new HoldfastError('usage', 'the code was not confirmed; it is of no use: make another one');
      const typed = fromUtf8((await askHidden(`Group ${at + 1} of 16, from your paper: `, { signal })).reveal());
      if (typed.trim().toUpperCase() === groups[at]) break;
      say('That is not what stands there. Compare your paper with the screen.');
    }
  }
}

export interface CheckFlags {
  readonly backup?: string;
}

export async function check(file: string, flags: CheckFlags, signal: AbortSignal): Promise<CommandResult> {
  const read = await readCode(file, signal);
  const { corrected, extra } = read;
  const { name } = read.code;
  const lines = [`This is the recovery code that begins with ${name}.`, ...correctionsOf(read)];
  if (corrected.length + extra > 0)
    lines.push('Correct your copy: the more mistakes it has, the fewer more it can bear.');
  if (flags.backup === undefined) return { value: { name, corrected, extra }, lines };
  await identityByCode(await methodsOf(flags.backup), read.code);
  return { value: { name, corrected, extra, opens: flags.backup }, lines: [...lines, `It opens ${flags.backup}.`] };
}
