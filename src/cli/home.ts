/** Where a person's own files lie. Imports nothing of ours: the entry loads it before there is a compile cache. */

import { homedir } from 'node:os';

/** Undefined where there is none: HOME is not set, and the system knows no such user, as in containers under any number. */
export function homeFolder(): string | undefined {
  try {
    return homedir();
  } catch {
    return undefined;
  }
}
