/** What the tables of commands have in common: how a command's work is run, groups, the option --json. */

import type { Command } from 'commander';
import { type CommandResult, runCommand } from './run.ts';

export const JSON_OPTION = ['--json', 'print exactly one JSON object'] as const;

/** `flags` are whatever the command's options make them: each module names its own. */
type Work = (flags: never, signal: AbortSignal, words: readonly string[]) => Promise<CommandResult | undefined>;

/** The action of a command whose arguments, if any, are words or one list of words. */
export function act(command: Command, work: Work): Command {
  return command.action(async (...given: unknown[]) => {
    const named = given.slice(0, -2).flat() as string[];
    const flags = given.at(-2) as { readonly json?: boolean };
    await runCommand(flags, (signal) => work(flags as never, signal, named));
  });
}

export function group(program: Command, name: string, description: string): Command {
  return program.command(name).description(description);
}
