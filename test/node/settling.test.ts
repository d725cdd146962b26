/** A repair whose last write fails has not been made (docs/protocol.md, section 7). */

import { afterEach, describe, expect, it, vi } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { Committer } from '../../src/node/committer.ts';
import { emptyRecord } from '../../src/protocol/index.ts';
import { InProcessFleet } from './in-process.ts';

afterEach(() => vi.restoreAllMocks());

describe('a repair whose bars could not be written', () => {
  it('does not count: the node votes for no other element at a number that it has forgotten', async () => {
    const fleet = await InProcessFleet.create(3);
    const client = await fleet.client('alice');
    await client.enrol('123456', utf8('secret'));
    const member = fleet.members[0]!;
    const without = async (node: number, act: () => Promise<void>) => {
      const other = fleet.members[node - 1]!;
      const running = other.node;
      other.node = undefined;
      await act();
      other.node = running;
    };
    const guess = (attemptsLeft: number) => async () => {
      await expect(client.recover('000000')).rejects.toMatchObject({ code: 'wrong_pin', details: { attemptsLeft } });
    };
    const disk = member.store.snapshot();
    await without(3, guess(9));
    member.store.restore(disk);
    let failed = 0;
    const update = Committer.prototype.update;
    vi.spyOn(Committer.prototype, 'update').mockImplementation(function (this: Committer, record, decide) {
      const barred = decide(this.record(record) ?? emptyRecord(record)).state.active?.barred;
      if (barred && failed++ === 0) return Promise.reject(new Error('no space, once'));
      return update.call(this, record, decide);
    });
    await fleet.start(1);
    await fleet.settle();
    expect(failed).toBeGreaterThan(0);
    // The number that nodes 1 and 2 certified is not certified again for another element.
    await without(2, guess(8));
  });
});
