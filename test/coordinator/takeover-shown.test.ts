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
