/** The client against a coordinator and nodes that lie, drop, swap and replay: nothing unverified is used. */

import { describe, expect, it } from 'vitest';
import { bytesToHex, HoldfastError, utf8 } from '../../src/core/index.ts';
import {
  ARGUMENTS,
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
  await (await fleet.client('alice')).enrol('123456', secret);
  const device = await fleet.client('alice', { clock: hasty() });
  return { fleet, device };
}

/** Changes the answers to one operation. */
const change =
  (operation: Operation, edit: (answer: ClientAnswer, request: ClientRequest) => ClientAnswer) =>
  async (request: ClientRequest, next: () => Promise<ClientAnswer>) => {
    const answer = await next();
    return request.operation === operation ? edit(answer, request) : answer;
  };

/** A head that node `node` itself signed over other facts than it has. */
async function lyingHead(fleet: InProcessFleet, node: number, head: Uint8Array, lie: object): Promise<Uint8Array> {
  const { body, signer } = decodeSignedStatement(head);
  const told = decodeBody(body) as Body<'head'>;
  const lied = encodeBody({ ...told, facts: { ...told.facts, ...lie } });
  const root = statementHash(lied, signer);
  const signature = await fleet.members[node - 1]!.token.sign(batchToSign(fleet.fleet, node, root));
  return encodeSignedStatement({ body: lied, signer, batch: { index: 0, size: 1, path: [], signature } });
}

describe('a coordinator', () => {
  it('that swaps the answers of two nodes gains nothing', async () => {
    const { fleet, device } = await enrolled();
    fleet.intercept = change('attempt', (answer) => ({
      ...answer,
      nodes: answer.nodes.map((part, i) => ({ ...part, sealed: answer.nodes[i ^ 1]?.sealed ?? part.sealed })),
    }));
    // Four of five answers do not open: too few are left.
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'no_majority' });
    fleet.intercept = (_, next) => next();
    expect((await device.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it('that names one node’s answer as another’s is not believed', async () => {
    const { fleet, device } = await enrolled();
    fleet.intercept = change('attempt', (answer) => {
      const [first, second, ...rest] = answer.nodes;
      return { ...answer, nodes: [{ ...first!, node: 2 }, { ...second!, node: 1 }, ...rest] };
    });
    expect((await device.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it.each<[string, (before: ClientAnswer, bob: ClientAnswer) => Uint8Array | undefined]>([
    ['of an earlier attempt', (before) => before.certificate],
    ['of another record', (_, bob) => bob.certificate],
  ])('that gives the certificate %s is refused', async (_, pick) => {
    const { fleet, device } = await enrolled();
    const bob = await fleet.client('bob');
    await bob.enrol('123456', secret);
    const kept: ClientAnswer[] = [];
    fleet.intercept = change('attempt', (answer) => {
      kept.push(answer);
      return answer;
    });
    await device.recover('123456');
    await bob.recover('123456');
    fleet.intercept = change('attempt', (answer) => ({ ...answer, certificate: pick(kept[0]!, kept[1]!) }));
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'untrusted' });
  });

  it('that drops the confirmation does not make a success of it', async () => {
    const { fleet, device } = await enrolled();
    fleet.intercept = (request, next) =>
      request.operation === 'confirm' ? Promise.reject(new HoldfastError('no_majority', 'dropped')) : next();
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'no_majority' });
    fleet.intercept = change('confirm', (answer) => ({ ...answer, nodes: answer.nodes.slice(0, 2) }));
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'no_majority' });
    fleet.intercept = (_, next) => next();
    expect(await device.recover('123456')).toMatchObject({ earlierAttempts: expect.any(Number) });
  });

  it('that replays receipts of an earlier attempt is not believed', async () => {
    const { fleet, device } = await enrolled();
    let kept: ClientAnswer | undefined;
    fleet.intercept = change('confirm', (answer) => {
      kept = answer;
      return answer;
    });
    await device.recover('123456');
    fleet.intercept = (request, next) => (request.operation === 'confirm' ? Promise.resolve(kept!) : next());
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'no_majority' });
  });

  it('that replays an older status burns no number and makes no wrong secret', async () => {
    const { fleet, device } = await enrolled();
    let kept: ClientAnswer | undefined;
    fleet.intercept = change('status', (answer) => {
      kept ??= answer;
      return answer;
    });
    await device.status();
    await device.recover('123456');
    await device.recover('123456');
    fleet.intercept = (request, next) => (request.operation === 'status' ? Promise.resolve(kept!) : next());
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'conflict' });
    fleet.intercept = (_, next) => next();
    expect((await device.status()).attemptsLeft).toBe(10);
  });

  it('that claims that nothing is enrolled is not believed', async () => {
    const { fleet, device } = await enrolled();
    fleet.intercept = change('status', (answer) => ({
      nodes: answer.nodes.map(({ node }) => ({
        node,
        code: 'not_found',
        statement: undefined,
        head: undefined,
        sealed: undefined,
      })),
      certificate: undefined,
      portable: undefined,
    }));
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'no_majority' });
    await expect(device.status()).rejects.toMatchObject({ code: 'no_majority' });
  });

  it('that hides the record behind an empty export is not believed to the loss of the record', async () => {
    const { fleet, device } = await enrolled();
    fleet.intercept = change('status', (answer) => ({ ...answer, portable: undefined }));
    await expect(device.enrol('9', utf8('other'))).rejects.toMatchObject({
      code: expect.stringMatching(/conflict|owner_required/),
    });
    fleet.intercept = (_, next) => next();
    expect((await device.recover('123456')).secret.reveal()).toEqual(secret);
  });

  it.each<[string, (of: NonNullable<ReturnType<typeof decodePortableRecord>['activation']>) => object]>([
    ['a document that its owner did not activate', () => ({ ownerSignature: new Uint8Array(64) })],
    [
      'another document',
      (of) => ({ document: of.document.map((byte, i) => (i === of.document.length - 1 ? byte ^ 1 : byte)) }),
    ],
    ['a document without its stage certificate', (of) => ({ stageCertificate: of.openCertificate })],
  ])('that shows %s is refused', async (_, edit) => {
    const { fleet, device } = await enrolled();
    fleet.intercept = change('status', (answer) => {
      const portable = decodePortableRecord(answer.portable!);
      const activation = { ...portable.activation!, ...edit(portable.activation!) };
      return { ...answer, portable: encodePortableRecord({ ...portable, activation }) };
    });
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'untrusted' });
  });

  it('that shows another user’s record is refused', async () => {
    const { fleet, device } = await enrolled();
    const bob = await fleet.client('bob');
    await bob.enrol('1', secret);
    let kept: Uint8Array | undefined;
    fleet.intercept = change('status', (answer) => {
      kept = answer.portable;
      return answer;
    });
    await bob.status();
    fleet.intercept = change('status', (answer) => ({ ...answer, portable: kept }));
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'untrusted' });
  });

  it('that withholds evaluations burns one number, and every retry sends the same blinded element', async () => {
    const { fleet } = await enrolled();
    const device = await fleet.client('alice', { clock: hasty(), patience: 60_000 });
    const seen: ClientRequest[] = [];
    let withheld = 6;
    fleet.intercept = async (request, next) => {
      const answer = await next();
      if (request.operation !== 'attempt') return answer;
      seen.push(request);
      if (withheld-- <= 0) return answer;
      return { ...answer, nodes: answer.nodes.map((part) => ({ ...part, sealed: undefined, code: 'untrusted' })) };
    };
    const recovered = await device.recover('123456');
    expect(recovered.earlierAttempts).toBe(0);
    expect(seen).toHaveLength(7);
    const hashes = seen.map((request) => bytesToHex(ARGUMENTS.attempt.decode(request.arguments).blindHash));
    expect(new Set(hashes).size).toBe(1);
    expect(new Set(seen.map(({ attempt }) => attempt)).size).toBe(1);
  });

  it('that never gives an evaluation cannot spend the record with one call', async () => {
    const { fleet, device } = await enrolled();
    fleet.intercept = change('attempt', (answer) => ({
      ...answer,
      nodes: answer.nodes.map((part) => ({ ...part, sealed: undefined, code: 'untrusted' })),
    }));
    await expect(device.recover('123456')).rejects.toMatchObject({ code: 'no_majority', details: { attempt: 2 } });
    fleet.intercept = (_, next) => next();
    expect((await device.status()).attemptsLeft).toBe(9);
    expect((await device.recover('123456')).secret.reveal()).toEqual(secret);
  });
});

describe('a node', () => {
  it('that answers differently after the enrolment is named before success is reported', async () => {
    const fleet = await InProcessFleet.create(5);
    const client = await fleet.client('alice');
    const { token } = fleet.members[3]!;
    const evaluate = token.evaluate.bind(token);
    fleet.intercept = (request, next) => {
      if (request.operation === 'attempt') {
        token.evaluate = (input, element) => evaluate(Uint8Array.of(...input, 1), element);
      }
      return next();
    };
    await expect(client.enrol('123456', secret)).rejects.toMatchObject({ code: 'faulty_node', details: { node: 4 } });
  });

  it.each([
    ['destroyed', { tombstone: 2 ** 40 }],
    ['at a generation far ahead', { highest: 2 ** 40 }],
  ])('that alone claims the record to be %s is not believed', async (_, lie) => {
    const { fleet, device } = await enrolled();
    fleet.tamper = async (node, _request, answer) =>
      node === 2 && answer.head ? { ...answer, head: await lyingHead(fleet, node, answer.head, lie) } : answer;
    expect(await device.status()).toMatchObject({ state: 'active', generation: 1 });
    expect((await device.recover('123456')).secret.reveal()).toEqual(secret);
  });
});

describe('without the right credential', () => {
  it('every node refuses, and the client says so', async () => {
    const { fleet } = await enrolled();
    const reader = await fleet.client('alice', { operations: ['status'] });
    expect((await reader.status()).state).toBe('active');
    await expect(reader.recover('123456')).rejects.toMatchObject({ code: 'forbidden' });
  });
});
