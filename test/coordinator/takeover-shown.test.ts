/** An owner who asks an honest coordinator sees a takeover while there is the time to cancel it (docs/protocol.md, section 6). */

import { expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { InProcessFleet } from '../node/in-process.ts';

const secret = utf8('the secret');

it('is shown and cancelled whichever nodes are asked first, also where one hides it and one has missed it', async () => {
  const fleet = await InProcessFleet.create(5, { minimumShares: 4, takeover: { kind: 'delayed', seconds: 600 } });
  const owner = await fleet.client('alice');
  await owner.enrol('1234', secret);
  const hidden = new Map<number, Uint8Array>();
  fleet.tamper = (node, request, answer) => {
    if (request.kind === 'submit' && request.request.operation === 'status' && answer.head) {
      if (!hidden.has(node)) hidden.set(node, answer.head);
    }
    return answer;
  };
  for (let i = 0; i < 5; i++) expect((await owner.status()).takeoverPending).toBe(false);
  fleet.kill(5);
  const controller = new AbortController();
  const waiting = new Promise<void>((resolve) => {
    fleet.intercept = async (request, next) => {
      const answer = await next();
      if (request.operation === 'stage') resolve();
      return answer;
    };
  });
  const thief = await fleet.client('alice');
  const { signal } = controller;
  const stolen = thief
    .enrol('9', utf8('other'), { takeover: true, acceptDegraded: true, signal })
    .catch((error: unknown) => error);
  await waiting;
  controller.abort();
  expect(await stolen).toMatchObject({ code: 'cancelled' });
  await fleet.start(5);
  await fleet.settle();
  fleet.tamper = (node, request, answer) =>
    node === 4 && request.kind === 'submit' && request.request.operation === 'status'
      ? { ...answer, head: hidden.get(4) }
      : answer;
  // Each begins with another node.
  for (let i = 0; i < 5; i++) expect((await owner.status()).takeoverPending, `status ${i}`).toBe(true);
  expect(await owner.cancelTakeover('1234')).toBe(true);
  expect((await owner.status()).takeoverPending).toBe(false);
  expect((await owner.recover('1234')).secret.reveal()).toEqual(secret);
});

it('waits for the one whose vote is needed and that learned of it late', async () => {
  const fleet = await InProcessFleet.create(5, { minimumShares: 4, takeover: { kind: 'delayed', seconds: 1 } });
  await (await fleet.client('alice')).enrol('1234', secret);
  // Out of reach, not restarted: a node that repairs stays out of what was opened meanwhile.
  const { node } = fleet.members[4]!;
  fleet.kill(5);
  const heir = await fleet.client('alice', { patience: 2000 });
  const staged: (readonly string[])[] = [];
  fleet.intercept = async (request, next) => {
    if (request.operation === 'stage' && staged.length === 0) {
      fleet.members[4]!.node = node;
      fleet.kill(1);
    }
    const answer = await next();
    if (request.operation === 'stage') staged.push(answer.nodes.map(({ node, code }) => `${node} ${code}`));
    return answer;
  };
  const enrolled = await heir.enrol('9', utf8('other'), { takeover: true, acceptDegraded: true });
  expect(enrolled).toMatchObject({ nodes: [1, 2, 3, 4], degraded: true });
  // Three have shown it for longer, and are not enough.
  expect(staged[0]).toContain('5 waiting');
  expect(staged.at(-1)).toEqual(['2 ok', '3 ok', '4 ok', '5 ok']);
  expect((await heir.recover('9')).takenOver).toBe(true);
});
