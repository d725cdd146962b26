/** What restarts cost in a whole fleet: no guess for a half-delivered one, and no vote for a rejoin that comes late. */

import { describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../src/core/index.ts';
import {
  CONTENT,
  decodeBody,
  decodeCertificate,
  decodeNodeRequest,
  decodePortableRecord,
  type NodeRequest,
} from '../../src/protocol/index.ts';
import { InProcessFleet } from './in-process.ts';

const secret = utf8('the backup key');

async function withRecord(n: number) {
  const fleet = await InProcessFleet.create(n);
  await (await fleet.client('alice')).enrol('123456', secret);
  const unreachable = new Set<number>();
  const send = fleet.send.bind(fleet);
  fleet.send = async (node, request) => {
    if (unreachable.has(node)) throw new HoldfastError('no_majority', 'cut off');
    return send(node, request);
  };
  return { fleet, unreachable };
}

const info = async (fleet: InProcessFleet, node: number) =>
  CONTENT.info.decode((await fleet.members[node - 1]!.node!.handle({ kind: 'info' })).content!);

async function confirmedAt(fleet: InProcessFleet, node: number): Promise<number> {
  const answer = await fleet.send(node, { kind: 'export', record: fleet.record('alice') });
  const { confirmation } = decodePortableRecord(answer.content!);
  const body = confirmation && decodeBody(decodeCertificate(confirmation.certificate).body);
  return body?.kind === 'attempt' ? body.attempt : 0;
}

describe('a guess that reached one of five nodes', () => {
  it('keeps its number when three others restart in turn while the fifth is down', async () => {
    const { fleet, unreachable } = await withRecord(5);
    fleet.kill(5);
    const before = await confirmedAt(fleet, 1);
    let delivered = false;
    fleet.intercept = async (request, next) => {
      if (request.operation !== 'attempt' || delivered) return next();
      delivered = true;
      for (const node of [2, 3, 4]) unreachable.add(node);
      await next().catch(() => {});
      unreachable.clear();
      for (const node of [2, 3, 4]) {
        fleet.kill(node);
        await fleet.start(node);
        await fleet.settle();
        expect((await info(fleet, node)).phase).toBe('serving');
      }
      throw new HoldfastError('no_majority', 'the answer was lost');
    };
    const recovered = await (await fleet.client('alice')).recover('123456');
    expect(recovered.secret.reveal()).toEqual(secret);
    expect(delivered).toBe(true);
    expect(await confirmedAt(fleet, 1)).toBe(before + 1);
  });
});

describe('a rejoin from a past that was left', () => {
  /** Node 1 restarted twice unseen, its last rejoin was kept, and the machine put back to before that. */
  async function lateRejoin() {
    const { fleet, unreachable } = await withRecord(3);
    const { store, token } = fleet.members[0]!;
    const [disk, image] = [store.snapshot(), token.snapshot()];
    let late: NodeRequest<'sync'> | undefined;
    for (let i = 0; i < 2; i++) {
      fleet.kill(1);
      await fleet.start(1);
      const { content } = await fleet.members[0]!.node!.handle({ kind: 'repair', answers: [] });
      const request = decodeNodeRequest(CONTENT.queries.decode(content!).queries[0]!.query);
      if (request.kind === 'sync') late = request;
    }
    fleet.kill(1);
    store.restore(disk);
    token.rollback(image);
    await fleet.start(1);
    await fleet.settle();
    expect(fleet.phases()).toEqual(['serving', 'serving', 'serving']);
    return { fleet, unreachable, late: late! };
  }

  it('does not void the votes of a node for longer than until it sees a certificate and is asked again', async () => {
    const { fleet, unreachable, late } = await lateRejoin();
    for (const peer of [2, 3]) await fleet.send(peer, late);
    const { incarnation } = await info(fleet, 1);
    expect((await info(fleet, 2)).fences[0]).toBeGreaterThan(incarnation);
    // The other two certify this one; their signatures tell node 1 that its own would count for nothing.
    await (await fleet.client('alice')).recover('123456');
    await fleet.settle();
    expect(await info(fleet, 1)).toMatchObject({ phase: 'serving', incarnation: (await info(fleet, 2)).fences[0]! });
    unreachable.add(3);
    expect((await (await fleet.client('alice')).recover('123456')).secret.reveal()).toEqual(secret);
  });

  it('is asked for in vain where a peer only says that there was one, and the node serves on', async () => {
    const { fleet, late } = await lateRejoin();
    // Node 2 alone has it, and shows no proof of it.
    await fleet.send(2, late);
    fleet.tamper = (node, request, answer) => (node === 2 && request.kind === 'sync' ? undefined : answer);
    const { incarnation } = await info(fleet, 1);
    await (await fleet.client('alice')).recover('123456');
    await fleet.settle();
    expect(await info(fleet, 1)).toMatchObject({ phase: 'serving', incarnation });
  });
});
