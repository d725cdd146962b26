/** Finds a browser of the Chromium family that runs here, for the tests under test/browser. */

import { spawnSync } from 'node:child_process';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'] as const;

/** What to tell a person whose machine has none. */
export const NO_BROWSER =
  `no browser that runs: ${NAMES.join(', ')} are missing or, as on Ubuntu without the snap, only point to another ` +
  'package. Run scripts/setup --with browser on Debian; elsewhere install Chromium or Chrome by hand';

/**
 * The command of the first browser that tells its version, or undefined. Being there is not enough: Ubuntu's package
 * holds a script that only says to install a snap.
 */
export function findBrowser(names: readonly string[] = NAMES): string | undefined {
  return names.find((name) => {
    const { status, stdout } = spawnSync(name, ['--version'], { encoding: 'utf8', timeout: 120_000 });
    return status === 0 && /chrom/i.test(stdout);
  });
}
