/** What a hostile review found in the coordinator: one malicious node must not stop it, lead it astray, or keep it busy. */

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import {
  type Body,
  batchToSign,
  CONTENT,
  clientAnswerFromJson,
  clientAnswerToJson,
  decodeBody,
  decodeCertificate,
  decodePortableRecord,
  decodeSignedStatement,
  encodeBody,
  encodeCertificate,
  encodeNodeRequest,
  encodePortableRecord,
  encodeSignedStatement,
  type NodeAnswer,
  nodeAnswerWith,
  type PortableRecord,
  type RecordFacts,
  statementHash,
} from '../../src/protocol/index.ts';
import { InProcessFleet } from '../node/in-process.ts';

const secret = utf8('the backup key');

async function enrolled(policy = {}) {
  const fleet = await InProcessFleet.create(5, policy);
  const client = await fleet.client('alice');
  let record: Uint8Array | undefined;
  fleet.intercept = (request, next) => {
    record = request.record;
    return next();
  };
  await client.enrol('123456', secret);
  return { fleet, client, record: record! };
}

/** Node 5 signs heads over other facts about the active generation than it has. */
async function lie(fleet: InProcessFleet, answer: NodeAnswer, facts: Partial<NonNullable<RecordFacts['active']>>) {
  if (!answer.head) return answer;
  const { body, signer } = decodeSignedStatement(answer.head);
  const told = decodeBody(body) as Body<'head'>;
  if (!told.facts.active) return answer;
  const lied = encodeBody({ ...told, facts: { ...told.facts, active: { ...told.facts.active, ...facts } } });
  const signature = await fleet.members[4]!.token.sign(batchToSign(fleet.fleet, 5, statementHash(lied, signer)));
  return {
    ...answer,
    head: encodeSignedStatement({ body: lied, signer, batch: { index: 0, size: 1, path: [], signature } }),
  };
}

/** An activation as of generation 7, that nobody certified. */
function newer(portable: PortableRecord): PortableRecord {
  const activation = portable.activation!;
  const certificate = decodeCertificate(activation.stageCertificate);
  const body = encodeBody({ ...(decodeBody(certificate.body) as Body<'stage'>), generation: 7 });
  return { ...portable, activation: { ...activation, stageCertificate: encodeCertificate({ ...certificate, body }) } };
}

describe('an export of one node', () => {
  it.each<[string, (portable: PortableRecord) => Uint8Array]>([
    ['that is garbage', () => new Uint8Array(3)],
    ['with a generation that nobody certified', (portable) => encodePortableRecord(newer(portable))],
    [
      'with a confirmation that nobody signed',
      ({ confirmation, ...rest }) =>
        encodePortableRecord({ ...rest, confirmation: { ...confirmation!, signature: new Uint8Array(64) } }),
    ],
    [
      'with a tombstone without proof',
      (portable) =>
        encodePortableRecord({ ...portable, tombstone: { generation: 1, kind: 'owner', proof: utf8('none') } }),
    ],
    ['of another record', (portable) => encodePortableRecord({ ...portable, record: new Uint8Array(32) })],
  ])('%s hides nothing of what the others hold', async (_, edit) => {
    const { fleet, client } = await enrolled();
    fleet.tamper = (node, _request, answer) => {
      if (node !== 5 || !answer.content) return answer;
      try {
        return { ...answer, content: edit(decodePortableRecord(answer.content)) };
      } catch {
        return answer;
      }
    };
    for (let i = 0; i < 5; i++) {
      expect(await client.status()).toMatchObject({ state: 'active', generation: 1, attemptsSinceSuccess: 0 });
    }
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it('with an older record than the others’ does not lead back', async () => {
    const { fleet, client } = await enrolled();
    let old: Uint8Array | undefined;
    fleet.tamper = (node, request, answer) => {
      if (node === 5 && request.kind === 'submit' && answer.content) old ??= answer.content;
      return node === 5 && request.kind === 'submit' && answer.content ? { ...answer, content: old } : answer;
    };
    for (let i = 0; i < 5; i++) await client.status();
    expect(old).toBeDefined();
    await client.changePin('123456', '1');
    expect((await client.status()).generation).toBe(2);
    expect((await client.recover('1')).secret.reveal()).toEqual(secret);
  });
});

describe('a code that no version has', () => {
  it('of one node leaves the answer readable', async () => {
    const { fleet, client } = await enrolled();
    const codes: string[] = [];
    fleet.tamper = (node, _request, answer) => (node === 5 ? { ...answer, code: 'made_up' } : answer);
    fleet.intercept = async (_, next) => {
      const answer = clientAnswerFromJson(clientAnswerToJson(await next()));
      codes.push(...answer.nodes.map(({ code }) => code));
      return answer;
    };
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
    expect(codes).toContain('unexpected');
    expect(codes).not.toContain('made_up');
  });
});

describe('destroying what is spent', () => {
  it('is not brought about by one node’s head', async () => {
    const { fleet, client, record } = await enrolled();
    const spends: string[] = [];
    fleet.tamper = (node, request, answer) => {
      if (request.kind === 'spend') spends.push(answer.code);
      if (node !== 5) return answer;
      if (request.kind === 'due') return nodeAnswerWith({ content: CONTENT.due.encode({ records: [record] }) });
      return lie(fleet, answer, { attempt: 50 });
    };
    await fleet.maintenance.destroySpent();
    expect(spends).toEqual([]);
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it.each<[string, (fleet: InProcessFleet, answer: NodeAnswer, kind: string) => NodeAnswer | Promise<NodeAnswer>]>([
    ['claims a success that it cannot prove', (fleet, answer) => lie(fleet, answer, { confirmed: 3 })],
    ['claims more attempts than the others', (fleet, answer) => lie(fleet, answer, { attempt: 50 })],
    [
      'answers nonsense',
      (_, answer) => ({ ...answer, head: answer.head && utf8('x'), statement: utf8('y'), content: utf8('z') }),
    ],
  ])('is not kept back by one node that %s', async (_, tamper) => {
    const { fleet, client } = await enrolled({ limit: 3 });
    for (let i = 0; i < 3; i++) await expect(client.recover(`wrong ${i}`)).rejects.toThrow();
    fleet.tamper = (node, request, answer) => (node === 5 ? tamper(fleet, answer, request.kind) : answer);
    await fleet.maintenance.destroySpent();
    fleet.tamper = (_n, _r, answer) => answer;
    expect((await client.status()).state).toBe('destroyed');
  });
});

describe('background work', () => {
  it('goes on for the others when one node’s answers cannot be read', async () => {
    const { fleet, client } = await enrolled();
    fleet.tamper = (node, _request, answer) => (node === 5 ? { ...answer, content: utf8('garbage') } : answer);
    fleet.kill(1);
    await fleet.start(1);
    await fleet.settle();
    expect(fleet.members[0]!.node!.phase).toBe('serving');
    for (let i = 0; i < 10; i++) await fleet.maintenance.antiEntropy(await fleet.maintenance.infos());
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it('is not kept for ever by a node that always has another question', async () => {
    const { fleet, record } = await enrolled();
    let questions = 0;
    fleet.tamper = (node, request, answer) => {
      if (node !== 5) return answer;
      if (request.kind === 'info') {
        const info = CONTENT.info.decode(answer.content!);
        return { ...answer, content: CONTENT.info.encode({ ...info, phase: 'repairing' }) };
      }
      if (request.kind !== 'repair') return answer;
      questions++;
      const queries = [{ peer: 1 + (questions % 2), query: encodeNodeRequest({ kind: 'export', record }) }];
      return { ...answer, content: CONTENT.queries.encode({ phase: 'repairing', queries }) };
    };
    await fleet.maintenance.repairAll(await fleet.maintenance.infos());
    expect(questions).toBe(200);
  });
});
