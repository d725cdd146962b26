/** The command that compares a page with the hashes of its build. */

import type { Command } from 'commander';
import { examples } from './options.ts';
import { act, group, JSON_OPTION } from './program-parts.ts';

export function addPage(program: Command): void {
  const page = group(program, 'page', 'the pages that browsers get: whether they are those of this release');
  const check = page
    .command('check')
    .description('compare every file of a page with the hashes of the reproducible build')
    .argument('<where>', 'the page’s address, as https://log.example, or a folder with its files')
    .option('--page <name>', 'which page: transparency, client or dashboard', 'transparency')
    .option('--list <file>', 'published list of hashes, pages.sha256 (default: that of this program’s own build)')
    .option('--authority <file>', 'PEM certificate of the authority of the site’s HTTPS')
    .option(...JSON_OPTION);
  act(check, async (flags, signal, [where]) => (await import('./commands/page.ts')).check(where!, flags, signal));
  examples(
    check,
    'holdfast page check https://log.example',
    'holdfast page check ./copied-page --page client --list pages.sha256',
  );
}
