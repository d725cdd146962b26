/** The commands of the cosigner, and of operators who send bundles to it. */

import { type Command, Option } from 'commander';
import { collect, examples } from './options.ts';
import { act, group, JSON_OPTION } from './program-parts.ts';

/** Options that name a cosigner's submission listener and the operator's certificate for it. */
function onCosigner(command: Command): Command {
  return command
    .requiredOption('--cosigner <url>', 'the cosigner’s address for operators, https://host:port')
    .requiredOption('--authority <file>', 'PEM certificate of the authority')
    .requiredOption('--authority-name <name>', 'name of the authority')
    .requiredOption('--certificate <file>', 'PEM certificate of yours, role operator')
    .requiredOption('--key <file>', 'PEM private key of that certificate')
    .option('--out <file>', 'where the signed note goes')
    .option(...JSON_OPTION);
}

export function addCosigner(program: Command): void {
  const cosigner = group(program, 'cosigner', 'the cosigner: it checks, signs and logs bundles');
  const load = () => import('./commands/cosigner.ts');
  const config = ['--config <file>', 'configuration file; HOLDFAST_COSIGNER_* variables come first'] as const;

  const init = cosigner
    .command('init')
    .description('make the log in an empty store, once; never where a log was lost')
    .option(...config);
  act(init.option(...JSON_OPTION), async (flags) => (await load()).init(flags));
  examples(init, 'holdfast cosigner init --config cosigner.json');

  const serve = cosigner
    .command('serve')
    .description('run it until SIGTERM')
    .option(...config)
    .addOption(new Option('--stop-with-stdin', 'end when standard input ends').hideHelp());
  act(serve, async (flags, signal) => (await load()).serve(flags, signal));
  examples(serve, 'holdfast cosigner serve --config cosigner.json');

  const bundle = group(program, 'bundle', 'bundles, from a proposal to the log');
  const loadBundle = () => import('./commands/bundle.ts');
  const connection =
    '--cosigner https://cosigner.example:8445 --authority ca.pem --authority-name family --certificate olga.pem --key olga.key';

  const submit = onCosigner(
    bundle.command('submit').description('send a proposal, acceptance, revocation, policy or evidence to the cosigner'),
  )
    .argument('<file>', 'the text of a proposal, a signed note, or evidence as JSON')
    .requiredOption('--kind <kind>', 'proposal, acceptance, revocation, policy or evidence');
  act(submit, async (flags, _signal, [file]) => (await loadBundle()).submit(file!, flags));
  examples(submit, `holdfast bundle submit bundle.txt --kind proposal ${connection} --out proposal.note`);

  const cosign = onCosigner(
    bundle.command('cosign').description('list proposals that wait for a person; show one, ask, and have it signed'),
  )
    .argument('[digest]', 'SHA-256 of the proposal’s text')
    .option('--approve <digest>', 'approve this digest without asking; repeatable', collect)
    .option('--reject', 'reject it instead');
  act(cosign, async (flags, signal, [digest]) => (await loadBundle()).cosign(digest, flags, signal));
  examples(cosign, `holdfast bundle cosign ${connection}`);
}
