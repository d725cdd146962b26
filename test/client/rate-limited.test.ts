/** A client that is turned away because of too many requests says so while it waits, and at the end when to come back. */

import { describe, expect, it } from 'vitest';
import { type ClientWait, VaultClient } from '../../src/client/index.ts';
import { type Clock, HoldfastError, systemClock, utf8 } from '../../src/core/index.ts';
import { InProcessFleet } from '../node/in-process.ts';

const PIN = '123456';
const BEGIN = Date.UTC(2026, 0, 1);

/** Time that stands still but for waiting. */
class Patient implements Clock {
  time = BEGIN;
  now = () => this.time;
  sleep = async (milliseconds: number) => {
    // Statements have whole milliseconds.
    this.time += Math.ceil(milliseconds);
  };
}

/** A fleet whose nodes take so many requests of a record in ten seconds of the client's own time. */
async function scene(requestsPerRecord: number) {
  const fleet = await InProcessFleet.create(3);
  await (await fleet.client('alice')).enrol(PIN, utf8('the secret'));
  const clock = new Patient();
  // Moves with the client's own time only, from the middle of the time for which user tokens are good that are issued now.
  const begin = Date.now() + 300_000;
  fleet.nodeClock = { ...systemClock, now: () => begin + clock.time - BEGIN };
  fleet.requestsPerRecord = requestsPerRecord;
  for (const node of [1, 2, 3]) await fleet.start(node);
  await fleet.settle();
  const waits: ClientWait[] = [];
  const { record, ...credential } = await fleet.credential('alice');
  const client = (patience: number) =>
    new VaultClient({
      ...{ fleet: fleet.fleet, record, clock, patience },
      transport: { send: (request) => fleet.intercept(request, () => fleet.coordinator.handle(request)) },
      credential: async () => credential,
      onWait: (wait) => waits.push(wait),
    });
  return { fleet, clock, waits, client };
}

const failure = async (call: Promise<unknown>): Promise<HoldfastError> => {
  const thrown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (thrown instanceof HoldfastError) return thrown;
  throw new Error('no HoldfastError came');
};

describe('turned away by the nodes', () => {
  it('it tells of each wait and goes on by itself once the ten seconds are over', async () => {
    const { clock, waits, client } = await scene(5);
    for (let i = 0; i < 5; i++) await client(0).status();
    await client(15_000).status();
    expect(waits.length).toBeGreaterThan(2);
    expect(new Set(waits.map(({ code }) => code))).toEqual(new Set(['rate_limited']));
    expect(waits[0]).toEqual({ code: 'rate_limited', until: BEGIN + 100 });
    expect(waits.at(-1)?.until).toBe(clock.now());
    expect(clock.now() - BEGIN).toBeLessThanOrEqual(12_000);
  });

  it('it says at the end what it was, and when to try again', async () => {
    const { clock, client } = await scene(2);
    for (let i = 0; i < 2; i++) await client(0).status();
    const error = await failure(client(3_000).recover(PIN));
    expect(error).toMatchObject({ code: 'rate_limited', retryable: true, details: { retryAt: clock.now() + 10_000 } });
    expect(error.message).toContain('too many lately');
  });

  it('it does so for a guess that is counted and not answered, too, which it keeps', async () => {
    const { fleet, clock, client } = await scene(10_000);
    fleet.intercept = async (request, next) => {
      const answer = await next();
      if (request.operation !== 'attempt') return answer;
      if (turnedAway++ > 0) throw new HoldfastError('rate_limited', 'busy', { details: { retryAfter: 3_600 } });
      return { ...answer, nodes: answer.nodes.map((part) => ({ ...part, sealed: undefined })) };
    };
    let turnedAway = 0;
    const device = client(1_000);
    const error = await failure(device.recover(PIN));
    expect(error).toMatchObject({ code: 'no_majority', details: { attempt: 2, retryAt: clock.now() + 3_600_000 } });
    expect(error.message).toContain('rate_limited');
    fleet.intercept = (_, next) => next();
    expect(await device.recover(PIN)).toMatchObject({ earlierAttempts: 0 });
  });

  it('fewer than would make a majority are no reason: another one is missing, and that is said', async () => {
    const { fleet, client } = await scene(10_000);
    fleet.intercept = async (_, next) => {
      const answer = await next();
      const codes = ['rate_limited', 'not_ready', 'not_ready'];
      const bare = { statement: undefined, head: undefined, sealed: undefined };
      return { ...answer, nodes: codes.map((code, i) => ({ ...bare, node: i + 1, code })) };
    };
    expect(await failure(client(0).status())).toMatchObject({ code: 'no_majority' });
  });
});

describe('turned away by a coordinator', () => {
  async function away(retryAfter: number | undefined, patience: number) {
    const { fleet, clock, waits, client } = await scene(10_000);
    let times = 0;
    fleet.intercept = async (_, next) => {
      if (times++ > 0 && clock.now() >= BEGIN + (retryAfter ?? 0) * 1000) return next();
      const details = retryAfter === undefined ? {} : { retryAfter };
      throw new HoldfastError('rate_limited', 'the coordinator refused', { details });
    };
    return { clock, waits, client: client(patience), times: () => times };
  }

  it('it comes back when it was told to, not before', async () => {
    const { waits, client, times } = await away(7, 15_000);
    await client.status();
    expect(waits).toEqual([{ code: 'rate_limited', until: BEGIN + 7_000 }]);
    expect(times()).toBe(2);
  });

  it('it asks now and then where that is later than it may wait, and says when', async () => {
    const { clock, waits, client, times } = await away(3_600, 5_000);
    const error = await failure(client.status());
    expect(error).toMatchObject({ code: 'rate_limited', details: { retryAt: clock.now() + 3_600_000 } });
    expect(times()).toBe(waits.length + 1);
    expect(times()).toBeGreaterThan(3);
    expect(clock.now()).toBeLessThanOrEqual(BEGIN + 5_000);
  });

  it('it asks again soon where it was not told when', async () => {
    const { waits, client } = await away(undefined, 15_000);
    await client.status();
    expect(waits).toEqual([{ code: 'rate_limited', until: BEGIN + 100 }]);
  });
});
