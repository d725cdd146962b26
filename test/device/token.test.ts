/** The shared suite of tokens on each slot, with one thread and with two, and what a wrong PIN does. */

import { afterAll, describe, expect, it } from 'vitest';
import { createTokenKeys, examineToken, openToken } from '../../src/token/index.ts';
import { tokenSuite } from '../token/suite.ts';
import { accessTo, clean, devices, throwawayName } from './devices.ts';

const fleet = throwawayName();
afterAll(() => clean(fleet));

for (const slot of devices.slots) {
  const place = (node: string, workers = 1) => ({ ...accessTo(slot), fleet, node, workers });

  for (const workers of [1, 2]) {
    tokenSuite(
      `slot ${slot.slot}, ${workers} thread(s)`,
      async () => {
        const options = place(`node-${workers}`, workers);
        await createTokenKeys(options);
        let token = await openToken(options);
        return {
          token,
          reopen: async () => {
            await token.close();
            token = await openToken(options);
            return token;
          },
        };
      },
      { dated: false },
    );
  }

  describe(`slot ${slot.slot}`, () => {
    it('suits a vault node, and is left as it was', async () => {
      const report = await examineToken(accessTo(slot));
      expect(report.verdicts.node.reasons).toEqual([]);
      expect(report.left).toEqual([]);
    });

    it.runIf(devices.destructive)('refuses a wrong PIN with one try, and takes the right one after it', async () => {
      const wrong = { ...place('node-9', 2), pin: accessTo(slot, '00000000').pin };
      await expect(openToken(wrong)).rejects.toMatchObject({ code: 'token_pin_incorrect' });
      await expect(openToken(place('node-9'))).rejects.toMatchObject({ code: 'token_unsuitable' });
    });
  });
}
