/** The suite for hardware (`npm run test:hil`) on SoftHSM, and what it says to wrong usage. */

import { expect, test } from 'vitest';
import { readInventory } from '../../src/token/index.ts';
import { secret } from '../token/fixture.ts';
import { expectPassed, hil, PIN, pinFile, script, softHsm } from './suite-run.ts';

test('SoftHSM: five slots as five nodes, destructive steps included', async () => {
  const { module, configuration, slots } = await softHsm(5);
  const run = await hil(
    ['--module', module, '--slots', slots.join(','), '--pin-file', pinFile(), '--allow-destructive'],
    { SOFTHSM2_CONF: configuration },
  );
  expectPassed(run, 250);
  expect(run.output).toContain('5 nodes: any minority may be down');
  expect(run.output).toContain('refuses a wrong PIN');
  // Nothing is left but the tokens.
  process.env.SOFTHSM2_CONF = configuration;
  const pin = secret(PIN);
  for (const slot of slots) {
    const inventory = await readInventory({ module, login: { slot, pin } });
    expect(inventory.slots.find(({ number }) => number === slot)?.token?.objects).toEqual([]);
  }
});

test.each([
  [[], /name a PKCS#11 module/],
  [['--module', script, '--slot', '1'], /no file with the PIN/],
  [['--module', script, '--slots', '1,1', '--pin-file', script], /each slot once/],
  [['--module', script, '--slot', 'x', '--pin-file', script], /by their numbers/],
])('wrong usage is told before anything is touched: %j', async (words, problem) => {
  const { code, output } = await hil(words, {});
  expect(code).toBe(2);
  expect(output).toMatch(problem);
});
