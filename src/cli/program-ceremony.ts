/** The commands of key ceremonies. */

import type { Command } from 'commander';
import { checked, collect, examples, whole } from './options.ts';
import { revealed } from './program-evidence.ts';
import { act, group, JSON_OPTION } from './program-parts.ts';

export function addCeremony(program: Command): void {
  const ceremony = group(
    program,
    'ceremony',
    'key ceremonies: a token and its keys made before witnesses, with a transcript',
  );
  const load = () => import('./commands/ceremony.ts');
  const folder = ['<folder>', 'the ceremony’s folder'] as const;

  const run = ceremony
    .command('run')
    .description('lead through a ceremony for one token; in a folder that holds one, go on with it')
    .argument(...folder)
    .option('--dry-run', 'print the whole script, and touch nothing')
    .option('--fleet <name>', 'for a node: name of the fleet')
    .option('--node <name>', 'for a node: its name')
    .option('--role <role>', 'for a signing token: cosigner, operator, policy, revoker, witness or auditor')
    .option('--name <name>', 'for a signing token: whose keys, such as operator.example')
    .option('--origin <origin>', 'of a cosigner’s log')
    .option('--module <path>', 'PKCS#11 module (default: SoftHSM, where it is installed)')
    .option('--module-parameters <text>', 'text that the module wants when it is initialised')
    .option('--sync-folder <folder>', 'folder of a token that is made of files, to be synced (default: SoftHSM’s)')
    .option('--label <label>', 'label of the token, as it is or as it is to be')
    .addOption(checked('--slot <number>', 'number of the slot', whole(0, Number.MAX_SAFE_INTEGER)))
    .option('--serial <serial>', 'serial number of the token')
    .option('--take-prepared', 'the token is initialised already; its user’s PIN is in --pin-file')
    .option('--destroy-existing', 'the token is initialised already: DESTROY all that is on it; needs --so-pin-file')
    .option('--pin-file <file>', 'where the user’s PIN is written to (default: in the folder), or is')
    .option('--so-pin-file <file>', 'present PIN of the security officer, with --destroy-existing')
    .addOption(checked('--characters <number>', 'characters of a PIN that is made', whole(8, 64)))
    .option(
      '--person <name=part[=key]>',
      'somebody who is present, with a public key in PEM if they have one; repeatable',
      collect,
    )
    .option('--seals', 'ask for the numbers of tamper-evident seals')
    .option('--attestation <file>', 'a certificate of the vendor on a new key, PEM or DER; repeatable', collect)
    .option('--ceremony-name <name>', 'name of the ceremony (default: of the label)')
    .option('--answers <file>', 'JSON with the answers, instead of people at a terminal')
    .option(...JSON_OPTION);
  act(run, async (flags, signal, [path]) => (await load()).run(path!, flags, signal));
  examples(
    run,
    'holdfast ceremony run ./ceremony-1 --dry-run --fleet main --node node-1 --label node-1 \\',
    "  --person 'Anna=operator=anna.pem' --person 'Ben=witness=ben.pem' --seals",
    'holdfast ceremony run ./ceremony-1           # go on, after whatever stopped it',
    'holdfast ceremony run ./ceremony-op --role operator --name operator.example --label operator --person Anna=operator',
  );

  const show = ceremony
    .command('show')
    .description('verify a transcript, and print what it says')
    .argument(...folder)
    .option(...JSON_OPTION);
  act(show, async (_flags, _signal, [path]) => (await load()).show(path!));
  examples(show, 'holdfast ceremony show ./ceremony-1');

  const evidence = () => import('./commands/ceremony-evidence.ts');
  const ofDescription = (command: Command) =>
    command
      .requiredOption('--description <digest or file>', 'of the fleet: its SHA-256, or the text of a proposed bundle')
      .requiredOption('--out <folder>', 'where the files go, for holdfast evidence assemble')
      .option(...JSON_OPTION);

  const possession = ofDescription(
    ceremony
      .command('possession')
      .description('a node’s keys read back from its token and signed for, as a statement of evidence')
      .argument(...folder),
  );
  revealed(possession);
  act(possession, async (flags, _signal, [path]) => (await evidence()).possession(path!, flags));
  examples(possession, 'holdfast ceremony possession ./ceremony-1 --description proposal.txt --out evidence');

  const answer = ceremony
    .command('answer')
    .description('a node’s answers to a witness’s challenge, made on its token')
    .argument(...folder)
    .argument('<challenge>', 'of holdfast evidence challenge, whose digests are in the log')
    .requiredOption('--out <file>', 'where the answers go')
    .option(...JSON_OPTION);
  act(answer, async (flags, _signal, words) => (await evidence()).answer(words, flags));
  examples(answer, 'holdfast ceremony answer ./ceremony-1 challenge --out answers');

  const statement = ofDescription(
    ceremony
      .command('statement')
      .description('one statement of evidence on the ceremonies of a fleet, once everybody has signed it')
      .argument('<folder...>', 'the ceremonies’ folders; the token of the first one signs'),
  );
  act(statement, async (flags, _signal, folders) => (await evidence()).statement(folders, flags));
  examples(
    statement,
    'holdfast ceremony statement ./ceremony-1 ./ceremony-2 ./ceremony-3 --description proposal.txt --out evidence',
  );
}
