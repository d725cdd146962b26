/** The commands that make trust files of the pinned mode, for fleets whose nodes are set up one by one (docs/hsm.md). */

import type { Command } from 'commander';
import { checked, collect, examples, moment, seconds, takeover, whole } from './options.ts';
import { act, group, JSON_OPTION } from './program-parts.ts';

export function addTrust(program: Command): void {
  const trust = group(program, 'trust', 'trust files: the keys and policy of a fleet, as clients and nodes have them');
  const load = () => import('./commands/trust.ts');

  const assemble = trust
    .command('assemble')
    .description('make the trust file of a new fleet out of what holdfast node keys --json printed for each node')
    .argument('<keys...>', 'one file for each node, in the order of their numbers')
    .requiredOption('--fleet <name>', 'name of the fleet, as given to node keys')
    .requiredOption('--environment <name>', 'which deployment it is for, such as production')
    .requiredOption('--coordinator <url>', 'HTTPS address of a coordinator; repeatable', collect)
    .addOption(checked('--expires <time>', 'like 2030-01-31T00:00:00Z', moment).makeOptionMandatory())
    .option(
      '--authority <file>',
      'certificate of the authority of the coordinators’ HTTPS (default: the platform’s own)',
    )
    .addOption(checked('--limit <n>', 'guesses between two uses of the right PIN', whole(1, 100), 10))
    .addOption(checked('--lifetime-limit <n>', 'uses in a record’s whole life', whole(1, 10_000), 50))
    .addOption(checked('--waits <seconds>', 'before the 1st, 2nd, ... attempt since the last success', seconds))
    .addOption(checked('--destroy-after <seconds>', 'delay before a spent record is destroyed', whole(0, 31_536_000)))
    .addOption(checked('--takeover <policy>', 'off, immediate, or seconds of delay (default: off)', takeover))
    .requiredOption('--out <file>', 'the trust file to write')
    .option('--overwrite', 'replace that file')
    .option(...JSON_OPTION);
  act(assemble, async (flags, _signal, files) => (await load()).assemble(files, flags));
  examples(
    assemble,
    'holdfast trust assemble node-1.json node-2.json node-3.json --fleet main --environment production ' +
      '--coordinator https://vault.example --expires 2030-01-31T00:00:00Z --out trust.json',
  );

  const next = trust
    .command('next')
    .description('make the trust file of the next epoch, in which nodes have new tokens')
    .argument('<file>', 'the trust file in force')
    .requiredOption(
      '--replace <n=keys>',
      'number of a node, and what node keys --json printed for its new token',
      collect,
    )
    .option('--accept-loss', 'go on although records not used since an earlier replacement may be lost')
    .requiredOption('--out <file>', 'the trust file to write')
    .option('--overwrite', 'replace that file')
    .option(...JSON_OPTION);
  act(next, async (flags, _signal, [file]) => (await load()).next(file!, flags));
  examples(next, 'holdfast trust next trust.json --replace 2=node-2-new.json --out trust-2.json');

  const show = trust
    .command('show')
    .description('what a trust file says, and the digest of its membership, to be read to each other')
    .argument('<file>', 'the trust file')
    .option(...JSON_OPTION);
  act(show, async (_flags, _signal, [file]) => (await load()).show(file!));
  examples(show, 'holdfast trust show trust.json');
}
