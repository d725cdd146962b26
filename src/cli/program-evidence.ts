/** The commands of a deployment's evidence. */

import type { Command } from 'commander';
import { checked, collect, examples, whole } from './options.ts';
import { act, group, JSON_OPTION, onCosigner, onLog, onSigningToken } from './program-parts.ts';

const CONNECTION = '--cosigner https://cosigner.example:8445 --authority ca.pem --certificate olga.pem --key olga.key';
const SIGNING = '--name operator.example/evidence --label operator --pin-file pin --journal operator.journal';

export function addEvidence(program: Command): void {
  const evidence = group(program, 'evidence', 'what proves how a fleet was made: statements, signed and in the log');
  addMaking(evidence);
  addExchange(evidence);
  addFolder(evidence);
  addRecord(evidence);
}

function signing(command: Command): Command {
  return onSigningToken(command)
    .requiredOption('--name <name>', 'name of the key for evidence')
    .requiredOption('--journal <file>', 'the signing journal; it is made if it is not there')
    .requiredOption('--description <digest>', 'of the fleet’s description: evidence describe prints it')
    .requiredOption('--fleet-name <name>', 'which fleet')
    .requiredOption('--out <folder>', 'folder of the evidence');
}

function addMaking(evidence: Command): void {
  const load = () => import('./commands/evidence-make.ts');

  const describe = evidence
    .command('describe')
    .description('the digest of the description that statements bind; evidence and dates in the file do not matter')
    .argument('<file>', 'the bundle’s text, as bundle propose --out wrote it, or a signed bundle')
    .option(...JSON_OPTION);
  act(describe, async (_flags, _signal, [file]) => (await import('./commands/evidence.ts')).describe(file!));
  examples(describe, 'holdfast evidence describe draft.txt');

  const possession = evidence
    .command('possession')
    .description('a node: read its keys back from its token, and have its signing key prove that it is there')
    .option('--config <file>', 'configuration of the node; HOLDFAST_NODE_* variables come first')
    .requiredOption('--description <digest>', 'of the fleet’s description')
    .option('--out <file>', 'where it goes')
    .option(...JSON_OPTION);
  revealed(possession);
  act(possession, async (flags) => (await import('./commands/possession.ts')).possession(flags));
  examples(possession, 'holdfast evidence possession --config node.json --description 5e3f... --out node-1.keys');

  const nodeKeys = signing(
    evidence
      .command('node-keys')
      .description('sign what nodes said of their keys')
      .argument('<files...>', 'of possession'),
  );
  act(nodeKeys, async (flags, _signal, files) => (await load()).nodeKeys(files, flags));
  examples(
    nodeKeys,
    `holdfast evidence node-keys node-1.keys node-2.keys --description 5e3f... --fleet-name first --out evidence ${SIGNING}`,
  );

  const software = signing(evidence.command('software').description('sign what was built, out of which source'))
    .requiredOption('--source <uri>', 'where the source is: git+https://...')
    .requiredOption('--builder <uri>', 'who built it')
    .requiredOption('--artifact <name=sha256>', 'what came out, as scripts/image prints it; repeatable', collect)
    .option('--commit <commit>', 'of the source (default: that of this program)')
    .option('--lockfile <file>', 'package-lock.json of that commit (default: that of this program)');
  act(software, async (flags) => (await load()).software(flags));
  examples(
    software,
    'holdfast evidence software --source git+https://code.example/holdfast --builder https://operator.example/builder \\',
    `  --artifact "container image"=sha256:5e3f... --description 5e3f... --fleet-name first --out evidence ${SIGNING}`,
  );
}

/** The files of an exchange, which end it. */
export function revealed(command: Command): Command {
  return command
    .option('--challenge <file>', 'of an exchange with the keys for key agreement, which are then proven too')
    .option('--answers <file>', 'of that exchange: they must be in the log by now')
    .option('--secrets <file>', 'of that exchange: the statement publishes them');
}

function addExchange(evidence: Command): void {
  const load = () => import('./commands/evidence-agreement.ts');

  const challenge = evidence
    .command('challenge')
    .description('a witness: ask a node to use its keys for key agreement, with secrets that nobody else knows yet')
    .requiredOption('--description <digest>', 'of the fleet’s description: evidence describe prints it')
    .requiredOption('--fleet-name <name>', 'which fleet')
    .requiredOption('--node <name>', 'which node')
    .requiredOption('--out <file>', 'where the challenge goes, which is public')
    .requiredOption('--secrets <file>', 'where your secrets go, until the answers are in the log')
    .option(...JSON_OPTION);
  act(challenge, async (flags) => (await load()).challenge(flags));
  examples(
    challenge,
    'holdfast evidence challenge --description 5e3f... --fleet-name first --node node-1 --out node-1.challenge --secrets node-1.secrets',
  );

  const log = onCosigner(
    evidence
      .command('log-exchange')
      .description('have a challenge noted in the log, and later the answers to it')
      .argument('<files...>', 'the challenge; with the answers, those are noted'),
  )
    .requiredOption('--site <url>', 'origin where people find it, below /evidence/')
    .option(...JSON_OPTION);
  act(log, async (flags, signal, files) => (await load()).logExchange(files, flags, signal));
  examples(
    log,
    `holdfast evidence log-exchange node-1.challenge --site https://log.example ${CONNECTION}`,
    `holdfast evidence log-exchange node-1.challenge node-1.answers --site https://log.example ${CONNECTION}`,
  );

  const answer = evidence
    .command('answer')
    .description('a node: answer a challenge, once it is in the log')
    .argument('<challenge>', 'the witness’s file')
    .option('--config <file>', 'configuration of the node; HOLDFAST_NODE_* variables come first')
    .requiredOption('--out <file>', 'where the answers go')
    .option(...JSON_OPTION);
  act(answer, async (flags, _signal, [path]) => (await import('./commands/possession.ts')).answer(path!, flags));
  examples(answer, 'holdfast evidence answer node-1.challenge --config node.json --out node-1.answers');
}

function addFolder(evidence: Command): void {
  const load = () => import('./commands/evidence.ts');

  const assemble = evidence
    .command('assemble')
    .description('put all statements of a folder together')
    .argument('<folder>', 'with the statements')
    .option(...JSON_OPTION);
  act(assemble, async (_flags, _signal, [folder]) => (await load()).assemble(folder!));
  examples(assemble, 'holdfast evidence assemble evidence');

  const verify = onLog(
    evidence
      .command('verify')
      .description('what a cosigner verifies: every file, signature and key; with a log, earlier bundles too')
      .argument('<folder>', 'with the evidence')
      .requiredOption('--bundle <file>', 'the bundle that names it'),
  ).option(...JSON_OPTION);
  act(verify, async (flags, signal, [folder]) => (await load()).verify(folder!, flags, signal));
  examples(verify, 'holdfast evidence verify evidence --bundle proposal.txt');

  const publish = onCosigner(
    evidence
      .command('publish')
      .description('hand it to the cosigner, which serves it, and have every statement logged')
      .argument('<folder>', 'with the assembled evidence'),
  )
    .requiredOption('--site <url>', 'origin where people find it, below /evidence/')
    .option('--no-upload', 'the site serves the files already')
    .option(...JSON_OPTION);
  act(publish, async (flags, signal, [folder]) => (await load()).publish(folder!, flags, signal));
  examples(publish, `holdfast evidence publish evidence --site https://log.example ${CONNECTION}`);

  const show = evidence
    .command('show')
    .description('what a statement, a manifest or a folder says; verifies nothing')
    .argument('<path>', 'a file, or a folder')
    .option(...JSON_OPTION);
  act(show, async (_flags, _signal, [path]) => (await load()).show(path!));
  examples(show, 'holdfast evidence show evidence');
}

function addRecord(evidence: Command): void {
  const record = onCosigner(
    onLog(
      onSigningToken(
        evidence
          .command('record')
          .description('gather what running nodes sign of their limits, sign it, and have it logged'),
      ),
    ),
  )
    .option('--fleet <folder>', 'the fleet in this folder, which says all the rest (development)')
    .option('--name <name>', 'name of the key for evidence')
    .option('--journal <file>', 'the signing journal; it is made if it is not there')
    .option('--fleet-name <name>', 'which fleet (default: the policy’s first)')
    .option('--bundle <file>', 'the accepted bundle (default: the log’s)')
    .option('--coordinator <url>', 'ask this one instead of the bundle’s; repeatable', collect)
    .option('--site <url>', 'origin where people find it, below /evidence/')
    .option('--out <file>', 'where the signed statement goes')
    .addOption(checked('--patience <seconds>', 'how long to wait for all nodes', whole(1, 3600), 120));
  act(record, async (flags, signal) => (await import('./commands/evidence-make.ts')).record(flags, signal));
  examples(record, `holdfast evidence record --anchor client.json --site https://log.example ${SIGNING} ${CONNECTION}`);
}
