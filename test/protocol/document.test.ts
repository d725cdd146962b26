/** Record documents: every malformed shape is refused; and every message at its largest fits its declared limits. */

import { describe, expect, it } from 'vitest';
import { bytesToHex } from '../../src/core/index.ts';
import {
  ARGUMENTS,
  type Body,
  clientAnswerFromJson,
  clientAnswerToJson,
  clientRequestFromJson,
  clientRequestToJson,
  type DocumentContent,
  decodeClientAnswer,
  decodeClientRequest,
  decodeNodeAnswer,
  decodeNodeBatch,
  decodeNodeRequest,
  decodePortableRecord,
  decodeRecordState,
  encodeActivation,
  encodeClientAnswer,
  encodeClientRequest,
  encodeDocument,
  encodeFacts,
  encodeNodeAnswer,
  encodeNodeBatch,
  encodeNodeRequest,
  encodeOpenAuthorisation,
  encodeOwnerDeletion,
  encodePortableRecord,
  encodeRecordState,
  encodeRequestContent,
  encodeSignedStatement,
  extendLineage,
  factsOf,
  type Handover,
  MAXIMUM_ANSWER_JSON,
  MAXIMUM_REQUEST_JSON,
  NODE_STATE_KEY,
  nodeAnswerWith,
  openDocument,
  ownerConsented,
  type RecordState,
} from '../../src/protocol/index.ts';
import {
  certifyBytes,
  cheapChecks,
  type Enrolment,
  enrolment,
  makeFleet,
  named,
  placeOf,
  RECORD,
  sign,
  signStatement,
} from './fixtures.ts';

const fleet = makeFleet(5);
const first = enrolment(fleet, 1);
const second = enrolment(fleet, 2, { previous: first });
const third = enrolment(fleet, 3, { previous: second });
const open = (document: Uint8Array, of = fleet) => openDocument(document, of, cheapChecks);
const made = (change: Partial<DocumentContent>, base: Enrolment = first) =>
  encodeDocument({ ...base.content, ...change }, (message) => sign(change.ownerKey ?? base.owner, message));

describe('openDocument', () => {
  it('gives the content of a right one back', () => {
    expect(open(first.document)).toEqual(first.content);
    expect(open(third.document).lineage).toHaveLength(2);
    expect(open(made({ shares: first.content.shares.slice(0, 4) })).shares).toHaveLength(4);
  });

  const { shares } = first.content;
  const share = (change: object) => [{ ...shares[0]!, ...change }, ...shares.slice(1)];
  it.each<[string, Partial<DocumentContent>]>([
    ['another fleet', { fleet: 'other' }],
    ['another epoch', { epoch: 2 }],
    ['generation 0', { generation: 0 }],
    ['no shares', { shares: [] }],
    ['fewer shares than the policy allows', { shares: shares.slice(0, 3) }],
    ['a share of node 0', { shares: share({ node: 0 }) }],
    ['a share of an unknown node', { shares: [...shares.slice(0, 4), { ...shares[4]!, node: 6 }] }],
    ['one node twice', { shares: share({ node: 2 }) }],
    ['nodes out of order', { shares: [...shares].reverse() }],
    ['an x of 0', { shares: share({ x: 0 }) }],
    ['an x beyond a byte', { shares: share({ x: 256 }) }],
    ['one x twice', { shares: share({ x: 2 }) }],
  ])('refuses %s', (_, change) => {
    expect(() => open(made(change))).toThrow(expect.objectContaining({ code: 'untrusted' }));
  });

  it('refuses another’s signature, and any byte changed', () => {
    const foreign = encodeDocument(first.content, (message) => sign(named('stranger'), message));
    expect(() => open(foreign)).toThrow(/signature/);
    for (let at = 0; at < first.document.length; at += 7) {
      const wrong = first.document.slice();
      wrong[at]! ^= 1;
      expect(() => open(wrong)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^(untrusted|malformed|too_large)$/) }),
      );
    }
    expect(() => open(Uint8Array.of(...first.document, 0))).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  const [one, two] = third.content.lineage as [Handover, Handover];
  /** The step with a right signature by its own previous owner, whoever that is. */
  const signed = (step: Handover): Handover => {
    const value = { fleet: fleet.fleet, record: RECORD, ...step };
    return { ...step, authorisation: sign(step.previousOwner, encodeOpenAuthorisation(value)) };
  };
  it.each<[string, Handover[], RegExp]>([
    ['a gap', [one, signed({ ...two, previous: 1 })], /gap/],
    ['another owner in between', [signed({ ...one, owner: named('x') }), two], /gap/],
    ['another owner at its end', [one, signed({ ...two, owner: named('x') })], /lead/],
    ['steps out of order', [two, one], /gap/],
    ['a step that leads nowhere', [one], /lead/],
    ['a step backwards', [{ ...one, previous: 3 }, two], /order/],
    ['a step beyond the generation', [one, { ...two, generation: 4 }], /order/],
    ['a wrong signature', [one, { ...two, authorisation: new Uint8Array(64) }], /signature/],
    ['another blinded element', [one, { ...two, blindHash: named('x') }], /signature/],
  ])('refuses a lineage with %s', (_, lineage, reason) => {
    expect(() => open(made({ lineage }, third))).toThrow(reason);
  });

  it('tells whether the owner of any generation before it consented', () => {
    expect(ownerConsented(first.content, third.content)).toBe(true);
    expect(ownerConsented(second.content, third.content)).toBe(true);
    expect(ownerConsented(third.content, second.content)).toBe(false);
    expect(ownerConsented({ ...first.content, ownerKey: named('x') }, third.content)).toBe(false);
    expect(ownerConsented({ ...first.content, generation: 9 }, third.content)).toBe(false);
  });
});

describe('limits', () => {
  const large = makeFleet(9, {}, { fleet: 'f'.repeat(64), epoch: Number.MAX_SAFE_INTEGER });
  const most = Number.MAX_SAFE_INTEGER;
  const signing = {
    nodes: [1, 2, 3, 4, 5, 6, 7, 8, 9],
    incarnation: most,
    fences: Array(9).fill(most),
    time: most,
    sequence: most,
  };
  /** A certificate by nine nodes out of batches of 2^32 statements: paths as long as they can be. */
  const widen = (body: Body): Uint8Array => {
    const statement = signStatement(large, 1, body, signing);
    const path = Array.from({ length: 32 }, () => named('path'));
    const part = { signer: statement.signer, batch: { ...statement.batch, index: most, size: most, path } };
    return encodeSignedStatement({ body: statement.body, ...part });
  };
  const place = placeOf(large, most);
  const opened: Body = { kind: 'open', ...place, blindHash: named('b'), ownerKey: named('o'), takeover: true };
  const certificate = (body: Body): Uint8Array => {
    const bytes = certifyBytes(large, body, { ...signing, before: 0, after: 0 });
    // Each of nine signatures may have a path of 32 hashes, 36 bytes each with its length.
    return new Uint8Array(bytes.length + 9 * 32 * 36);
  };
  const openCertificate = certificate(opened);
  const stageCertificate = certificate({ kind: 'stage', ...place, documentHash: named('d') });
  const attemptCertificate = certificate({
    kind: 'attempt',
    ...place,
    attempt: most,
    blindHash: named('b'),
    documentHash: named('d'),
  });
  const signature = new Uint8Array(64);
  const step = { previous: most - 1, generation: most, previousOwner: named('p'), blindHash: named('b') };
  const lineage = Array.from({ length: 70 }).reduce<Handover[]>(
    (before) => extendLineage(before, { ...step, authorisation: signature, owner: named('o') }),
    [],
  );
  const document = encodeDocument(
    {
      ...place,
      takeover: true,
      lineage,
      shares: large.nodes.map((_, i) => ({ node: i + 1, x: 255, masked: named('m') })),
      confirmKey: named('c'),
      ownerKey: named('o'),
      envelope: new Uint8Array(1042),
    },
    () => signature,
  );
  const activation = { document, openCertificate, stageCertificate, ownerSignature: signature };
  const confirmation = { certificate: attemptCertificate, signature };
  const deletion = encodeOwnerDeletion({ openCertificate, stageCertificate, signature });
  const tombstone = { generation: most, kind: 'owner' as const, proof: deletion };
  const state: RecordState = {
    record: RECORD,
    highest: most,
    open: { blindHash: named('b'), ownerKey: named('o'), takeover: true, cancelled: true, time: most },
    stage: { documentHash: named('d'), document },
    active: {
      generation: most,
      documentHash: named('d'),
      activation,
      attempt: most,
      vote: named('v'),
      barred: { upTo: most, vote: named('v') },
      attemptTime: most,
      confirmed: most,
      confirmation,
      spent: { attempt: most, confirmed: most },
    },
    tombstone,
  };
  const portable = encodePortableRecord({ record: RECORD, activation, confirmation, tombstone });
  const head = widen({
    kind: 'head',
    fleet: large.fleet,
    epoch: most,
    record: RECORD,
    facts: factsOf(state),
    attemptTime: most,
    nextAttemptAt: most,
  });
  const sealed = large.nodes.map((_, i) => ({
    node: i + 1,
    enc: new Uint8Array(65),
    ciphertext: new Uint8Array(8192),
  }));
  const requests = [
    ['activate', ARGUMENTS.activate.encode(activation)],
    ['stage', ARGUMENTS.stage.encode(activation)],
    ['confirm', ARGUMENTS.confirm.encode(confirmation)],
    ['delete', ARGUMENTS.delete.encode({ signature, openCertificate, stageCertificate })],
  ] as const;

  it('hold a certificate, a document and a head at their largest', () => {
    expect(lineage).toHaveLength(64);
    expect(openCertificate.length).toBeLessThanOrEqual(16_384);
    expect(stageCertificate.length).toBeLessThanOrEqual(16_384);
    expect(attemptCertificate.length).toBeLessThanOrEqual(16_384);
    expect(document.length).toBeLessThanOrEqual(20_000);
    expect(document.length).toBeGreaterThan(14_000);
    expect(head.length).toBeLessThanOrEqual(20_000);
    expect(encodeActivation(stageCertificate).length).toBeGreaterThan(stageCertificate.length);
    expect(encodeFacts({ record: RECORD, facts: factsOf(state) }).length).toBeLessThanOrEqual(2048);
    expect(
      widen({
        kind: 'sync',
        fleet: large.fleet,
        epoch: most,
        rejoin: named('r'),
        prefix: new Uint8Array(2),
        contentHash: named('h'),
        accepted: true,
      }).length,
    ).toBeLessThan(20_000);
  });

  it('hold a record’s state and what carries it', () => {
    expect(decodeRecordState(encodeRecordState(state))).toEqual(state);
    expect(decodePortableRecord(portable).activation).toEqual(activation);
    expect(portable.length).toBeLessThanOrEqual(120_000);
  });

  it.each(requests)('hold every request of a client: %s', (operation, args) => {
    const request = {
      fleet: large.fleet,
      epoch: most,
      operation,
      record: RECORD,
      generation: most,
      attempt: most,
      arguments: args,
      sealed,
    };
    expect(decodeClientRequest(encodeClientRequest(request))).toEqual(request);
    const json = JSON.stringify(clientRequestToJson(request));
    expect(json.length).toBeLessThanOrEqual(MAXIMUM_REQUEST_JSON);
    expect(clientRequestFromJson(operation, JSON.parse(json))).toEqual(request);
    const heads = Array.from({ length: 9 }, () => head);
    const submit = { kind: 'submit' as const, request: { ...request, sealed: sealed.slice(0, 1) }, heads };
    expect(decodeNodeRequest(encodeNodeRequest(submit))).toEqual(submit);
    const content = encodeRequestContent({
      version: 2,
      userToken: 't'.repeat(4096),
      clientSignature: signature,
      blindedElement: new Uint8Array(33),
    });
    // HPKE adds a tag of 16 bytes.
    expect(content.length + 16).toBeLessThanOrEqual(8192);
  });

  it('hold what nodes send each other and their batches', () => {
    const heads = Array.from({ length: 9 }, () => head);
    const carry = { kind: 'carry' as const, portable, heads };
    expect(decodeNodeRequest(encodeNodeRequest(carry))).toEqual(carry);
    const statement = widen({
      kind: 'attempt',
      ...place,
      attempt: most,
      blindHash: named('b'),
      documentHash: named('d'),
    });
    const answer = nodeAnswerWith({
      reason: 'r'.repeat(160),
      until: most,
      statement,
      head,
      sealed: new Uint8Array(8192),
      content: portable,
    });
    expect(decodeNodeAnswer(encodeNodeAnswer(answer))).toEqual(answer);
    const sync = encodeNodeRequest({ kind: 'sync', rejoin: head, prefix: new Uint8Array(2) });
    const repair = { kind: 'repair' as const, answers: [{ peer: 9, query: sync, answer: encodeNodeAnswer(answer) }] };
    expect(decodeNodeRequest(encodeNodeRequest(repair))).toEqual(repair);
    // The largest repair round that a node asks for: 64 exports.
    const round = { kind: 'repair' as const, answers: Array.from({ length: 64 }, () => repair.answers[0]!) };
    expect(decodeNodeBatch(encodeNodeBatch([encodeNodeRequest(round)]))).toHaveLength(1);
  });

  it('hold every answer to a client', () => {
    const nodes = large.nodes.map((_, i) => ({
      node: i + 1,
      code: 'token_pin_incorrect',
      statement: head,
      head,
      sealed: new Uint8Array(8192),
    }));
    const answer = { nodes, certificate: openCertificate, portable };
    expect(decodeClientAnswer(encodeClientAnswer(answer))).toEqual(answer);
    const json = JSON.stringify(clientAnswerToJson(answer));
    expect(json.length).toBeLessThanOrEqual(MAXIMUM_ANSWER_JSON);
    expect(clientAnswerFromJson(JSON.parse(json))).toEqual(answer);
  });

  it('keep the node’s own entry apart from all records', () => {
    expect(NODE_STATE_KEY).toHaveLength(32);
    expect(bytesToHex(NODE_STATE_KEY)).not.toBe(bytesToHex(RECORD));
  });
});
