/** The commands of a fleet on one machine, for development. */

import type { Command } from 'commander';
import { checked, examples, nodeCount, seconds, takeover, whole } from './options.ts';
import { act, group, JSON_OPTION } from './program-parts.ts';

export function addFleet(program: Command): void {
  const fleet = group(program, 'fleet', 'a whole fleet on this machine, for development and demonstrations');
  const load = () => import('./commands/fleet.ts');
  const loadMaker = () => import('./commands/fleet-make.ts');
  const directory = ['<folder>', 'the fleet’s folder'] as const;

  const create = fleet
    .command('create')
    .description('make tokens (SoftHSM), keys, certificates, stores, configurations and the trust file')
    .argument(...directory)
    .addOption(checked('--nodes <n>', '1, 3, 5, 7 or 9', nodeCount, 5))
    .addOption(checked('--coordinators <n>', '1 to 9', whole(1, 9), 2))
    .option('--name <name>', 'name of the fleet', 'development')
    .option('--environment <name>', 'which deployment it is for', 'development')
    .option('--vault <name>', 'name of the vault, the same for all fleets in one log', 'vault')
    .option(
      '--join <folder>',
      'announce it in the log of the fleet in that folder, whose environment and policy it takes',
    )
    .option('--no-log', 'without cosigner, witnesses and log: clients pin its keys')
    .addOption(checked('--base-port <port>', 'first of 60 ports; default is a free range', whole(1024, 65_000)))
    .option('--named', 'for containers: processes are reached by their names, the log and witnesses over HTTPS')
    .addOption(checked('--limit <n>', 'guesses between two uses of the right PIN', whole(1, 100), 10))
    .addOption(checked('--lifetime-limit <n>', 'uses in a record’s whole life', whole(1, 10_000), 50))
    .addOption(
      checked(
        '--waits <seconds>',
        'before the 1st, 2nd, ... attempt since the last success (default: none before the first three, then 60 up to 86400)',
        seconds,
      ),
    )
    .addOption(
      checked(
        '--destroy-after <seconds>',
        'delay before a spent record is destroyed (default: 604800, a week)',
        whole(0, 31_536_000),
      ),
    )
    .addOption(checked('--takeover <policy>', 'off, immediate, or seconds of delay (default: off)', takeover))
    .addOption(checked('--argon2-memory-kib <n>', 'memory to stretch a PIN with (default: 65536)', whole(8, 4_194_304)))
    .addOption(checked('--argon2-passes <n>', 'passes to stretch a PIN with (default: 3)', whole(1, 100)))
    .option(...JSON_OPTION);
  act(create, async (flags, signal, [folder]) => (await loadMaker()).create(folder!, flags, signal));
  examples(
    create,
    'holdfast fleet create ./fleet --nodes 5',
    'holdfast fleet create ./fleet --nodes 3 --waits 0 --takeover 60',
  );

  const up = fleet
    .command('up')
    .description('run it; Ctrl-C stops it')
    .argument(...directory)
    .option('--detach', 'run it in the background; return when it serves')
    .addOption(checked('--coordinators <n>', 'how many of the coordinators run', whole(1, 9), 1))
    .option(...JSON_OPTION);
  act(up, async (flags, signal, [folder]) => (await load()).up(folder!, flags, signal));
  examples(up, 'holdfast fleet up ./fleet', 'holdfast fleet up ./fleet --detach --coordinators 2');

  const announce = fleet
    .command('announce')
    .description('make what the fleet is now known in its log, as fleet up does by itself')
    .argument(...directory)
    .option(...JSON_OPTION);
  act(announce, async (_flags, signal, [folder]) => (await loadMaker()).announce(folder!, signal));
  examples(announce, 'holdfast fleet announce ./fleet');

  const down = fleet
    .command('down')
    .description('stop it, and wait until it is down')
    .argument(...directory);
  act(down.option(...JSON_OPTION), async (_flags, _signal, [folder]) => (await load()).down(folder!));
  examples(down, 'holdfast fleet down ./fleet');

  const status = fleet
    .command('status')
    .description('how each process stands')
    .argument(...directory);
  act(status.option(...JSON_OPTION), async (_flags, _signal, [folder]) => (await load()).status(folder!));
  examples(status, 'holdfast fleet status ./fleet --json');

  const process = ['<process...>', 'such as node-2 or coordinator-1'] as const;
  const kill = fleet
    .command('kill')
    .description('end processes as a power cut would (SIGKILL), not to be started again')
    .argument(...directory)
    .argument(...process);
  act(kill.option(...JSON_OPTION), async (_flags, _signal, [folder, ...names]) => (await load()).kill(folder!, names));
  examples(kill, 'holdfast fleet kill ./fleet node-2 node-4');

  const start = fleet
    .command('start')
    .description('start processes that were killed')
    .argument(...directory)
    .argument(...process);
  act(start.option(...JSON_OPTION), async (_flags, signal, [folder, ...names]) =>
    (await load()).start(folder!, names, signal),
  );
  examples(start, 'holdfast fleet start ./fleet node-2 node-4');

  const replace = fleet
    .command('replace-node')
    .description('give a node a new token, in a new epoch; run it again if it was interrupted')
    .argument(...directory)
    .requiredOption('--node <n>', 'number of the node', whole(1, 9))
    .option('--accept-loss', 'go on although records not used since an earlier replacement may be lost')
    .option(...JSON_OPTION);
  act(replace, async (flags, signal, [folder]) => (await loadMaker()).replace(folder!, flags, signal));
  examples(replace, 'holdfast fleet replace-node ./fleet --node 2');

  const retire = fleet
    .command('retire')
    .description('end a fleet in favour of another in its log, to which records then move')
    .argument(...directory)
    .requiredOption('--successor <folder>', 'folder of the fleet that follows, made with --join')
    .requiredOption('--sunset <time>', 'until when records are still recovered here, such as 2027-01-31T00:00:00Z')
    .option(...JSON_OPTION);
  act(retire, async (flags, signal, [folder]) => (await loadMaker()).retire(folder!, flags, signal));
  examples(retire, 'holdfast fleet retire ./fleet --successor ./fleet-2 --sunset 2027-01-31T00:00:00Z');

  const revoke = fleet
    .command('revoke')
    .description('revoke a fleet’s accepted bundle with the operator’s key, for ever')
    .argument(...directory)
    .requiredOption('--reason <text>', 'one line, for people')
    .option(...JSON_OPTION);
  act(revoke, async (flags, signal, [folder]) => (await loadMaker()).revoke(folder!, flags, signal));
  examples(revoke, "holdfast fleet revoke ./fleet --reason 'a token was stolen'");
}
