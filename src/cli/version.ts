/** Holdfast's version, from package.json, which lies two folders up from both src/cli and dist/cli. */

import { readFileSync } from 'node:fs';

export function version(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(file) as { version: string }).version;
}
