/** What happens where standard output or standard error cannot be written to: a pipe closed early, a full disk behind a redirection. */

import { reasonOf } from './files.ts';
import { say } from './output.ts';

/**
 * A pipe that is closed early, as by head(1), is no error of ours. Any other failure of standard output is: what the command
 * was asked for is not where it should be, so it ends with 1. Standard error that fails leaves nobody to tell.
 */
export function guardStandardStreams(): void {
  process.stderr.on('error', () => {});
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return;
    say(`holdfast: standard output cannot be written: ${reasonOf(error)}`);
    process.exit(1);
  });
}
