/** The commands of the cosigner. */

import { type Command, Option } from 'commander';
import { examples } from './options.ts';
import { act, group, JSON_OPTION } from './program-parts.ts';

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
}
