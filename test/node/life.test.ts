/** A record's life through client, coordinator and nodes in one process. */

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { hasty, InProcessFleet } from './in-process.ts';

const secret = utf8('the backup key');

describe('a record', () => {
  it.each([1, 3, 5])('is enrolled and recovered with the right PIN, in a fleet of %i', async (n) => {
    const fleet = await InProcessFleet.create(n);
    const client = await fleet.client('alice');
    await client.enrol('123456', secret);
    const device = await fleet.client('alice');
    const recovered = await device.recover('123456');
    expect(recovered.secret.reveal()).toEqual(secret);
    expect(await device.status()).toMatchObject({ state: 'active', attemptsLeft: 10, attemptsSinceSuccess: 0 });
  });

  it('counts wrong PINs, and gives the budget back for the right one', async () => {
    const fleet = await InProcessFleet.create(5);
    await (await fleet.client('alice')).enrol('123456', secret);
    const device = await fleet.client('alice');
    await expect(device.recover('000000')).rejects.toMatchObject({ code: 'wrong_pin', details: { attemptsLeft: 9 } });
    await expect(device.recover('000001')).rejects.toMatchObject({ code: 'wrong_pin', details: { attemptsLeft: 8 } });
    expect(await device.status()).toMatchObject({ attemptsLeft: 8, attemptsSinceSuccess: 2 });
    const recovered = await device.recover('123456');
    expect(recovered.earlierAttempts).toBe(2);
    expect((await device.status()).attemptsLeft).toBe(10);
  });

  it('is out of reach after ten wrong PINs and then destroyed for good', async () => {
    const fleet = await InProcessFleet.create(5);
    await (await fleet.client('alice')).enrol('123456', secret);
    const device = await fleet.client('alice');
    for (let i = 0; i < 10; i++) await expect(device.recover(`00000${i}`)).rejects.toMatchObject({ code: 'wrong_pin' });
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'spent' });
    await fleet.maintenance.destroySpent();
    expect((await device.status()).state).toBe('destroyed');
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'destroyed' });
    await device.enrol('999999', utf8('another'));
    expect((await device.recover('999999')).secret.reveal()).toEqual(utf8('another'));
  });

  it('moves to a new PIN, and can be deleted by its owner', async () => {
    const fleet = await InProcessFleet.create(5);
    const client = await fleet.client('alice');
    await client.enrol('123456', secret);
    await client.changePin('123456', '654321');
    await expect(client.recover('123456')).rejects.toMatchObject({ code: 'wrong_pin' });
    expect((await client.recover('654321')).secret.reveal()).toEqual(secret);
    await expect(client.enrol('1', secret)).rejects.toMatchObject({ code: 'owner_required' });
    await client.delete('654321');
    expect((await client.status()).state).toBe('destroyed');
  });

  it('survives the loss of a minority, which repairs when it is back', async () => {
    const fleet = await InProcessFleet.create(5);
    const client = await fleet.client('alice', { clock: hasty() });
    await client.enrol('123456', secret);
    fleet.kill(1);
    fleet.kill(2);
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
    await expect(client.recover('1')).rejects.toMatchObject({ code: 'wrong_pin' });
    fleet.kill(3);
    await expect(client.recover('123456')).rejects.toMatchObject({ code: 'no_majority' });
    for (const node of [1, 2, 3]) await fleet.start(node);
    await fleet.settle();
    expect(fleet.members.map(({ node }) => node!.phase)).toEqual(Array(5).fill('serving'));
    fleet.kill(4);
    fleet.kill(5);
    expect((await client.recover('123456')).earlierAttempts).toBe(1);
  });

  it('is opened in no bucket that somebody has filled with records, while those there go on', async () => {
    const fleet = await InProcessFleet.create(3);
    const client = await fleet.client('alice');
    await client.enrol('123456', secret);
    fleet.fullBucket = 1;
    for (const node of [1, 2, 3]) await fleet.start(node);
    await fleet.settle();
    await client.changePin('123456', '654321');
    expect((await client.recover('654321')).secret.reveal()).toEqual(secret);
    // As full as it gets: even one without any record.
    fleet.fullBucket = 0;
    for (const node of [1, 2, 3]) await fleet.start(node);
    await fleet.settle();
    expect((await client.recover('654321')).secret.reveal()).toEqual(secret);
    await expect((await fleet.client('bob', { clock: hasty() })).enrol('1', secret)).rejects.toMatchObject({
      code: 'no_majority',
    });
  });

  it('names a node that answers wrongly', async () => {
    const fleet = await InProcessFleet.create(5);
    const client = await fleet.client('alice');
    await client.enrol('123456', secret);
    // The nodes that vote first are asked first: it is one of them.
    fleet.tamper = (node, request, answer) =>
      node > 3 && request.kind === 'submit' && request.request.operation === 'attempt' ? undefined : answer;
    const liar = fleet.members[1]!.token;
    const evaluate = liar.evaluate.bind(liar);
    liar.evaluate = (input, element) => evaluate(Uint8Array.of(...input, 1), element);
    expect((await client.recover('123456')).faultyNodes).toEqual([2]);
  });
});
