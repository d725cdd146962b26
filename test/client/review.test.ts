/** What a hostile review found in the client: bare codes, single heads, retries that cost, and what enrolment leaves open. */

import { describe, expect, it } from 'vitest';
import type { ErrorCode } from '../../src/core/index.ts';
import { HoldfastError, utf8 } from '../../src/core/index.ts';
import { RefusedRequest, refusalsSealed } from '../../src/node/admission.ts';
import {
  type AnswerContent,
  type Body,
  batchToSign,
  type ClientAnswer,
  type ClientRequest,
  decodeBody,
  decodePortableRecord,
  decodeSignedStatement,
  encodeBody,
  encodePortableRecord,
  encodeSignedStatement,
  type Operation,
  type Policy,
  statementHash,
} from '../../src/protocol/index.ts';
import { hasty, InProcessFleet } from '../node/in-process.ts';

const secret = utf8('the backup key');

async function enrolled(n = 5, policy: Partial<Policy> = {}) {
  const fleet = await InProcessFleet.create(n, policy);
  const client = await fleet.client('alice', { clock: hasty() });
  await client.enrol('123456', secret);
  return { fleet, client };
}

const change =
  (operation: Operation, edit: (answer: ClientAnswer, request: ClientRequest) => ClientAnswer) =>
  async (request: ClientRequest, next: () => Promise<ClientAnswer>) => {
    const answer = await next();
    return request.operation === operation ? edit(answer, request) : answer;
  };

/** A node whose token answers every guess wrongly, and properly signed. */
function makeLie(fleet: InProcessFleet, node: number) {
  const { token } = fleet.members[node - 1]!;
  const evaluate = token.evaluate.bind(token);
  token.evaluate = (input, element) => evaluate(Uint8Array.of(...input, 1), element);
}

describe('a refusal that nobody sealed', () => {
  const bare = (code: ErrorCode) => (answer: ClientAnswer) => ({
    nodes: answer.nodes.map(({ node, head }) => ({ node, code, head, statement: undefined, sealed: undefined })),
    certificate: undefined,
    portable: undefined,
  });

  it.each<ErrorCode>(['destroyed', 'spent', 'superseded', 'waiting', 'forbidden', 'not_found', 'conflict'])(
    '(%s) is no node’s word about an attempt',
    async (code) => {
      const { fleet, client } = await enrolled(3);
      fleet.intercept = change('attempt', bare(code));
      await expect(client.recover('123456')).rejects.toMatchObject({ code: 'no_majority' });
      fleet.intercept = (_, next) => next();
      expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
    },
  );

  it('does not make an enrolment that is active look replaced', async () => {
    const fleet = await InProcessFleet.create(3);
    const client = await fleet.client('alice', { clock: hasty() });
    fleet.intercept = change('activate', bare('superseded'));
    await expect(client.enrol('123456', secret)).rejects.toMatchObject({ code: 'no_majority' });
    fleet.intercept = (_, next) => next();
    expect((await client.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it('is never what a node gives to a client that it has admitted', async () => {
    const sealed: Partial<AnswerContent>[] = [];
    const admitted = {
      seal: (answer: Partial<AnswerContent>) => {
        sealed.push(answer);
        return utf8('sealed');
      },
    } as Parameters<typeof refusalsSealed>[0];
    const refused = await refusalsSealed(admitted, async () => {
      throw new HoldfastError('waiting', 'too early', { details: { until: 7 } });
    }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(RefusedRequest);
    expect(refused).toMatchObject({ code: 'waiting', sealed: utf8('sealed'), details: { until: 7 } });
    await refusalsSealed(admitted, async () => {
      throw new TypeError('secret internals');
    }).catch(() => {});
    expect(sealed).toEqual([
      { code: 'waiting', reason: 'too early', until: 7 },
      { code: 'unexpected', reason: '', until: 0 },
    ]);
  });
});

describe('a tombstone', () => {
  it('that a coordinator makes up is refused', async () => {
    const { fleet, client } = await enrolled(3);
    fleet.intercept = change('status', (answer) => {
      const portable = decodePortableRecord(answer.portable!);
      const tombstone = { generation: 1, kind: 'spent' as const, proof: portable.activation!.stageCertificate };
      return { ...answer, portable: encodePortableRecord({ ...portable, tombstone }) };
    });
    await expect(client.status()).rejects.toMatchObject({ code: 'untrusted' });
  });

  it('with its proof is believed', async () => {
    const { client } = await enrolled(3);
    await client.delete('123456');
    expect((await client.status()).state).toBe('destroyed');
    await expect(client.recover('123456')).rejects.toMatchObject({ code: 'destroyed' });
  });
});

describe('one lying head', () => {
  it('names no takeover, and the owner signs no generation away', async () => {
    const { fleet, client } = await enrolled();
    const cancelled: number[] = [];
    fleet.intercept = (request, next) => {
      if (request.operation === 'cancel') cancelled.push(request.generation);
      return next();
    };
    fleet.tamper = async (node, _request, answer) => {
      if (node !== 1 || !answer.head) return answer;
      const { body, signer } = decodeSignedStatement(answer.head);
      const told = decodeBody(body) as Body<'head'>;
      const open = {
        blindHash: utf8('b'.repeat(32)),
        ownerKey: utf8('o'.repeat(32)),
        takeover: true,
        cancelled: false,
      };
      const lied = encodeBody({ ...told, facts: { ...told.facts, highest: 2 ** 53 - 1, open } });
      const signature = await fleet.members[0]!.token.sign(batchToSign(fleet.fleet, 1, statementHash(lied, signer)));
      const head = encodeSignedStatement({ body: lied, signer, batch: { index: 0, size: 1, path: [], signature } });
      return { ...answer, head };
    };
    expect((await client.status()).takeoverPending).toBe(false);
    expect(await client.cancelTakeover('123456')).toBe(false);
    expect(cancelled).toEqual([]);
    expect((await client.changePin('123456', '1')).generation).toBe(2);
  });
});

describe('answers that are wrong or missing', () => {
  it('of two nodes of five do not make the right PIN look wrong', async () => {
    const { fleet, client } = await enrolled();
    makeLie(fleet, 1);
    makeLie(fleet, 2);
    // The nodes that vote first are asked first: both are among them.
    fleet.tamper = (node, request, answer) =>
      node > 3 && request.kind === 'submit' && request.request.operation === 'attempt' ? undefined : answer;
    const recovered = await client.recover('123456');
    expect(recovered.secret.reveal()).toEqual(secret);
    expect(recovered.faultyNodes).toEqual([1, 2]);
    expect((await client.status()).attemptsLeft).toBe(10);
  });

  it('are asked for once more under the same number before the PIN is called wrong', async () => {
    const { fleet, client } = await enrolled(3);
    makeLie(fleet, 2);
    const asked: number[] = [];
    fleet.intercept = change('attempt', (answer, request) => {
      asked.push(request.attempt);
      return asked.length > 1 ? answer : { ...answer, nodes: answer.nodes.filter(({ node }) => node < 3) };
    });
    expect((await client.recover('123456')).faultyNodes).toEqual([2]);
    expect(asked).toEqual([2, 2]);
  });

  it('at all times cost one number of the budget and are not called a wrong PIN', async () => {
    const { fleet, client } = await enrolled();
    const numbers = new Set<number>();
    fleet.intercept = change('attempt', (answer, request) => {
      numbers.add(request.attempt);
      return { ...answer, nodes: answer.nodes.filter(({ node }) => node < 3) };
    });
    await expect(client.recover('123456')).rejects.toMatchObject({ code: 'no_majority', details: { attempt: 2 } });
    expect(numbers).toEqual(new Set([2]));
  });
});

describe('an enrolment', () => {
  it('goes on until the last node with a share has activated it', async () => {
    const fleet = await InProcessFleet.create(3);
    let dropped = 0;
    fleet.tamper = (node, request, answer) =>
      node === 3 && request.kind === 'submit' && request.request.operation === 'activate' && dropped++ === 0
        ? undefined
        : answer;
    const result = await (await fleet.client('alice')).enrol('123456', secret);
    expect(dropped).toBe(2);
    expect(result).toMatchObject({ degraded: false, unproven: [] });
  });

  it('that a node with a share never acknowledges succeeds as degraded', async () => {
    const fleet = await InProcessFleet.create(3);
    fleet.tamper = (node, request, answer) =>
      node === 3 && request.kind === 'submit' && request.request.operation === 'activate' ? undefined : answer;
    const result = await (await fleet.client('alice', { clock: hasty() })).enrol('123456', secret);
    expect(result).toMatchObject({ degraded: true, nodes: [1, 2, 3] });
  });

  it('names the nodes whose second answer was not compared', async () => {
    const fleet = await InProcessFleet.create(3);
    fleet.tamper = (node, request, answer) =>
      node === 3 && request.kind === 'evaluate' && request.request.operation === 'attempt' ? undefined : answer;
    expect((await (await fleet.client('alice')).enrol('123456', secret)).unproven).toEqual([3]);
  });

  it('compares the answers of all nodes when all can be had', async () => {
    const fleet = await InProcessFleet.create(5);
    expect((await (await fleet.client('alice')).enrol('123456', secret)).unproven).toEqual([]);
  });
});
