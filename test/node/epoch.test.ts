/** Changes of membership: leaving an epoch, joining the next, and what of the old one still counts (section 7). */

import { describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../src/core/index.ts';
import { CONTENT, type Fleet, membershipDigest, successorOf } from '../../src/protocol/index.ts';
import { MemoryKeyValueStore } from '../../src/store/index.ts';
import { SoftwareToken } from '../../src/token/index.ts';
import { InProcessFleet } from './in-process.ts';

const secret = utf8('a backup key of no importance');

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof HoldfastError)) throw new Error(`expected a refusal, got ${String(error)}`);
  return error.code;
}

async function enrolled(n: number): Promise<InProcessFleet> {
  const fleet = await InProcessFleet.create(n);
  await (await fleet.client('alice')).enrol('4711', secret);
  return fleet;
}

/** What a node exports of every record that it knows. */
async function everything(fleet: InProcessFleet, node: number): Promise<(Uint8Array | undefined)[]> {
  const records = await Promise.all(['alice', 'bob'].map((subject) => fleet.record(subject)));
  return Promise.all(records.map(async (record) => (await fleet.send(node, { kind: 'export', record })).content));
}

describe.each([3, 5])('a fleet of %i nodes whose node 2 lost its token', (n) => {
  it('goes on with a new one: the secret is there, and enrolled anew with all shares', async () => {
    const fleet = await enrolled(n);
    await fleet.replace(2);
    expect(fleet.phases()).toEqual(Array.from({ length: n }, () => 'serving'));

    const before = await (await fleet.client('alice')).status();
    expect(before).toMatchObject({ state: 'active', generation: 1, epoch: 1, shares: n - 1 });
    const recovered = await (await fleet.client('alice')).recover('4711');
    expect(recovered.secret.reveal()).toEqual(secret);
    expect(recovered).toMatchObject({ reenrolled: true, generation: 2, epoch: 2, degraded: false, faultyNodes: [] });
    const after = await (await fleet.client('alice')).status();
    expect(after).toMatchObject({ generation: 2, epoch: 2, shares: n });

    // From then on it needs none of the nodes' old shares.
    const again = await (await fleet.client('alice')).recover('4711');
    expect(again).toMatchObject({ reenrolled: false, generation: 2 });
    expect(again.secret.reveal()).toEqual(secret);
  });

  it('has forgotten no guess', async () => {
    const fleet = await enrolled(n);
    const guesses = 3;
    for (let i = 0; i < guesses; i++) {
      expect(await codeOf((await fleet.client('alice')).recover(`wrong ${i}`))).toBe('wrong_pin');
    }
    await fleet.replace(2);
    expect(await (await fleet.client('alice')).status()).toMatchObject({
      attemptsSinceSuccess: guesses,
      attemptsLeft: 10 - guesses,
    });
    for (let i = guesses; i < 10; i++) {
      expect(await codeOf((await fleet.client('alice')).recover(`wrong ${i}`))).toBe('wrong_pin');
    }
    expect(await codeOf((await fleet.client('alice')).recover('4711'))).toBe('spent');
  });
});

describe('a new epoch', () => {
  it('does not serve while fewer than t nodes have left the old one', async () => {
    const fleet = await enrolled(5);
    const next = fleet.successor(2);
    await fleet.leave(next, 1, 3);
    await fleet.adopt(next);
    for (const node of [1, 2, 3]) await fleet.start(node);
    await fleet.settle();
    expect(fleet.phases().slice(0, 3)).toEqual(['repairing', 'repairing', 'repairing']);
    const { content } = await fleet.send(2, { kind: 'info' });
    expect(CONTENT.info.decode(content!).reason).toMatch(/joining epoch 2, which needs 3 nodes that left epoch 1/);
  });

  it('serves once t have left, although another never did; that one joins as if it were new', async () => {
    const fleet = await enrolled(5);
    const next = fleet.successor(2);
    fleet.kill(5);
    await fleet.leave(next, 1, 3, 4);
    await fleet.adopt(next);
    for (const node of [1, 2, 3, 4]) await fleet.start(node);
    await fleet.settle();
    expect(fleet.phases()).toEqual(['serving', 'serving', 'serving', 'serving', undefined]);
    await fleet.start(5);
    await fleet.settle();
    expect(fleet.phases()[4]).toBe('serving');
    expect((await (await fleet.client('alice')).recover('4711')).secret.reveal()).toEqual(secret);
  });

  it('is joined by whoever lost its store in it, with the others’ help, although none of them need have left', async () => {
    const fleet = await enrolled(3);
    await fleet.replace(2);
    for (const node of [1, 2]) {
      fleet.kill(node);
      fleet.members[node - 1]!.store.restore(new MemoryKeyValueStore().snapshot());
      await fleet.start(node);
      await fleet.settle();
      expect(fleet.phases()).toEqual(['serving', 'serving', 'serving']);
    }
    expect((await (await fleet.client('alice')).recover('4711')).secret.reveal()).toEqual(secret);
  });

  it('follows another: records of the first one still open in the third', async () => {
    const fleet = await enrolled(5);
    await fleet.replace(2);
    await fleet.replace(4);
    expect(fleet.fleet.earlier?.map(({ epoch }) => epoch)).toEqual([1, 2]);
    const recovered = await (await fleet.client('alice')).recover('4711');
    expect(recovered.secret.reveal()).toEqual(secret);
    expect(recovered).toMatchObject({ reenrolled: true, epoch: 3 });
  });

  it('takes what was confirmed, destroyed and deleted in the old one', async () => {
    const fleet = await enrolled(3);
    await codeOf((await fleet.client('alice')).recover('wrong'));
    await (await fleet.client('alice')).recover('4711');
    await (await fleet.client('bob')).enrol('1', secret);
    await (await fleet.client('bob')).delete('1');
    await fleet.replace(3);
    expect(await (await fleet.client('alice')).status()).toMatchObject({ attemptsSinceSuccess: 0, attemptsLeft: 10 });
    expect(await (await fleet.client('bob')).status()).toMatchObject({ state: 'destroyed' });
    // The new node has it all, with its proofs.
    const exported = await Promise.all([1, 3].map((node) => everything(fleet, node)));
    expect(exported[1]).toEqual(exported[0]);
  });

  it('enrols nothing anew where the user token does not allow it, and gives the secret all the same', async () => {
    const fleet = await enrolled(3);
    await fleet.replace(2);
    const client = await fleet.client('alice', { operations: ['status', 'attempt', 'confirm'] });
    const recovered = await client.recover('4711');
    expect(recovered).toMatchObject({ reenrolled: false, epoch: 1, generation: 1 });
    expect(recovered.secret.reveal()).toEqual(secret);
  });
});

describe('a node that has left', () => {
  it('answers nothing any more, and does not start again in the epoch that it left', async () => {
    const fleet = await enrolled(3);
    const next = fleet.successor(2);
    const { node } = fleet.members[0]!;
    await node!.leave(next.fleet);
    expect((await node!.handle({ kind: 'head', record: new Uint8Array(32) })).code).toBe('not_ready');
    expect((await node!.handle({ kind: 'compare', prefix: new Uint8Array(0) })).code).toBe('not_ready');
    fleet.kill(1);
    await expect(fleet.start(1)).rejects.toMatchObject({ code: 'other_epoch', message: /left epoch 1/ });
  });

  it('does not go to another successor', async () => {
    const fleet = await enrolled(3);
    const [one, other] = [fleet.successor(2), fleet.successor(2)];
    await fleet.leave(one, 1);
    await fleet.adopt(other);
    await expect(fleet.start(1)).rejects.toMatchObject({ code: 'other_epoch', message: /for other nodes/ });
  });

  it('helps no node that was put back to before it left to serve in the old epoch again', async () => {
    const fleet = await enrolled(3);
    const first = fleet.members[0]!;
    const [disk, token] = [first.store.snapshot(), first.token.snapshot()];
    const next = fleet.successor(2);
    await fleet.leave(next, 1, 3);
    first.store.restore(disk);
    first.token.rollback(token);
    await fleet.start(1);
    await fleet.settle();
    expect(fleet.phases()).toEqual(['repairing', 'serving', undefined]);
  });

  it('must have served: one that still repairs may have forgotten something', async () => {
    const fleet = await enrolled(3);
    for (const node of [1, 3]) fleet.kill(node);
    await fleet.start(1);
    expect(await codeOf(fleet.members[0]!.node!.leave(fleet.successor(2).fleet))).toBe('not_ready');
  });

  it('goes only where it is kept, or replaced with enough others kept', async () => {
    const fleet = await enrolled(3);
    const { node } = fleet.members[0]!;
    const { fleet: next } = fleet.successor(2);
    const other = new SoftwareToken().publicKeys;
    const wrong: [Fleet, RegExp][] = [
      [{ ...next, epoch: 3 }, /last earlier epoch|next epoch is 2/],
      [{ ...next, fleet: 'other' }, /another fleet/],
      [{ ...next, earlier: [] }, /does not carry/],
      [{ ...next, nodes: [other, next.nodes[1]!, new SoftwareToken().publicKeys] }, /keeps 0 nodes/],
      [{ ...next, earlier: [{ epoch: 1, nodes: next.nodes }] }, /not what this fleet knows/],
    ];
    for (const [bad, message] of wrong) {
      await expect(node!.leave(bad)).rejects.toMatchObject({ code: 'bad_input', message });
    }
    expect(node!.phase).toBe('serving');
  });
});

describe('the name of a membership', () => {
  it('covers every key of every epoch, and no policy', () => {
    const tokens = Array.from({ length: 3 }, () => new SoftwareToken().publicKeys);
    const policy = { limit: 10 } as Fleet['policy'];
    const fleet = { fleet: 'test', epoch: 1, nodes: tokens, policy } as Fleet;
    const digest = (one: Fleet) => Buffer.from(membershipDigest(one)).toString('hex');
    const changed = { ...fleet, nodes: [tokens[1]!, tokens[0]!, tokens[2]!] };
    expect(digest({ ...fleet, policy: { ...policy, limit: 3 } })).toBe(digest(fleet));
    expect(new Set([fleet, changed, { ...fleet, epoch: 2 }, { ...fleet, earlier: [fleet] }].map(digest)).size).toBe(4);
    expect(() => successorOf(fleet, new Map([[4, tokens[0]!]]))).toThrow('no node 4');
  });
});
