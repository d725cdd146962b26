/** Writes the golden files anew, for an encoding that is new or whose version has changed. Look at the difference. */

import { writeFileSync } from 'node:fs';
import { GOLDEN } from './cases.ts';

for (const [name, bytes] of Object.entries(GOLDEN)) {
  const lines = bytes.toString('hex').match(/.{1,96}/g) ?? [];
  writeFileSync(new URL(`${name}.hex`, import.meta.url), `${lines.join('\n')}\n`);
}
