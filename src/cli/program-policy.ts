/** The commands of trust policies and of those who keep their keys. */

import type { Command } from 'commander';
import { collect, examples } from './options.ts';
import { act, group, JSON_OPTION, onCosigner, withApproval } from './program-parts.ts';

const PREVIOUS = ['--previous <file>', 'the version before it; needed from version 2 on'] as const;

export function addPolicy(program: Command): void {
  const policy = group(program, 'policy', 'trust policies: whom clients believe, signed by several keyholders');
  const load = () => import('./commands/policy.ts');

  const create = policy
    .command('create')
    .description('make version 1 out of a draft; unsigned')
    .requiredOption('--draft <file>', 'JSON with members as a policy has them; docs/bundles.md has an example')
    .requiredOption('--out <file>', 'where the text goes')
    .option('--overwrite', 'replace that file')
    .option(...JSON_OPTION);
  act(create, async (flags) => (await load()).create(flags));
  examples(create, 'holdfast policy create --draft draft.json --out policy.note');

  const sign = withApproval(
    policy.command('sign').description('a keyholder: show a policy, ask, and add one signature'),
  )
    .argument('<file>', 'the policy, with the signatures it has so far')
    .requiredOption('--name <name>', 'name of the policy key')
    .option(...PREVIOUS)
    .option('--out <file>', 'write to a new file instead of the same');
  act(sign, async (flags, signal, [file]) => (await load()).sign(file!, flags, signal));
  examples(
    sign,
    'holdfast policy sign policy.note --name anna.example/policy --label anna --journal anna.journal',
    'holdfast policy sign policy-2.note --previous policy.note --name anna.example/policy --label anna --journal anna.journal',
  );

  const rotate = policy
    .command('rotate')
    .description('make the next version; keyholders of both versions sign it')
    .argument('<file>', 'the version in force, with its signatures')
    .option('--changes <file>', 'JSON with the members that change (default: only a later end)')
    .requiredOption('--out <file>', 'where the text goes')
    .option('--overwrite', 'replace that file')
    .option(...JSON_OPTION);
  act(rotate, async (flags, _signal, [file]) => (await load()).rotate(file!, flags));
  examples(rotate, 'holdfast policy rotate policy.note --changes new-operator.json --out policy-2.note');

  const lint = policy
    .command('lint')
    .description('what is unsafe about a policy; exit code 6 if clients refuse it')
    .argument('<file>', 'the policy')
    .option(...JSON_OPTION);
  act(lint, async (_flags, _signal, [file]) => (await load()).lint(file!));
  examples(lint, 'holdfast policy lint policy.note --json');

  const show = policy
    .command('show')
    .description('what a policy says, and how many have signed it')
    .argument('<file>', 'the policy')
    .option(...PREVIOUS)
    .option(...JSON_OPTION);
  act(show, async (flags, _signal, [file]) => (await load()).show(file!, flags));
  examples(show, 'holdfast policy show policy-2.note --previous policy.note');

  const anchor = policy
    .command('anchor')
    .description('write the trust anchor: the file with which clients start')
    .argument('<file>', 'the policy, with enough signatures')
    .requiredOption('--source <url>', 'origin of the log or a mirror; repeatable', collect)
    .option('--source-authority <file>', 'PEM certificate of the authority of their HTTPS')
    .option(...PREVIOUS)
    .requiredOption('--out <file>', 'where the anchor goes')
    .option('--overwrite', 'replace that file')
    .option(...JSON_OPTION);
  act(anchor, async (flags, _signal, [file]) => (await load()).anchor(file!, flags));
  examples(
    anchor,
    'holdfast policy anchor policy.note --source https://log.example --source https://mirror.example --out client.json',
  );

  const submit = onCosigner(policy.command('submit').description('send a signed policy to the cosigner’s log'))
    .argument('<file>', 'the policy, with enough signatures')
    .option(...JSON_OPTION);
  act(submit, async (flags, signal, [file]) => (await load()).submit(file!, flags, signal));
  examples(
    submit,
    'holdfast policy submit policy-2.note --cosigner https://cosigner.example:8445 --authority ca.pem --certificate olga.pem --key olga.key',
  );
}
