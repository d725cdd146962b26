/** Child of the bench: makes a fresh SoftHSM token in the folder named and measures it. Prints JSON. */

import { join } from 'node:path';
import { Secret, utf8 } from '../../src/core/index.ts';
import {
  createTokenKeys,
  findSoftHsm,
  initialiseToken,
  measureToken,
  openToken,
  type Token,
  writeSoftHsmConfiguration,
} from '../../src/token/index.ts';

/** Short rounds, so that some of them meet no other program. */
const CALLS = 40;
const ROUNDS = 30;

const [directory] = process.argv.slice(2);
const module = findSoftHsm();
if (directory === undefined || module === undefined) throw new Error('usage: token-rates.ts FOLDER, with SoftHSM');
// Before the module is opened: it reads its configuration once.
process.env.SOFTHSM2_CONF = writeSoftHsmConfiguration(join(directory, 'token'));
const pin = () => new Secret(utf8('1234'));
const place = { module, label: 'bench', fleet: 'bench', node: 'node-1' };
await initialiseToken({ module, label: place.label, soPin: new Secret(utf8('5678')), userPin: pin() });
await createTokenKeys({ ...place, pin: pin() });
const token = await openToken({ ...place, pin: pin() });

/** Microseconds inside the module for each use since `before`. */
function microseconds(before: ReturnType<Token['usage']>): Record<string, number> {
  return Object.fromEntries(
    token.usage().flatMap(({ operation, count, seconds }) => {
      const known = before.find((one) => one.operation === operation);
      const uses = count - (known?.count ?? 0);
      return uses > 0 ? [[operation, (1e6 * (seconds - (known?.seconds ?? 0))) / uses]] : [];
    }),
  );
}

const rounds: { rates: Record<string, number>; microseconds: Record<string, number> }[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const before = token.usage();
  const rates = await measureToken(token, { calls: CALLS });
  rounds.push({
    rates: Object.fromEntries(rates.map(({ operation, perSecond }) => [operation, perSecond])),
    microseconds: microseconds(before),
  });
}
await token.close();
console.log(JSON.stringify({ rounds }));
