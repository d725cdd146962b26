/** What a person is told of the attempts left when nodes differ, and that differing nodes grant none (docs/protocol.md, section 6). */

import { describe, expect, it } from 'vitest';
import { type ErrorCode, HoldfastError, utf8 } from '../../src/core/index.ts';
import { hasty, InProcessFleet } from '../node/in-process.ts';

const LIMIT = 4;

async function enrolled() {
  const fleet = await InProcessFleet.create(5, { limit: LIMIT, lifetimeLimit: 50 });
  const client = await fleet.client('alice', { clock: hasty() });
  await client.enrol('123456', utf8('the backup key'));
  return { fleet, client };
}

type Client = Awaited<ReturnType<typeof enrolled>>['client'];

async function guess(client: Client): Promise<ErrorCode> {
  const failed = await client.recover('000000').then(
    () => new Error('a wrong PIN opened the record'),
    (error: unknown) => error,
  );
  if (failed instanceof HoldfastError) return failed.code;
  throw failed;
}

/** The nodes to which nothing gets through. */
function cut(fleet: InProcessFleet, ...nodes: readonly number[]): void {
  fleet.tamper = (node, _, answer) => (nodes.includes(node) ? undefined : answer);
  const send = InProcessFleet.prototype.send.bind(fleet);
  fleet.send = async (node, request) => {
    if (nodes.includes(node)) throw new HoldfastError('no_majority', 'cut');
    return await send(node, request);
  };
}

describe('after a cut has healed', () => {
  it('one head that knows of a guess is enough to say that fewer are left', async () => {
    const { fleet, client } = await enrolled();
    cut(fleet, 4, 5);
    expect(await guess(client)).toBe('wrong_pin');
    cut(fleet, 1, 2);
    expect(await client.status()).toMatchObject({ attemptsLeft: LIMIT - 1, attemptsSinceSuccess: 1, state: 'active' });
    expect(await client.status()).toMatchObject({ lifetimeLeft: 50 - 2 });
  });

  it('no guess more than the limit is answered, whichever majority is asked', async () => {
    const { fleet, client } = await enrolled();
    const answered: number[] = [];
    const sides = [
      [4, 5],
      [1, 2],
      [1, 4],
      [2, 3],
    ];
    for (let round = 0; round < 4 * LIMIT; round++) {
      cut(fleet, ...sides[round % sides.length]!);
      const before = await client.status();
      const code = await guess(client);
      if (code === 'wrong_pin') answered.push(round);
      // Never said to be none, and then another one was answered.
      if (before.attemptsLeft === 0) expect(code).not.toBe('wrong_pin');
      expect(answered.length).toBeLessThanOrEqual(LIMIT);
    }
    expect(answered.length).toBeGreaterThan(1);
  });

  it('is spent by the word of a majority only, and then says so', async () => {
    const { fleet, client } = await enrolled();
    cut(fleet, 4, 5);
    for (let i = 0; i < LIMIT; i++) expect(await guess(client)).toBe('wrong_pin');
    expect(await client.status()).toMatchObject({ attemptsLeft: 0, state: 'spent' });
    cut(fleet, 1, 2);
    // One of these three knows of the guesses: none may be left, and it is not for one node to say so.
    expect(await client.status()).toMatchObject({ attemptsLeft: 0, state: 'active' });
    expect(await guess(client)).not.toBe('wrong_pin');
  });

  it('a vote that one node alone has counted takes nothing from what is left where all answer', async () => {
    const { fleet, client } = await enrolled();
    cut(fleet, 2, 3, 4, 5);
    expect(await guess(client)).toBe('no_majority');
    cut(fleet);
    expect(await client.status()).toMatchObject({ attemptsLeft: LIMIT, attemptsSinceSuccess: 0 });
  });
});
