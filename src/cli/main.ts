#!/usr/bin/env node
/** Entry of the command line `holdfast`. */

import { type Command, CommanderError } from 'commander';
import { HoldfastError } from '../core/index.ts';
import { reportError } from './output.ts';
import { createProgram } from './program.ts';

/** Wrong usage is reported like every other error: code `usage`, exit code 2, one JSON object with `--json`. */
async function main(words: readonly string[]): Promise<void> {
  const program = createProgram();
  const each = (command: Command): void => {
    command.exitOverride().configureOutput({ outputError: () => {} });
    for (const inner of command.commands) each(inner);
  };
  each(program);
  try {
    await program.parseAsync(words, { from: 'user' });
  } catch (thrown) {
    process.exitCode = exitCodeOf(thrown, words);
  }
}

function exitCodeOf(thrown: unknown, words: readonly string[]): number {
  const json = words.includes('--json');
  if (!(thrown instanceof CommanderError)) return reportError(thrown, { json });
  if (thrown.exitCode === 0) return 0;
  // A group without its command: commander has printed the group's help.
  if (thrown.code === 'commander.help') return 2;
  return reportError(new HoldfastError('usage', thrown.message.replace(/^error: /, '')), { json });
}

// A pipe that is closed early, as by head(1), is no error of ours.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exitCode ??= 0;
});

await main(process.argv.slice(2));
