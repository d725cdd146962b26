/** The command that checks a site from outside. */

import type { Command } from 'commander';
import { collect, examples } from './options.ts';
import { act, JSON_OPTION } from './program-parts.ts';

export function addAudit(program: Command): void {
  const audit = program
    .command('audit')
    .description('check a site that runs fleets: policy, log, witnesses, bundle, evidence; what each step proves')
    .argument(
      '[where]',
      'the site, as https://vault.example, or a folder with a copy of one (default: the anchor’s first source)',
    )
    .option('--anchor <file>', 'trust anchor that you have from elsewhere than the site')
    .option('--policy <file>', 'signed trust policy, instead of an anchor')
    .option('--authority <file>', 'PEM certificate of the authority of the site’s HTTPS')
    .option('--fleet <name>', 'only this fleet (default: all that are not revoked)')
    .option('--seen <report>', 'an earlier report: the log must still begin with what it saw')
    .option('--vendor-root <vendor=file>', 'root of a vendor’s attestations that you have pinned; repeatable', collect)
    .option('--keep <folder>', 'keep all that is fetched, to audit it again without a network')
    .option('--out <file>', 'write the report to a file, for the next audit')
    .option('--brief', 'one line for each step')
    .option(...JSON_OPTION);
  act(audit, async (flags, signal, [where]) => (await import('./commands/audit.ts')).audit(where, flags, signal));
  examples(
    audit,
    'holdfast audit --anchor client.json --out report.json',
    'holdfast audit https://vault.example --anchor client.json --seen report.json --keep copy --brief',
    'holdfast audit copy --policy policy.note --fleet first --json      # without a network',
  );
}
