/** The commands of validation bundles, from a draft to what clients see. */

import type { Command } from 'commander';
import { checked, collect, examples, moment, whole } from './options.ts';
import { act, group, JSON_OPTION, onCosigner, onLog, withApproval } from './program-parts.ts';

const CONNECTION = '--cosigner https://cosigner.example:8445 --authority ca.pem --certificate olga.pem --key olga.key';
const SIGNING = '--label operator --pin-file pin --journal operator.journal';

const PATIENCE = () => checked('--patience <seconds>', 'how long to wait for the witnesses', whole(1, 3600), 60);

export function addBundle(program: Command): void {
  const bundle = group(program, 'bundle', 'validation bundles: proposed, cosigned, countersigned, accepted, verified');
  addProposals(bundle);
  addSignatures(bundle);
  addReading(bundle);
}

/** Options of everything that makes a proposal. */
function proposing(command: Command): Command {
  return onCosigner(onLog(command))
    .option('--fleet-name <name>', 'which fleet (default: the policy’s first)')
    .option('--evidence <file>', 'the manifest of the deployment’s evidence (default: the last bundle’s)')
    .option('--evidence-address <url>', 'where that file is published')
    .option('--out <file>', 'write the unsigned text to a new file')
    .option(...JSON_OPTION);
}

function addProposals(bundle: Command): void {
  const load = () => import('./commands/bundle-propose.ts');

  const propose = proposing(
    bundle.command('propose').description('make a fleet’s next bundle, and send it to the cosigner'),
  )
    .option('--fleet <folder>', 'describe the fleet in this folder (development)')
    .option(
      '--nodes <file>',
      'one node: what node keys --json prints, with operator, region, tokenClass and endpoint; repeatable',
      collect,
    )
    .option('--trust-file <file>', 'the fleet’s trust file: its policy, coordinators and authority')
    .option('--draft <file>', 'JSON with what shall be as a manifest has it; the rest stays as it is')
    .option('--coordinator <url>', 'origin of a coordinator; repeatable', collect)
    .addOption(checked('--not-after <time>', 'when it ends, such as 2027-01-31T00:00:00Z (default: in a year)', moment))
    .option('--operator <name>', 'with --fleet: who runs all nodes')
    .option('--region <name>', 'with --fleet: where they stand')
    .option('--token-class <class>', 'with --fleet: emulated, declared or attested');
  act(propose, async (flags, signal) => (await load()).propose(flags, signal));
  examples(
    propose,
    'holdfast bundle propose --anchor client.json --nodes node-1.json --nodes node-2.json --nodes node-3.json \\',
    '  --coordinator https://vault.example --evidence evidence.json --evidence-address https://vault.example/evidence.json \\',
    `  ${CONNECTION}`,
    'holdfast bundle propose --anchor client.json --out renewal.txt     # the same again for another year',
  );

  const retire = proposing(bundle.command('retire').description('propose that a fleet gives way to its successor'))
    .requiredOption('--successor <fleet>', 'the fleet that records move to; it must be accepted already')
    .addOption(checked('--sunset <time>', 'until when records can be recovered here', moment).makeOptionMandatory());
  act(retire, async (flags, signal) => (await load()).retire(flags, signal));
  examples(
    retire,
    `holdfast bundle retire --anchor client.json --successor second --sunset 2027-06-30T00:00:00Z ${CONNECTION}`,
  );
}

function addSignatures(bundle: Command): void {
  const submit = onCosigner(
    bundle.command('submit').description('send to the cosigner what was made or signed elsewhere'),
  )
    .argument('<file>', 'the text of a proposal, a signed note, or evidence as JSON')
    .requiredOption('--kind <kind>', 'proposal, acceptance, revocation, policy or evidence')
    .option('--out <file>', 'where the signed note goes')
    .option(...JSON_OPTION);
  act(submit, async (flags, signal, [file]) => (await import('./commands/bundle.ts')).submit(file!, flags, signal));
  examples(submit, `holdfast bundle submit bundle.txt --kind proposal ${CONNECTION} --out proposal.note`);

  const load = () => import('./commands/bundle-sign.ts');

  const cosign = onCosigner(
    onLog(
      bundle.command('cosign').description('the cosigner’s person: list what waits; show one, ask, have it signed'),
    ),
  )
    .argument('[digest]', 'SHA-256 of the proposal’s text')
    .option('--approve <digest>', 'approve this digest without asking; repeatable', collect)
    .option('--reject', 'reject it instead')
    .option('--out <file>', 'where the signed proposal goes')
    .option(...JSON_OPTION);
  act(cosign, async (flags, signal, [digest]) => (await load()).cosign(digest, flags, signal));
  examples(
    cosign,
    `holdfast bundle cosign ${CONNECTION}`,
    `holdfast bundle cosign 5e3f... --anchor client.json ${CONNECTION}`,
  );

  const countersign = withApproval(
    onLog(
      bundle
        .command('countersign')
        .description(
          'the operator: check the last proposal, once witnesses confirmed it, in all its steps, ask, and sign beside',
        ),
    ),
  )
    .option('--fleet-name <name>', 'which fleet (default: the policy’s first)')
    .option('--digest <digest>', 'sign only if the proposal has this SHA-256')
    .option('--evidence <file>', 'compare this evidence with what the bundle names')
    .option('--name <name>', 'name of the key (default: the policy’s operator key)')
    .requiredOption('--out <file>', 'where the countersigned bundle goes')
    .addOption(PATIENCE());
  act(countersign, async (flags, signal) => (await load()).countersign(flags, signal));
  examples(
    countersign,
    `holdfast bundle countersign --anchor client.json --evidence evidence.json ${SIGNING} --out accepted.bundle`,
  );

  const accept = onLog(
    bundle.command('accept').description('send a countersigned bundle, or a revocation, and wait for the witnesses'),
  )
    .argument('<file>', 'the signed note')
    .addOption(PATIENCE())
    .option(...JSON_OPTION);
  act(accept, async (flags, signal, [file]) => (await load()).accept(file!, flags, signal));
  examples(accept, 'holdfast bundle accept accepted.bundle --anchor client.json');

  const revoke = withApproval(
    onLog(bundle.command('revoke').description('end all use of a bundle and those before it, for ever')),
  )
    .requiredOption('--digest <digest>', 'SHA-256 of the bundle that is revoked')
    .requiredOption('--reason <text>', 'one line for people')
    .requiredOption('--name <name>', 'name of the key: cosigner’s, operator’s or a revoker’s')
    .option('--out <file>', 'keep the signed revocation in a new file')
    .addOption(PATIENCE());
  act(revoke, async (flags, signal) => (await load()).revoke(flags, signal));
  examples(
    revoke,
    'holdfast bundle revoke --anchor client.json --digest 5e3f... --reason "a token was stolen" --name helpline.example/revoke --label revoker --journal revoker.journal',
  );
}

function addReading(bundle: Command): void {
  const load = () => import('./commands/bundle-verify.ts');

  const verify = onLog(
    bundle.command('verify').description('run a client’s steps on a trust set, each with its result'),
  )
    .argument('<file>', 'the trust set, as /trust/<fleet> of the log serves it')
    .option('--state <file>', 'what was verified before; a file that is not there is a first use')
    .option('--update-state', 'write what is verified now to that file')
    .option('--fleet-name <name>', 'which fleet (default: the policy’s first)')
    .option('--operation <name>', 'what it is for: enrol, move, recover, confirm, delete or follow', 'enrol')
    .option(...JSON_OPTION);
  act(verify, async (flags, _signal, [file]) => (await load()).verify(file!, flags));
  examples(
    verify,
    'holdfast bundle verify first.json --policy policy.note',
    'holdfast bundle verify first.json --anchor client.json --state state.json --operation recover --json',
  );

  const show = bundle
    .command('show')
    .description('what a bundle says; verifies nothing')
    .argument('<file>', 'a text, a signed note, or a trust set')
    .option(...JSON_OPTION);
  act(show, async (_flags, _signal, [file]) => (await load()).show(file!));
  examples(show, 'holdfast bundle show proposal.txt');

  const diff = bundle
    .command('diff')
    .description('what changes from one bundle to another, and what gets weaker')
    .argument('<before>', 'a text, a signed note, or a trust set')
    .argument('<after>', 'the same')
    .option(...JSON_OPTION);
  act(diff, async (_flags, _signal, [before, after]) => (await load()).diff(before!, after!));
  examples(diff, 'holdfast bundle diff accepted.bundle proposal.txt');
}
