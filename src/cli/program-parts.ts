/** What the tables of commands have in common: how a command's work is run, groups, the option --json. */

import { type Command, Option } from 'commander';
import { checked, collect, whole } from './options.ts';
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

/** Options that name a signing token and its PIN. */
export function onSigningToken(command: Command): Command {
  return command
    .option('--module <path>', 'PKCS#11 module (default: SoftHSM, where it is installed)')
    .option('--label <label>', 'label of the token')
    .option('--serial <serial>', 'serial number of the token')
    .option('--pin-file <file>', 'PIN of the token; else it is asked for')
    .option('--pin-environment <name>', 'take the PIN from this environment variable')
    .option('--pin-credential <name>', 'take the PIN from this systemd credential')
    .option(...JSON_OPTION);
}

/** Options that say which trust policy counts, and where the log is. */
export function onLog(command: Command): Command {
  return command
    .option('--anchor <file>', 'trust anchor: the policy, and where the log is')
    .option('--policy <file>', 'signed trust policy, instead of an anchor')
    .option('--log <url>', 'where the log is, instead of the anchor’s first source')
    .option('--log-authority <file>', 'PEM certificate of the authority of the log’s HTTPS');
}

/** Options that name the cosigner's address for operators and the operator's certificate for it. */
export function onCosigner(command: Command): Command {
  return command
    .option('--cosigner <url>', 'the cosigner’s address for operators, https://host:port')
    .option('--authority <file>', 'PEM certificate of the authority of both sides')
    .option('--certificate <file>', 'PEM certificate of yours, role operator')
    .option('--key <file>', 'PEM private key of that certificate');
}

/** Options of a signature that a person approves. */
export function withApproval(command: Command): Command {
  return onSigningToken(command)
    .requiredOption('--journal <file>', 'the signing journal; it is made if it is not there')
    .option('--approve <digest>', 'SHA-256 of the text: sign it without asking; repeatable', collect);
}

/** Options of every command that talks to a fleet as a user. */
export function connected(command: Command): Command {
  return command
    .option('--trust <file>', 'trust anchor, or trust file of a fleet that is pinned (or HOLDFAST_TRUST)')
    .option('--trust-state <file>', 'what this device remembers of the fleets that it trusts (or HOLDFAST_TRUST_STATE)')
    .addOption(
      new Option(
        '--user <file>',
        'your credential file, or a folder with one for each fleet; repeatable (or HOLDFAST_USER)',
      ).argParser(collect),
    )
    .addOption(
      new Option('--url <url>', 'coordinator, instead of the trust file’s; repeatable (or HOLDFAST_URL)').argParser(
        collect,
      ),
    )
    .addOption(checked('--patience <seconds>', 'how long to go on trying without a majority', whole(0, 3600), 15))
    .option(...JSON_OPTION);
}

/** The same with a PIN. */
export function withPin(command: Command): Command {
  return connected(command)
    .option('--pin-file <file>', 'take the PIN from the first line of a file instead of asking')
    .option('--pin-stdin', 'take the PIN from the first line of standard input')
    .option('--recovery-code', 'what is entered is a recovery code, not a PIN');
}
