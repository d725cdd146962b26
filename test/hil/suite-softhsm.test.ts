/** The suite for hardware (`npm run test:hil`) on SoftHSM, and what it says to wrong usage. */

import { expect, test } from 'vitest';
import { readInventory } from '../../src/token/index.ts';
import { secret } from '../token/fixture.ts';
import { expectPassed, hil, PIN, pinFile, script, softHsm } from './suite-run.ts';

test('SoftHSM: two slots by themselves, destructive steps included, and five as five nodes', async () => {
  const { module, configuration, slots } = await softHsm(5);
  const environment = { SOFTHSM2_CONF: configuration };
  const on = (some: readonly number[], ...more: readonly string[]) =>
    hil(['--module', module, '--slots', some.join(','), '--pin-file', pinFile(), ...more], environment);
  // What the suite of tokens finds on one slot it finds on all five.
  const tokens = await on(slots.slice(3), '--suite', 'token', '--allow-destructive');
  expectPassed(tokens, 100);
  for (const slot of slots.slice(3)) expect(tokens.output).toContain(`slot ${slot} refuses a wrong PIN`);
  const fleet = await on(slots, '--suite', 'fleet');
  expectPassed(fleet, 2);
  expect(fleet.output).toContain('5 nodes: any minority may be down');
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
