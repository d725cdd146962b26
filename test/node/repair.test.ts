/** The repair barrier in a whole fleet: fences before answers, votes merged, lies refused, nothing forgotten served. */

import { describe, expect, it } from 'vitest';
import { bytesToHex, sha256, utf8 } from '../../src/core/index.ts';
import {
  type Body,
  batchToSign,
  type ClientRequest,
  CONTENT,
  decodeBody,
  decodeNodeRequest,
  decodeSignedStatement,
  encodeBody,
  encodePortableRecord,
  encodeSignedStatement,
  type NodeAnswer,
  type SignedStatement,
  statementHash,
} from '../../src/protocol/index.ts';
import { MemoryKeyValueStore } from '../../src/store/index.ts';
import { InProcessFleet } from './in-process.ts';

const secret = utf8('the backup key');

const info = async (fleet: InProcessFleet, node: number) =>
  CONTENT.info.decode((await fleet.members[node - 1]!.node!.handle({ kind: 'info' })).content!);

/** The statement with another body, signed by node `node` itself. */
async function resign(fleet: InProcessFleet, node: number, of: SignedStatement, edit: object, signer: object = {}) {
  const body = encodeBody({ ...decodeBody(of.body), ...edit } as Body);
  const by = { ...of.signer, ...signer };
  const signature = await fleet.members[node - 1]!.token.sign(batchToSign(fleet.fleet, node, statementHash(body, by)));
  return encodeSignedStatement({ body, signer: by, batch: { index: 0, size: 1, path: [], signature } });
}

async function withRecord(n = 3) {
  const fleet = await InProcessFleet.create(n);
  const client = await fleet.client('alice');
  await client.enrol('123456', secret);
  return { fleet, client };
}

describe('a node that restarts', () => {
  it('serves only after t peers have told it, and takes a new incarnation that all of them fence', async () => {
    const { fleet } = await withRecord(5);
    fleet.kill(1);
    for (const peer of [3, 4, 5]) fleet.kill(peer);
    await fleet.start(1);
    await fleet.settle();
    expect(await info(fleet, 1)).toMatchObject({ phase: 'repairing', headsKnown: 1, headsNeeded: 3 });
    for (const peer of [3, 4]) await fleet.start(peer);
    await fleet.settle();
    expect((await info(fleet, 1)).phase).toBe('serving');
    const { incarnation } = await info(fleet, 1);
    for (const peer of [2, 3, 4]) expect((await info(fleet, peer)).fences[0]).toBe(incarnation);
  });

  it('refuses clients while it repairs', async () => {
    const { fleet, client } = await withRecord();
    await fleet.start(1);
    const answer = await fleet.send(1, { kind: 'head', record: new Uint8Array(32) });
    expect(answer.code).toBe('not_ready');
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it('recovers with all others after a power cut everywhere', async () => {
    const { fleet, client } = await withRecord(5);
    for (let node = 1; node <= 5; node++) fleet.kill(node);
    for (let node = 1; node <= 5; node++) await fleet.start(node);
    await fleet.settle();
    for (let node = 1; node <= 5; node++) expect((await info(fleet, node)).phase).toBe('serving');
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it('is answered only after the peer’s fence is durable and anchored', async () => {
    const { fleet } = await withRecord();
    const { token } = fleet.members[1]!;
    const fences: boolean[] = [];
    fleet.tamper = async (node, request, answer) => {
      if (node !== 2 || request.kind !== 'sync' || !answer.statement) return answer;
      const { signer } = decodeSignedStatement(answer.statement);
      const rejoin = decodeBody(decodeSignedStatement(request.rejoin).body) as Body<'rejoin'>;
      fences.push(signer.fences[0]! >= rejoin.incarnation && token.snapshot().writes > 0);
      return answer;
    };
    await fleet.start(1);
    await fleet.settle();
    expect(fences.length).toBeGreaterThan(0);
    expect(fences).not.toContain(false);
    // A peer that cannot make the fence durable says nothing.
    fleet.tamper = (_n, _r, answer) => answer;
    fleet.members[1]!.store.failNextCommit();
    await fleet.start(1);
    const queries = CONTENT.queries.decode((await fleet.send(1, { kind: 'repair', answers: [] })).content!).queries;
    const query = decodeNodeRequest(queries.find(({ peer }) => peer === 2)!.query);
    expect((await fleet.send(2, query)).statement).toBeUndefined();
  });
});

describe('a rollback', () => {
  it.each(['the store alone', 'store and token image'] as const)(
    'of %s ends with a node that refuses its forgotten votes',
    async (what) => {
      const { fleet, client } = await withRecord();
      // Its client signs each request for itself: as it was sent it is good after a restart, too.
      for (const node of [1, 2, 3]) fleet.before.add(node);
      for (const node of [1, 2, 3]) await fleet.start(node);
      await fleet.settle();
      const member = fleet.members[0]!;
      const [disk, token] = [member.store.snapshot(), member.token.snapshot()];
      // An attempt that node 1 votes for; then its memory of that is taken away.
      let voted: ClientRequest | undefined;
      fleet.intercept = (request, next) => {
        if (request.operation === 'attempt') voted = request;
        return next();
      };
      await expect(client.recover('000000')).rejects.toMatchObject({ code: 'wrong_pin' });
      fleet.intercept = (_, next) => next();
      fleet.kill(1);
      member.store.restore(disk);
      if (what === 'store and token image') member.token.rollback(token);
      await fleet.start(1);
      expect((await info(fleet, 1)).phase).toBe('repairing');
      await fleet.settle();
      expect((await info(fleet, 1)).phase).toBe('serving');
      // Another element for the same number is refused; the very same is answered again.
      const head = await fleet.send(1, { kind: 'head', record: voted!.record });
      const { facts } = decodeBody(decodeSignedStatement(head.head!).body) as Body<'head'>;
      expect(facts.active).toMatchObject({ attempt: voted!.attempt - 1, barred: voted!.attempt });
      const again = await fleet.send(1, { kind: 'submit', request: voted!, heads: [] });
      expect(again.code).toBe('ok');
      expect(decodeBody(decodeSignedStatement(again.statement!).body)).toMatchObject({ attempt: voted!.attempt });
      expect((await client.status()).attemptsLeft).toBe(9);
    },
  );

  it('of a store is not mended by a restart: it neither serves nor helps others before t peers have told it', async () => {
    const { fleet, client } = await withRecord();
    const member = fleet.members[0]!;
    const disk = member.store.snapshot();
    await client.recover('000000').catch(() => {});
    for (const node of [1, 2, 3]) fleet.kill(node);
    member.store.restore(disk);
    await fleet.start(1);
    await fleet.start(1);
    await fleet.start(2);
    await fleet.settle();
    expect((await info(fleet, 1)).phase).toBe('repairing');
    // Node 2 has one intact peer at most; the rolled-back one must not be counted as a second.
    expect(await info(fleet, 2)).toMatchObject({ phase: 'repairing', headsKnown: 0 });
    await fleet.start(3);
    await fleet.settle();
    for (const node of [1, 2, 3]) expect((await info(fleet, node)).phase).toBe('serving');
    expect((await client.status()).attemptsLeft).toBe(9);
  });

  it('is noticed while the node serves, by a statement of its own that is newer than its memory', async () => {
    const { fleet, client } = await withRecord();
    const answer = await fleet.send(1, { kind: 'head', record: (await seenRecord(fleet, client)).record });
    const own = decodeSignedStatement(answer.head!);
    const forged = await resign(fleet, 1, own, {}, { incarnation: own.signer.incarnation + 5 });
    const told = await fleet.send(1, {
      kind: 'carry',
      portable: encodePortableRecord({
        record: new Uint8Array(32),
        activation: undefined,
        confirmation: undefined,
        tombstone: undefined,
      }),
      heads: [forged],
    });
    expect(told.code).toBe('not_ready');
    expect((await info(fleet, 1)).phase).toBe('repairing');
    await fleet.settle();
    expect(await info(fleet, 1)).toMatchObject({ phase: 'serving' });
    expect((await info(fleet, 1)).incarnation).toBeGreaterThan(own.signer.incarnation + 5);
  });
});

async function seenRecord(fleet: InProcessFleet, client: { status(): Promise<unknown> }): Promise<ClientRequest> {
  let seen: ClientRequest | undefined;
  fleet.intercept = (request, next) => {
    seen = request;
    return next();
  };
  await client.status();
  fleet.intercept = (_, next) => next();
  return seen!;
}

describe('a peer or coordinator that lies', () => {
  /** Node 1 has lost its store and repairs, while node 2's answers are tampered with; n = 3, so it needs both others. */
  async function repairing(
    tamper: (
      fleet: InProcessFleet,
      request: Body<'sync'> | 'export',
      answer: NodeAnswer,
    ) => NodeAnswer | undefined | Promise<NodeAnswer | undefined>,
  ) {
    const { fleet, client } = await withRecord();
    await client.recover('000000').catch(() => {});
    fleet.kill(1);
    const empty = new MemoryKeyValueStore();
    fleet.members[0]!.store.restore(empty.snapshot());
    fleet.tamper = (node, request, answer) => {
      if (node !== 2) return answer;
      if (request.kind === 'export') return tamper(fleet, 'export', answer);
      if (request.kind !== 'sync' || !answer.statement) return answer;
      return tamper(fleet, decodeBody(decodeSignedStatement(answer.statement).body) as Body<'sync'>, answer);
    };
    await fleet.start(1);
    await fleet.settle();
    return { fleet, client };
  }

  it.each<[string, Parameters<typeof repairing>[0]]>([
    [
      'withheld proofs',
      (_f, what, answer) =>
        what === 'export'
          ? {
              ...answer,
              content: encodePortableRecord({
                record: answer.content!.slice(-32),
                activation: undefined,
                confirmation: undefined,
                tombstone: undefined,
              }),
            }
          : answer,
    ],
    ['dropped exports', (_f, what, answer) => (what === 'export' ? undefined : answer)],
    [
      'changed content',
      (_f, what, answer) =>
        what === 'export' ? answer : { ...answer, content: answer.content!.map((byte) => byte ^ 1) },
    ],
    [
      'emptied content',
      (_f, what, answer) =>
        what === 'export' ? answer : { ...answer, content: CONTENT.digests.encode({ digests: [] }) },
    ],
    [
      'an answer to another rejoin',
      async (fleet, what, answer) =>
        what === 'export'
          ? answer
          : {
              ...answer,
              statement: await resign(fleet, 2, decodeSignedStatement(answer.statement!), {
                rejoin: sha256(utf8('another')),
              }),
            },
    ],
    [
      'an answer without its fence',
      async (fleet, what, answer) =>
        what === 'export'
          ? answer
          : {
              ...answer,
              statement: await resign(fleet, 2, decodeSignedStatement(answer.statement!), {}, { fences: [0, 1, 1] }),
            },
    ],
    [
      'another prefix',
      async (fleet, what, answer) =>
        what === 'export'
          ? answer
          : {
              ...answer,
              statement: await resign(fleet, 2, decodeSignedStatement(answer.statement!), { prefix: Uint8Array.of(7) }),
            },
    ],
    [
      'an incarnation far too high',
      async (fleet, what, answer) =>
        what === 'export'
          ? answer
          : {
              ...answer,
              statement: await resign(
                fleet,
                2,
                decodeSignedStatement(answer.statement!),
                {},
                { fences: [2 ** 52, 1, 1] },
              ),
            },
    ],
  ])('by %s keeps the node from counting that peer, and nothing else', async (_, tamper) => {
    const { fleet, client } = await repairing(tamper);
    expect(await info(fleet, 1)).toMatchObject({ phase: 'repairing', headsKnown: 1, headsNeeded: 2 });
    expect((await info(fleet, 1)).incarnation).toBeLessThan(1000);
    fleet.tamper = (_n, _r, answer) => answer;
    await fleet.settle();
    expect((await info(fleet, 1)).phase).toBe('serving');
    expect((await client.status()).attemptsLeft).toBe(9);
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it('about ever higher incarnations does not keep the node from its other peers', async () => {
    const { fleet } = await withRecord(5);
    fleet.tamper = async (node, request, answer) => {
      if (node !== 2 || request.kind !== 'sync' || !answer.statement) return answer;
      const own = decodeSignedStatement(answer.statement);
      const rejoin = decodeBody(decodeSignedStatement(request.rejoin).body) as Body<'rejoin'>;
      const fences = own.signer.fences.map((fence, i) => (i + 1 === rejoin.node ? rejoin.incarnation + 3 : fence));
      return { ...answer, statement: await resign(fleet, 2, own, {}, { fences }) };
    };
    await fleet.start(1);
    for (let round = 0; round < 4; round++) await fleet.settle();
    expect((await info(fleet, 1)).phase).toBe('serving');
  });
});

describe('a peer’s word on the fences of others', () => {
  it('is believed up to a bound, so that a liar cannot use the numbers up', async () => {
    const { fleet, client } = await withRecord();
    fleet.tamper = async (node, request, answer) => {
      if (node !== 2 || request.kind !== 'sync' || !answer.statement) return answer;
      const own = decodeSignedStatement(answer.statement);
      const fences = own.signer.fences.map((fence, i) => (i === 2 ? 2 ** 52 : fence));
      return { ...answer, statement: await resign(fleet, 2, own, {}, { fences }) };
    };
    await fleet.start(1);
    await fleet.settle();
    expect(await info(fleet, 1)).toMatchObject({ phase: 'serving' });
    expect((await info(fleet, 1)).fences[2]).toBe((await info(fleet, 3)).incarnation);
    fleet.kill(2);
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });
});

describe('the digests', () => {
  it('lead to the differences only', async () => {
    const { fleet } = await withRecord();
    const users = Array.from({ length: 12 }, (_, i) => `user ${i}`);
    for (const user of users) await (await fleet.client(user)).enrol('1', secret);
    fleet.kill(1);
    const changed = await fleet.client('user 3');
    await changed.recover('0').catch(() => {});
    let exported = 0;
    let synced = 0;
    fleet.tamper = (_node, request, answer) => {
      if (request.kind === 'export') exported++;
      if (request.kind === 'sync') synced++;
      return answer;
    };
    await fleet.start(1);
    await fleet.settle();
    expect((await info(fleet, 1)).phase).toBe('serving');
    expect(exported).toBe(2);
    // From each of two peers: the top, one subtree, one bucket.
    expect(synced).toBe(6);
  });

  it.each([
    ['all nodes', [1, 2, 3]],
    ['one node', [2]],
  ])('lead there too where buckets are crowded, for %s', async (_who, crowded) => {
    const { fleet, client } = await withRecord();
    // None fits into an answer: every record is looked for down to the longest prefix.
    fleet.crowdedBucket = 0;
    for (const node of crowded) {
      fleet.kill(node);
      await fleet.start(node);
      await fleet.settle();
    }
    fleet.crowdedBucket = crowded.includes(1) ? 0 : undefined;
    fleet.kill(1);
    await client.recover('0').catch(() => {});
    let deepest = 0;
    fleet.tamper = (_node, request, answer) => {
      if (request.kind === 'sync' || request.kind === 'compare') deepest = Math.max(deepest, request.prefix.length);
      return answer;
    };
    await fleet.start(1);
    await fleet.settle();
    expect((await info(fleet, 1)).phase).toBe('serving');
    expect(deepest).toBe(31);

    // Anti-entropy brings what a node missed while it served.
    deepest = 0;
    const member = fleet.members[0]!;
    const { node: unreachable } = member;
    member.node = undefined;
    await client.recover('123456');
    member.node = unreachable;
    const roots = async () => {
      const all = await Promise.all([1, 2, 3].map(async (node) => bytesToHex((await info(fleet, node)).syncRoot)));
      return new Set(all).size;
    };
    expect(await roots()).toBe(2);
    for (let round = 0; round < 6; round++) await fleet.maintenance.antiEntropy(await fleet.maintenance.infos());
    expect(deepest).toBeGreaterThanOrEqual(crowded.length > 1 ? 31 : 2);
    expect(await roots()).toBe(1);
  });
});
