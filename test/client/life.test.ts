/** Cancelling, racing devices, takeovers and degraded enrolments, through the real coordinator and nodes. */

import { describe, expect, it } from 'vitest';
import { bytesToHex, utf8 } from '../../src/core/index.ts';
import { hasty, InProcessFleet } from '../node/in-process.ts';

const secret = utf8('the backup key');
const other = utf8('another key');

/** Counts requests and aborts before the `stop`-th is sent, or after it was answered. */
function stopAt(fleet: InProcessFleet, stop: number, when: 'before' | 'after') {
  const controller = new AbortController();
  let sent = 0;
  fleet.intercept = async (_, next) => {
    const last = sent++ === stop;
    if (last && when === 'before') {
      controller.abort();
      controller.signal.throwIfAborted();
    }
    const answer = await next();
    if (last) controller.abort();
    return answer;
  };
  return { signal: controller.signal, sent: () => sent };
}

describe('cancelling', () => {
  it.each(['before', 'after'] as const)(
    'an enrolment %s any request leaves a record that can be used',
    async (when) => {
      const fleet = await InProcessFleet.create(3);
      let done = false;
      for (let stop = 0; !done; stop++) {
        const user = `user ${stop}`;
        const client = await fleet.client(user);
        const { signal, sent } = stopAt(fleet, stop, when);
        const outcome = await client.enrol('1234', secret, { signal }).catch((error: unknown) => error);
        fleet.intercept = (_, next) => next();
        done = sent() <= stop;
        const status = await client.status();
        expect(['none', 'active']).toContain(status.state);
        if (status.state === 'none') {
          expect(outcome).toMatchObject({ code: 'cancelled' });
          await client.enrol('1234', secret);
        }
        expect((await client.recover('1234')).secret.reveal()).toEqual(secret);
        expect(stop).toBeLessThan(20);
      }
    },
  );

  it('a change of PIN after any request leaves the old PIN or the new one, and the secret', async () => {
    const fleet = await InProcessFleet.create(3);
    let done = false;
    const opened = new Set<string>();
    for (let stop = 0; !done; stop++) {
      const client = await fleet.client(`user ${stop}`);
      await client.enrol('old', secret);
      const { signal, sent } = stopAt(fleet, stop, 'after');
      await client.changePin('old', 'new', { signal }).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'cancelled' });
      });
      fleet.intercept = (_, next) => next();
      done = sent() <= stop;
      const pin = (await client.status()).generation === 1 ? 'old' : 'new';
      opened.add(pin);
      expect((await client.recover(pin)).secret.reveal()).toEqual(secret);
      expect(stop).toBeLessThan(24);
    }
    expect(opened).toEqual(new Set(['old', 'new']));
  });

  it('before the first request sends nothing', async () => {
    const fleet = await InProcessFleet.create(1);
    const client = await fleet.client('alice');
    const signal = AbortSignal.abort();
    const { sent } = stopAt(fleet, -1, 'after');
    await expect(client.enrol('1', secret, { signal })).rejects.toMatchObject({ code: 'cancelled' });
    await expect(client.status({ signal })).rejects.toMatchObject({ code: 'cancelled' });
    expect(sent()).toBe(0);
  });
});

describe('devices at once', () => {
  it('enrolling: at most one succeeds, and what it enrolled is what is there', async () => {
    const fleet = await InProcessFleet.create(3);
    const devices = [await fleet.client('alice'), await fleet.client('alice')];
    const outcomes = await Promise.allSettled(
      devices.map((device, i) => device.enrol(`pin ${i}`, i === 0 ? secret : other)),
    );
    const winners = outcomes.flatMap(({ status }, i) => (status === 'fulfilled' ? [i] : []));
    expect(winners.length).toBeLessThanOrEqual(1);
    const status = await devices[0]!.status();
    if (winners.length === 0 && status.state === 'none') await devices[0]!.enrol('pin 0', secret);
    const opens: number[] = [];
    for (const i of [0, 1]) {
      const recovered = await devices[0]!.recover(`pin ${i}`).catch(() => undefined);
      if (recovered) opens.push(i);
      if (recovered) expect(recovered.secret.reveal()).toEqual(i === 0 ? secret : other);
    }
    expect(opens).toHaveLength(1);
    if (winners.length === 1) expect(opens).toEqual(winners);
  });

  it('guessing wrong PINs: never more than ten elements get a majority’s evaluations', async () => {
    const fleet = await InProcessFleet.create(3);
    await (await fleet.client('alice')).enrol('123456', secret);
    const evaluated = new Map<string, Set<number>>();
    fleet.members.forEach(({ token }, i) => {
      const evaluate = token.evaluate.bind(token);
      token.evaluate = (input, element) => {
        const name = bytesToHex(element);
        evaluated.set(name, (evaluated.get(name) ?? new Set()).add(i));
        return evaluate(input, element);
      };
    });
    const devices = await Promise.all(Array.from({ length: 10 }, () => fleet.client('alice')));
    const guess = (device: (typeof devices)[number], pin: string) =>
      device.recover(pin).catch((error: unknown) => error);
    const first = await Promise.all(devices.map((device, i) => guess(device, `wrong ${i}`)));
    for (let i = 0; i < 12; i++) await guess(devices[0]!, `more ${i}`);
    expect(first.filter((outcome) => (outcome as { code?: string }).code === 'wrong_pin').length).toBeGreaterThan(0);
    const enough = [...evaluated.values()].filter((nodes) => nodes.size >= 2);
    expect(enough.length).toBeGreaterThan(0);
    expect(enough.length).toBeLessThanOrEqual(10);
    await expect(devices[0]!.recover('123456')).rejects.toMatchObject({ code: 'spent' });
  });
});

describe('a takeover', () => {
  it('is refused where it is off', async () => {
    const fleet = await InProcessFleet.create(3);
    const client = await fleet.client('alice');
    await client.enrol('old', secret);
    await expect(client.enrol('new', other, { takeover: true })).rejects.toMatchObject({ code: 'owner_required' });
    expect((await client.recover('old')).secret.reveal()).toEqual(secret);
  });

  it('replaces the record at once where it is immediate, and shows', async () => {
    const fleet = await InProcessFleet.create(3, { takeover: { kind: 'immediate' } });
    const client = await fleet.client('alice');
    await client.enrol('old', secret);
    await client.enrol('new', other, { takeover: true });
    expect(await client.status()).toMatchObject({ takenOver: true, takeoverPending: false, generation: 2 });
    const recovered = await client.recover('new');
    expect(recovered.takenOver).toBe(true);
    expect(recovered.secret.reveal()).toEqual(other);
    await expect(client.recover('old')).rejects.toMatchObject({ code: 'wrong_pin' });
    // The next change by its owner is no takeover any more.
    await client.changePin('new', 'newer');
    expect((await client.status()).takenOver).toBe(false);
  });

  it('of nothing is an ordinary enrolment', async () => {
    const fleet = await InProcessFleet.create(3);
    const client = await fleet.client('alice');
    await client.enrol('1', secret, { takeover: true });
    expect((await client.recover('1')).takenOver).toBe(false);
  });

  it('can be cancelled by the owner while it waits, and the record stays', async () => {
    const fleet = await InProcessFleet.create(3, { takeover: { kind: 'delayed', seconds: 600 } });
    const client = await fleet.client('alice');
    await client.enrol('old', secret);
    const thief = await fleet.client('alice');
    const controller = new AbortController();
    const refused = new Promise<void>((resolve) => {
      fleet.intercept = async (request, next) => {
        const answer = await next();
        if (request.operation === 'stage') resolve();
        return answer;
      };
    });
    const { signal } = controller;
    const stolen = thief.enrol('new', other, { takeover: true, signal }).catch((error: unknown) => error);
    await refused;
    expect((await client.status()).takeoverPending).toBe(true);
    expect(await client.cancelTakeover('old')).toBe(true);
    expect((await client.status()).takeoverPending).toBe(false);
    expect(await client.cancelTakeover('old')).toBe(false);
    controller.abort();
    expect(await stolen).toMatchObject({ code: expect.stringMatching(/cancelled|owner_required/) });
    expect((await client.recover('old')).secret.reveal()).toEqual(secret);
    await client.changePin('old', 'own');
    expect((await client.recover('own')).takenOver).toBe(false);
  });

  it('goes through when its delay has passed', async () => {
    const fleet = await InProcessFleet.create(3, { takeover: { kind: 'delayed', seconds: 1 } });
    const client = await fleet.client('alice');
    await client.enrol('old', secret);
    await client.enrol('new', other, { takeover: true });
    expect((await client.recover('new')).takenOver).toBe(true);
  });
});

describe('with a node down', () => {
  it('an enrolment is degraded where the policy allows it, and mended by the next one', async () => {
    const fleet = await InProcessFleet.create(5, { minimumShares: 4 });
    const client = await fleet.client('alice');
    fleet.kill(5);
    expect(await client.enrol('1', secret)).toMatchObject({ degraded: true, nodes: [1, 2, 3, 4] });
    expect((await client.recover('1')).degraded).toBe(true);
    await fleet.start(5);
    await fleet.settle();
    // The node without a share votes all the same.
    fleet.kill(1);
    expect((await client.recover('1')).secret.reveal()).toEqual(secret);
    await fleet.start(1);
    await fleet.settle();
    expect(await client.changePin('1', '2')).toMatchObject({ degraded: false });
    expect(await client.recover('2')).toMatchObject({ degraded: false, generation: 2 });
  });

  it('fewer shares than before need the person’s consent', async () => {
    const fleet = await InProcessFleet.create(5, { minimumShares: 4 });
    const client = await fleet.client('alice', { clock: hasty() });
    await client.enrol('1', secret);
    fleet.kill(5);
    await expect(client.changePin('1', '2')).rejects.toMatchObject({ code: 'no_majority' });
    expect((await client.recover('1')).secret.reveal()).toEqual(secret);
    expect(await client.changePin('1', '2', { acceptDegraded: true })).toMatchObject({ degraded: true });
  });

  it('an enrolment is refused where the policy wants all', async () => {
    const fleet = await InProcessFleet.create(3);
    const client = await fleet.client('alice', { clock: hasty() });
    fleet.kill(2);
    await expect(client.enrol('1', secret)).rejects.toMatchObject({ code: 'no_majority' });
    expect((await client.status()).state).toBe('none');
  });
});
