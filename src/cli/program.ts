/** All commands and their options. A command's own code is loaded when it runs, so that help comes at once. */

import { Command, CommanderError, Option } from 'commander';
import { HoldfastError } from '../core/index.ts';
import { checked, collect, examples, whole } from './options.ts';
import { reportError } from './output.ts';
import { addAudit } from './program-audit.ts';
import { addBackup, addRecoveryCode } from './program-backup.ts';
import { addBundle } from './program-bundle.ts';
import { addCeremony } from './program-ceremony.ts';
import { addCertificate } from './program-certificate.ts';
import { addCosigner } from './program-cosigner.ts';
import { addEvidence } from './program-evidence.ts';
import { addFleet } from './program-fleet.ts';
import { addPage } from './program-page.ts';
import { act, connected, group, JSON_OPTION, onSigningToken, withPin } from './program-parts.ts';
import { addPolicy } from './program-policy.ts';
import { addTrust } from './program-trust.ts';
import { addTenant, addUserToken } from './program-user.ts';
import { version } from './version.ts';

const EXIT_CODES = `
Exit codes: 0 done; 1 something unexpected; 2 wrong usage; 3 wrong PIN, or too early; 4 no attempts left: out of reach
at once, destroyed for good after the policy's delay; 5 no majority of nodes reachable, nothing counted or lost unless
the error says so; 6 something did not verify; 7 not allowed; 8 no such record; 9 bad input file; 130 interrupted.`;

/**
 * Runs the command that `words` name and sets the process's exit code. Wrong usage is reported like every other error:
 * code `usage`, exit code 2, one JSON object with `--json`.
 */
export async function runProgram(words: readonly string[]): Promise<void> {
  const program = createProgram(words[0]);
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
  return reportError(new HoldfastError('usage', thrown.message.replace(/^error: /, '').replaceAll('\n', ' ')), {
    json,
  });
}

/** Under which heading the first words of a command line are listed, and what each is made by. */
const PARTS: readonly {
  readonly heading: string;
  readonly parts: readonly { readonly words: readonly string[]; readonly add: (program: Command) => void }[];
}[] = [
  {
    heading: 'For people with a backup:',
    parts: [
      { words: ['secret'], add: addSecret },
      { words: ['backup'], add: addBackup },
      { words: ['recovery-code'], add: addRecoveryCode },
    ],
  },
  {
    heading: 'To try out, and to audit:',
    parts: [
      { words: ['fleet'], add: addFleet },
      { words: ['user-token'], add: addUserToken },
      { words: ['audit'], add: addAudit },
      { words: ['page'], add: addPage },
    ],
  },
  {
    heading: 'A fleet of one’s own:',
    parts: [
      { words: ['token'], add: addToken },
      { words: ['node', 'coordinator'], add: addServices },
      { words: ['trust'], add: addTrust },
      { words: ['certificate'], add: addCertificate },
      { words: ['tenant'], add: addTenant },
      { words: ['ceremony'], add: addCeremony },
    ],
  },
  {
    heading: 'What operators publish, sign and log:',
    parts: [
      { words: ['policy'], add: addPolicy },
      { words: ['signer'], add: addSigner },
      { words: ['evidence'], add: addEvidence },
      { words: ['bundle'], add: addBundle },
    ],
  },
  {
    heading: 'Log, witnesses and monitors:',
    parts: [
      { words: ['cosigner'], add: addCosigner },
      { words: ['witness', 'monitor'], add: addWitness },
    ],
  },
];

/**
 * All commands, or only those of the part that the first word of a command line asks for: to make all takes ten milliseconds,
 * a sixth of what the least command takes.
 */
export function createProgram(first?: string): Command {
  const program = new Command('holdfast')
    .description('Keeps a secret under a PIN on PKCS#11 tokens of which no minority, and no operator, can test a PIN.')
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .showSuggestionAfterError()
    .addHelpText('after', EXIT_CODES);
  const isAsked = ({ words }: { readonly words: readonly string[] }) => first !== undefined && words.includes(first);
  const isKnown = PARTS.some(({ parts }) => parts.some(isAsked));
  for (const { heading, parts } of PARTS) {
    program.commandsGroup(heading);
    for (const part of parts) if (!isKnown || isAsked(part)) part.add(program);
  }
  return program;
}

function addSecret(program: Command): void {
  const secret = group(program, 'secret', 'keep a secret of up to 1 KiB, and get it back');
  const load = () => import('./commands/secret.ts');

  const put = withPin(secret.command('put').description('keep a secret under a new PIN'))
    .option('--secret-file <file>', 'the secret; else it comes from standard input')
    .option('--takeover', 'replace a record whose PIN is forgotten, where the fleet allows it')
    .option('--accept-degraded', 'go on where not all nodes take part');
  act(put, async (flags, signal) => (await load()).put(flags, signal));
  examples(
    put,
    'holdfast secret put --trust trust.json --user me.json --secret-file key.bin',
    'head -c 32 /dev/urandom | holdfast secret put --pin-file pin.txt',
  );

  const get = withPin(secret.command('get').description('get the secret back; a wrong PIN is counted'))
    .option('--out <file>', 'write it to a file that only you can read')
    .option('--overwrite', 'replace that file')
    .option('--show', 'print it even to a screen');
  act(get, async (flags, signal) => (await load()).get(flags, signal));
  examples(get, 'holdfast secret get --out key.bin', 'holdfast secret get --pin-stdin <pin.txt | sha256sum');

  const status = connected(secret.command('status').description('where the record stands; costs no attempt'));
  act(status, async (flags, signal) => (await load()).status(flags, signal));
  examples(status, 'holdfast secret status --json');

  const change = withPin(secret.command('change-pin').description('put the same secret, or a new one, under a new PIN'))
    .option('--new-pin-file <file>', 'take the new PIN from a file')
    .option('--new-recovery-code', 'the new PIN is a recovery code')
    .option('--secret-file <file>', 'keep this secret from now on')
    .option('--accept-degraded', 'go on where not all nodes take part');
  act(change, async (flags, signal) => (await load()).changePin(flags, signal));
  examples(
    change,
    'holdfast secret change-pin',
    'holdfast secret change-pin --pin-file old.txt --new-pin-file new.txt',
  );

  const remove = withPin(secret.command('delete').description('delete the record for good'));
  act(remove, async (flags, signal) => (await load()).remove(flags, signal));
  examples(remove, 'holdfast secret delete');

  const cancel = withPin(secret.command('cancel-takeover').description('stop somebody who is taking the record over'));
  act(cancel, async (flags, signal) => (await load()).cancelTakeover(flags, signal));
  examples(cancel, 'holdfast secret cancel-takeover');
}

function addServices(program: Command): void {
  const node = group(program, 'node', 'a vault node');
  const load = () => import('./commands/node.ts');
  const config = ['--config <file>', 'configuration file; HOLDFAST_NODE_* variables come first'] as const;
  const withStdin = new Option('--stop-with-stdin', 'end when standard input ends').hideHelp();

  const run = node
    .command('run')
    .description('run it until SIGTERM')
    .option(...config);
  act(run.addOption(withStdin), async (flags, signal) => (await import('./commands/node-run.ts')).run(flags, signal));
  examples(run, 'holdfast node run --config node.json');

  const keys = node
    .command('keys')
    .description('make a node’s keys on its token; prints the public halves for the trust file')
    .requiredOption('--module <path>', 'PKCS#11 module')
    .requiredOption('--label <label>', 'label of the token')
    .requiredOption('--fleet <name>', 'name of the fleet')
    .requiredOption('--name <name>', 'name of the node')
    .option('--pin-file <file>', 'PIN of the token; else it is asked for')
    .option('--so-pin-file <file>', 'makes the token first, with this PIN of the security officer')
    .option(...JSON_OPTION);
  act(keys, async (flags) => (await load()).keys(flags));
  examples(keys, 'holdfast node keys --module /usr/lib/vendor/pkcs11.so --label vault --fleet main --name node-1');

  const init = node
    .command('init')
    .description('write the first batch and anchor of a new node, once')
    .option(...config)
    .option('--description <digest>', 'read the keys back too, for the evidence of the fleet so described')
    .option('--out <file>', 'and write what was read there, as holdfast evidence possession does');
  act(init.option(...JSON_OPTION), async (flags) => (await load()).init(flags));
  examples(init, 'holdfast node init --config node.json');

  const info = node
    .command('info')
    .description('whether its token’s keys are the trust file’s')
    .option(...config);
  act(info.option(...JSON_OPTION), async (flags) => (await load()).info(flags));
  examples(info, 'holdfast node info --config node.json');

  const leave = node
    .command('leave')
    .description('leave for the next epoch, for ever: lays its trust file beside the node’s own')
    .option(...config)
    .requiredOption('--next <file>', 'trust file of the next epoch');
  act(leave.option(...JSON_OPTION), async (flags) => (await load()).leave(flags));
  examples(leave, 'holdfast node leave --config node.json --next trust-2.json');

  const coordinator = group(program, 'coordinator', 'the service that clients talk to');
  const serve = coordinator
    .command('run')
    .description('run it until SIGTERM')
    .option('--config <file>', 'configuration file; HOLDFAST_COORDINATOR_* variables come first');
  act(serve.addOption(withStdin), async (flags, signal) =>
    (await import('./commands/coordinator.ts')).run(flags, signal),
  );
  examples(serve, 'holdfast coordinator run --config coordinator.json');
}

/** Options of commands that open one token of a module. */
function withToken(command: Command): Command {
  return command
    .addOption(checked('--slot <number>', 'number of the slot', whole(0, Number.MAX_SAFE_INTEGER)))
    .option('--label <label>', 'label of the token')
    .option('--serial <serial>', 'serial number of the token')
    .option('--pin-file <file>', 'PIN of the token; else it is asked for');
}

function addWitness(program: Command): void {
  const witness = group(program, 'witness', 'a witness of transparency logs, plain or auditing');
  const load = () => import('./commands/witness.ts');
  const config = ['--config <file>', 'configuration file; HOLDFAST_WITNESS_* variables come first'] as const;

  const init = witness
    .command('init')
    .description('make the empty state of a new witness, once')
    .option(...config);
  act(init.option(...JSON_OPTION), async (flags) => (await load()).init(flags));
  examples(init, 'holdfast witness init --config witness.json');

  const serve = witness
    .command('serve')
    .description('cosign checkpoints until SIGTERM (C2SP tlog-witness)')
    .option(...config)
    .option(
      '--audit',
      'read and check every leaf first, as the setting audit does; needs an auditor’s key and policies',
    )
    .addOption(new Option('--stop-with-stdin', 'end when standard input ends').hideHelp());
  act(serve, async (flags, signal) => (await load()).serve(flags, signal));
  examples(serve, 'holdfast witness serve --config witness.json');

  const monitor = program
    .command('monitor')
    .description('look at a log from all sides and tell of what is wrong; exit code 6 with alerts')
    .option('--config <file>', 'configuration file; HOLDFAST_MONITOR_* variables come first')
    .option('--watch', 'look again and again until SIGTERM, with metrics and a webhook')
    .addOption(new Option('--stop-with-stdin', 'end when standard input ends').hideHelp())
    .option(...JSON_OPTION);
  act(monitor, async (flags, signal) => (await import('./commands/monitor.ts')).monitor(flags, signal));
  examples(monitor, 'holdfast monitor --config monitor.json --json', 'holdfast monitor --config monitor.json --watch');
}

function addToken(program: Command): void {
  const token = group(program, 'token', 'PKCS#11 tokens, for operators');
  const load = () => import('./commands/token.ts');
  const ofModule = (command: Command) =>
    command
      .option('--module <path>', 'PKCS#11 module (default: SoftHSM, where it is installed)')
      .option('--module-parameters <text>', 'text that the module wants when it is initialised')
      .option(...JSON_OPTION);

  const list = ofModule(token.command('list').description('the slots and tokens of a module'));
  act(list, async (flags) => (await load()).list(flags));
  examples(list, 'holdfast token list --module /usr/lib/vendor/pkcs11.so');

  const inventory = ofModule(
    token.command('inventory').description('mechanisms and objects with their attributes, never a key’s value'),
  );
  act(withToken(inventory), async (flags) => (await load()).inventory(flags));
  examples(
    inventory,
    'holdfast token inventory --serial 1234abcd --pin-file pin.txt --json',
    'holdfast token inventory --module /usr/lib/vendor/pkcs11.so      # what can be seen without a login',
  );

  const tried = token
    .command('probe')
    .description('try what a token can do for us, and how fast; leaves nothing behind');
  const probe = withToken(ofModule(tried))
    .addOption(new Option('--require <role>', 'fail with exit code 6 where it is not fit').choices(['node', 'signer']))
    .option('--sweep', 'first remove what probes that were killed have left; only while no other one runs');
  act(probe, async (flags, signal) => (await load()).probe(flags, signal));
  examples(
    probe,
    'holdfast token probe --label vault --pin-file pin.txt',
    'holdfast token probe --module /usr/lib/vendor/pkcs11.so --slot 3 --require node --json',
  );

  const bench = withToken(ofModule(token.command('bench').description('how fast a token is; leaves nothing behind')))
    .addOption(checked('--calls <number>', 'calls of each operation; anchors wear hardware', whole(10, 100_000), 200))
    .addOption(checked('--workers <number>', 'threads that call the module', whole(1, 8), 1));
  act(bench, async (flags, signal) => (await load()).bench(flags, signal));
  examples(bench, 'holdfast token bench --label vault --pin-file pin.txt --workers 4');
}

function addSigner(program: Command): void {
  const signer = group(program, 'signer', 'signing keys on tokens, and the journals of what they signed');
  const load = () => import('./commands/signer.ts');

  const keys = onSigningToken(signer.command('keys').description('make a role’s keys where they are missing; list all'))
    .requiredOption('--role <role>', 'cosigner, operator, policy, revoker, witness or auditor')
    .requiredOption('--name <name>', 'whose keys: a name such as cosigner.example')
    .option('--origin <origin>', 'of a cosigner’s log, such as log.example/vault/production')
    .option('--so-pin-file <file>', 'makes the token first, with this PIN of the security officer');
  act(keys, async (flags) => (await load()).keys(flags));
  examples(
    keys,
    'holdfast signer keys --role operator --name operator.example --label operator --pin-file pin',
    'holdfast signer keys --role cosigner --name cosigner.example --origin log.example/family/production --label cosigner',
  );

  const show = onSigningToken(
    signer.command('show').description('the signing keys on a token, each checked and tried'),
  );
  act(show, async (flags) => (await load()).list(flags));
  examples(show, 'holdfast signer show --label operator --pin-file pin --json');

  const sign = onSigningToken(signer.command('sign').description('show a bundle or trust policy, ask, and sign it'))
    .argument('<file>', 'the text, or a note that others signed already')
    .requiredOption('--purpose <purpose>', 'bundle or policy')
    .requiredOption('--name <name>', 'name of the key, as signer show has it')
    .requiredOption('--vault <name>', 'sign for this vault only')
    .requiredOption('--environment <name>', 'sign for this environment only')
    .requiredOption('--journal <file>', 'the signing journal; it is made if it is not there')
    .addOption(
      new Option('--approve <digest>', 'SHA-256 of the text: sign it without asking; repeatable').argParser(collect),
    )
    .option('--out <file>', 'write the signature’s line to a file');
  act(sign, async (flags, signal, [file]) => (await load()).sign(file!, flags, signal));
  examples(
    sign,
    'holdfast signer sign policy.txt --purpose policy --name anna.example/policy --vault family --environment production --journal anna.journal --label anna',
  );

  const journal = signer.command('journal').description('journals of what was signed');
  const verify = journal
    .command('verify')
    .description('whether a journal is whole, and what is in it')
    .argument('<file>', 'the journal')
    .option(...JSON_OPTION);
  act(verify, async (_flags, _signal, [file]) => (await load()).verifyJournal(file!));
  examples(verify, 'holdfast signer journal verify operator.journal');
}
