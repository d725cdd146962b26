/** The tenant that a fleet on one machine has for development. */

import { readFile } from 'node:fs/promises';
import { HoldfastError } from '../core/index.ts';
import type { FleetFolder } from './folder.ts';

/** The development tenant, to issue user tokens with. @throws HoldfastError `usage` where there is none. */
export async function readTenantKey(folder: FleetFolder): Promise<string> {
  try {
    return await readFile(folder.tenantKey, 'utf8');
  } catch (cause) {
    throw new HoldfastError('usage', `${folder.path} has no development tenant; make user tokens with your own`, {
      cause,
    });
  }
}
