/** Whether two folders hold the same: names, kinds, contents, permissions, modification times, targets of links. */

import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** Milliseconds; tar keeps times to about a microsecond, some file systems less exactly. */
const SAME_TIME = 2;

/** What differs, one line each; empty if nothing does. */
export function compareTrees(expected: string, actual: string, name = '.'): string[] {
  let a: ReturnType<typeof lstatSync>;
  let b: ReturnType<typeof lstatSync>;
  try {
    a = lstatSync(expected);
    b = lstatSync(actual);
  } catch (error) {
    return [`${name}: ${(error as NodeJS.ErrnoException).code}`];
  }
  if ((a.mode & 0o170000) !== (b.mode & 0o170000)) return [`${name}: another kind of file`];
  if (a.isSymbolicLink()) {
    return readlinkSync(expected) === readlinkSync(actual) ? [] : [`${name}: another target`];
  }
  const differences: string[] = [];
  if ((a.mode & 0o777) !== (b.mode & 0o777)) differences.push(`${name}: another mode`);
  if (Math.abs(a.mtimeMs - b.mtimeMs) > SAME_TIME) differences.push(`${name}: another time`);
  if (a.isFile() && !readFileSync(expected).equals(readFileSync(actual))) differences.push(`${name}: another content`);
  if (a.isDirectory()) {
    const names = new Set([...readdirSync(expected), ...readdirSync(actual)]);
    for (const inner of [...names].sort()) {
      differences.push(...compareTrees(join(expected, inner), join(actual, inner), join(name, inner)));
    }
  }
  return differences;
}
