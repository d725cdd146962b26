/** Ranges of ports for tests, each given out once: a fleet that is down, or comes up only later, keeps its own. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { findFreePorts } from '../src/fleet/ports.ts';

/** The first of 60 ports. */
export async function reservePorts(): Promise<number> {
  for (;;) {
    const first = await findFreePorts();
    try {
      mkdirSync(join(inject('portsDirectory'), `ports-${first}`));
      return first;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}
