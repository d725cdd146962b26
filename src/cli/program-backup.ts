/** The commands of backups, and of the recovery codes that open them. */

import type { Command } from 'commander';
import { collect, examples } from './options.ts';
import { act, group, JSON_OPTION, withPin } from './program-parts.ts';

export function addBackup(program: Command): void {
  const backup = group(program, 'backup', 'back files up, and restore them on a new device with the PIN');
  const load = () => import('./commands/backup.ts');
  const profile = ['--profile <file>', 'what this device remembers, nothing secret (or HOLDFAST_PROFILE)'] as const;

  const create = withPin(backup.command('create').description('write files and folders into one age file'))
    .argument('<path...>', 'files and folders')
    .requiredOption('--out <file>', 'the age file to write; - is standard output')
    .option(...profile)
    .option('--overwrite', 'replace the age file')
    .option('--skip-unreadable', 'leave out what cannot be read, or whose path is too long, with a warning')
    .option('--offline', 'do not ask the fleet whether the record is still there')
    .option('--recovery-code-file <file>', 'let this recovery code open this backup and later ones; - asks for it')
    .option('--accept-degraded', 'go on where not all nodes take part in a first enrolment');
  act(create, async (flags, signal, paths) => (await load()).create(paths, flags, signal));
  examples(
    create,
    'holdfast backup create ~/Documents --out documents.age',
    'holdfast backup create ~/Documents --out - | ssh elsewhere "cat >documents.age"',
    'holdfast backup create ~/Documents --out documents.age --recovery-code-file code.txt',
  );

  const restore = withPin(backup.command('restore').description('decrypt and unpack an age file'))
    .argument('<file>', 'the age file')
    .requiredOption('--to <folder>', 'where to; nearer the root, if a path gets too long there')
    .option(...profile)
    .option('--overwrite', 'the folder may hold something already; files of the same name are replaced')
    .option('--keep-partial', 'of a damaged backup, keep what was whole')
    .option(
      '--recovery-code-file <file>',
      'with this recovery code instead of the PIN, without a fleet; - asks for it',
    );
  act(restore, async (flags, signal, [file]) => (await load()).restore(file!, flags, signal));
  examples(
    restore,
    'holdfast backup restore documents.age --to ~/Restored',
    'holdfast backup restore documents.age --to ~/Restored --recovery-code-file code.txt',
  );

  addWays(backup, profile);
}

function addWays(backup: Command, profile: readonly [string, string]): void {
  const load = () => import('./commands/backup-ways.ts');
  const file = ['<file>', 'the age file'] as const;
  const withCode = ['--with-code <file>', 'open it with this recovery code instead of the PIN; - asks for it'] as const;

  const ways = backup
    .command('ways')
    .description('which ways to its key a backup says that it carries')
    .argument(...file);
  act(ways.option(...JSON_OPTION), async (_flags, _signal, [path]) => (await load()).ways(path!));
  examples(ways, 'holdfast backup ways documents.age');

  const add = withPin(backup.command('add-way').description('let a recovery code, or a new PIN, open a backup too'))
    .argument(...file)
    .option('--recovery-code-file <file>', 'the code to be added; - asks for it')
    .option('--enrol', 'put its key into the fleet under a new PIN; needs --with-code')
    .option('--new-pin-file <file>', 'take the new PIN from the first line of a file instead of asking')
    .option('--takeover', 'where there is a record whose PIN nobody knows, as far as the fleet allows it')
    .option('--accept-degraded', 'go on where not all nodes take part')
    .option(...withCode)
    .option(...profile);
  act(add, async (flags, signal, [path]) => (await load()).addWay(path!, flags, signal));
  examples(
    add,
    'holdfast backup add-way documents.age --recovery-code-file code.txt',
    'holdfast backup add-way documents.age --enrol --with-code code.txt    # the PIN was forgotten',
  );

  const revoke = withPin(
    backup
      .command('revoke-way')
      .description('end a way to a backup: a new key, to which all others lead, and the backup made anew for it'),
  )
    .argument(...file)
    .argument('<way>', 'its id as backup ways prints it, a code’s first four characters, or pin')
    .option('--keep-code <file>', 'a recovery code that is to lead to the new key; - asks for it; repeatable', collect)
    .option('--keep-key', 'only take it off the list: whoever has it still opens every copy made before')
    .option('--accept-degraded', 'go on where not all nodes take part')
    .option(...withCode)
    .option(...profile);
  act(revoke, async (flags, signal, words) =>
    (await import('./commands/backup-revoke.ts')).revokeWay(words, flags, signal),
  );
  examples(
    revoke,
    'holdfast backup revoke-way documents.age QP7D --keep-code new-code.txt',
    'holdfast backup revoke-way documents.age pin --with-code code.txt --keep-code code.txt',
  );
}

export function addRecoveryCode(program: Command): void {
  const code = group(program, 'recovery-code', 'codes for paper, which open backups without the PIN');
  const load = () => import('./commands/recovery-code.ts');

  const fresh = code
    .command('new')
    .description('make one: shown once, then you type parts of it from your paper')
    .option('--out <file>', 'write it to a file instead, which nobody else may read');
  act(fresh.option(...JSON_OPTION), async (flags, signal) => (await load()).create(flags, signal));
  examples(fresh, 'holdfast recovery-code new', 'holdfast recovery-code new --out code.txt');

  const check = code
    .command('check')
    .description('whether a code can be read, what was put right in it, and whether it opens a backup')
    .argument('<file>', 'the code; - asks for it')
    .option('--backup <file>', 'an age file that it should open');
  act(check.option(...JSON_OPTION), async (flags, signal, [file]) => (await load()).check(file!, flags, signal));
  examples(check, 'holdfast recovery-code check code.txt', 'holdfast recovery-code check - --backup documents.age');
}
