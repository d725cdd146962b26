/** The exact bytes of everything that is hashed, MACed, signed or stored: they never change without a new version. */

import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { concatBytes, sha256 } from '../../src/core/index.ts';
import { anchorMac, encodeAnchor } from '../../src/node/anchor.ts';
import {
  ARGUMENTS,
  type Body,
  batchToSign,
  blindHash,
  CONTENT,
  DEFAULT_POLICY,
  type DocumentContent,
  decodeAnswerContent,
  decodeCertificate,
  decodeNodeState,
  decodeOwnerDeletion,
  decodePortableRecord,
  decodeRecordState,
  decodeRequestContent,
  decodeSignedStatement,
  encodeActivation,
  encodeAnswerContent,
  encodeBody,
  encodeCertificate,
  encodeConfirmation,
  encodeDocument,
  encodeEnvelopeBinding,
  encodeFacts,
  encodeNodeState,
  encodeOpenAuthorisation,
  encodeOprfInput,
  encodeOuter,
  encodeOwnerAction,
  encodeOwnerDeletion,
  encodePortableRecord,
  encodeRecordState,
  encodeRequestContent,
  encodeSealingInfo,
  encodeServiceStatement,
  encodeSignedServiceStatement,
  encodeSignedStatement,
  encodeStretchSalt,
  encodeTweakInput,
  membershipDigest,
  type RecordFacts,
  statementHash,
  syncHash,
} from '../../src/protocol/index.ts';
import type { Token } from '../../src/token/port.ts';
import { fill, GOLDEN } from './golden/cases.ts';

const bytes = (byte: number, length = 32) => new Uint8Array(fill(byte, length));
const stored = (name: string): Uint8Array => {
  const hex = readFileSync(new URL(`golden/${name}.hex`, import.meta.url), 'utf8').replaceAll('\n', '');
  return new Uint8Array(Buffer.from(hex, 'hex'));
};
const hex = (value: Uint8Array) => Buffer.from(value).toString('hex');

const fleet = 'fleet-1';
const record = bytes(0x11);
const place = { fleet, epoch: 3, record, generation: 5 };
const facts: RecordFacts = {
  highest: 6,
  open: { blindHash: bytes(0x21), ownerKey: bytes(0x22), takeover: true, cancelled: false },
  stage: bytes(0x23),
  active: {
    generation: 5,
    documentHash: bytes(0x24),
    attempt: 9,
    vote: bytes(0x25),
    barred: 11,
    confirmed: 8,
    spent: { attempt: 9, confirmed: 8 },
  },
  tombstone: 4,
};
const noFacts: RecordFacts = { highest: 0, open: undefined, stage: undefined, active: undefined, tombstone: 0 };
const signer = { node: 2, incarnation: 7, sequence: 99, time: 1_800_000_000_000, fences: [1, 7, 0] };
const batch = { index: 1, size: 3, path: [bytes(0x31), bytes(0x32)], signature: bytes(0x33, 64) };
const signedBody = bytes(0x34, 12);
const head = { sequence: 42, parent: bytes(0x41), root: bytes(0x42) };
const documentContent: DocumentContent = {
  ...place,
  takeover: false,
  lineage: [
    {
      previous: 4,
      generation: 5,
      previousOwner: bytes(0x51),
      blindHash: bytes(0x52),
      authorisation: bytes(0x53, 64),
      owner: bytes(0x54),
    },
  ],
  shares: [
    { node: 1, x: 200, masked: bytes(0x71) },
    { node: 3, x: 7, masked: bytes(0x72) },
  ],
  confirmKey: bytes(0x73),
  ownerKey: bytes(0x54),
  envelope: bytes(0x74, 10),
};
const activation = {
  document: bytes(0x61, 5),
  openCertificate: bytes(0x62, 6),
  stageCertificate: bytes(0x63, 7),
  ownerSignature: bytes(0x64, 64),
};
const confirmation = { certificate: bytes(0x65, 9), signature: bytes(0x66, 64) };
const tombstone = { generation: 4, kind: 'owner' as const, proof: bytes(0x67, 3) };
const owned = { ...place, attempt: 9, blindHash: bytes(0x12) };

const serviceStatement = {
  ...{ fleet, epoch: 3, node: 2, incarnation: 7, time: 1_800_000_000_000, bundle: bytes(0x78) },
  policy: {
    ...{ limit: 10, lifetimeLimit: 50, waits: [0, 60], destroyAfter: 604_800, minimumShares: 4 },
    takeover: { kind: 'delayed' as const, seconds: 86_400 },
    keyStretching: { memoryKiB: 65_536, passes: 3, parallelism: 1 },
  },
  software: { version: '1.2.3', commit: 'c0ffee', runtime: 'node 24.0.0' },
  token: { module: '/usr/lib/token.so', manufacturer: 'Maker', model: 'Model', serial: '0001', firmware: '1.0' },
};

let signedOver = new Uint8Array();
const signedDocument = encodeDocument(documentContent, (message) => {
  signedOver = new Uint8Array(message);
  return bytes(0x75, 64);
});
let macedOver = new Uint8Array();
const token = { anchorMac: async (message: Uint8Array) => (macedOver = new Uint8Array(message)) } as unknown as Token;
await anchorMac(token, { fleet, node: 2 }, head);

const state = (kind: Body['kind'], more: object): Uint8Array => encodeBody({ kind, ...place, ...more } as Body);

/** What src makes of the same values. */
const ENCODED: Readonly<Record<string, Uint8Array>> = {
  'statement-open': state('open', { blindHash: bytes(0x12), ownerKey: bytes(0x13), takeover: true }),
  'statement-stage': state('stage', { documentHash: bytes(0x14) }),
  'statement-active': state('active', { documentHash: bytes(0x14) }),
  'statement-attempt': state('attempt', { attempt: 9, blindHash: bytes(0x12), documentHash: bytes(0x14) }),
  'statement-confirmed': state('confirmed', { attempt: 9 }),
  'statement-spent': state('spent', { attempt: 9, confirmed: 8 }),
  'statement-destroyed': state('destroyed', {}),
  'statement-cancelled': state('cancelled', {}),
  'statement-head': state('head', { facts, attemptTime: 1000, nextAttemptAt: 61_000 }),
  'statement-rejoin': state('rejoin', { node: 2, incarnation: 7, nonce: bytes(0x15) }),
  'statement-sync': state('sync', {
    rejoin: bytes(0x16),
    prefix: Uint8Array.of(0xab, 0xcd),
    contentHash: bytes(0x17),
    accepted: true,
  }),
  'statement-leave': state('leave', { next: bytes(0x46), root: bytes(0x47) }),
  'statement-batch': batchToSign(place, 2, bytes(0x35)),
  'signed-statement': encodeSignedStatement({ body: signedBody, signer, batch }),
  certificate: encodeCertificate({
    body: signedBody,
    signatures: [
      { signer, batch },
      { signer, batch },
    ],
  }),
  'anchor-input': macedOver,
  'anchor-value': encodeAnchor(head, bytes(0x43)),
  request: encodeOuter({ ...place, node: 2, operation: 'attempt', attempt: 9, argumentsHash: bytes(0x18) }),
  'request-info': encodeSealingInfo({ fleet, epoch: 3, node: 2 }),
  'request-content': encodeRequestContent({
    version: 1,
    userToken: 'a.b.c',
    clientSignature: bytes(0x19, 64),
    blindedElement: bytes(0x1a, 33),
  }),
  'request-content-v2': encodeRequestContent({
    version: 2,
    userToken: 'a.b.c',
    clientSignature: bytes(0x19, 64),
    blindedElement: bytes(0x1a, 33),
  }),
  'request-content-v2-unsigned': encodeRequestContent({
    version: 2,
    userToken: 'a.b.c',
    clientSignature: undefined,
    blindedElement: bytes(0x1a, 33),
  }),
  'answer-content': encodeAnswerContent({
    code: 'waiting',
    reason: 'früh',
    until: 61_000,
    evaluatedElement: undefined,
  }),
  'arguments-status': ARGUMENTS.status.encode({}),
  'arguments-open': ARGUMENTS.open.encode({
    blindHash: bytes(0x12),
    ownerKey: bytes(0x13),
    takeover: false,
    authorisation: { previous: 4, signature: bytes(0x1b, 64) },
  }),
  'arguments-stage': ARGUMENTS.stage.encode(activation),
  'arguments-activate': ARGUMENTS.activate.encode(activation),
  'arguments-attempt': ARGUMENTS.attempt.encode({ blindHash: bytes(0x12) }),
  'arguments-confirm': ARGUMENTS.confirm.encode(confirmation),
  'arguments-delete': ARGUMENTS.delete.encode({
    signature: bytes(0x66, 64),
    openCertificate: bytes(0x62, 6),
    stageCertificate: undefined,
  }),
  'arguments-cancel': ARGUMENTS.cancel.encode({ signature: bytes(0x66, 64) }),
  document: signedOver,
  'signed-document': signedDocument,
  envelope: encodeEnvelopeBinding(place),
  'owner-open': encodeOpenAuthorisation({ ...place, previous: 4, blindHash: bytes(0x12), owner: bytes(0x13) }),
  'owner-delete': encodeOwnerAction({ ...place, action: 'delete' }),
  'owner-cancel': encodeOwnerAction({ ...place, action: 'cancel' }),
  'owner-activate': encodeActivation(bytes(0x63, 7)),
  'owner-deletion': encodeOwnerDeletion({
    openCertificate: bytes(0x62, 6),
    stageCertificate: bytes(0x63, 6),
    signature: bytes(0x66, 64),
  }),
  confirm: encodeConfirmation(owned),
  'oprf-input': encodeOprfInput({ fleet, record, stretched: bytes(0x76) }),
  'tweak-input': encodeTweakInput(place),
  'service-statement': encodeServiceStatement(serviceStatement),
  'signed-service-statement': encodeSignedServiceStatement({
    statement: encodeServiceStatement(serviceStatement),
    signature: bytes(0x77, 64),
  }),
  facts: encodeFacts({ record, facts }),
  'facts-empty': encodeFacts({ record, facts: noFacts }),
  'node-state': encodeNodeState({
    incarnation: 7,
    fences: [1, 7, 0],
    proofs: [bytes(0x44, 2), bytes(0, 0), bytes(0, 0)],
    sound: true,
    epoch: 3,
    membership: bytes(0x45),
    left: { next: bytes(0x46), root: bytes(0x47) },
    leave: bytes(0x48, 4),
    joined: true,
  }),
  'record-state': encodeRecordState({
    record,
    highest: 6,
    open: { ...facts.open!, time: 1000 },
    stage: { documentHash: bytes(0x23), document: bytes(0x61, 5) },
    active: {
      ...facts.active!,
      activation,
      barred: { upTo: 11, vote: bytes(0x26) },
      attemptTime: 2000,
      confirmation,
      spent: { attempt: 9, confirmed: 8 },
    },
    tombstone,
  }),
  'sync-content': CONTENT.sync.encode({
    payload: bytes(0x77, 8),
    proofs: [bytes(0x44, 2), bytes(0, 0), bytes(0, 0)],
    joined: true,
    leave: bytes(0x48, 4),
  }),
  'portable-record': encodePortableRecord({ record, activation, confirmation, tombstone }),
};

/** Encodings of which src shows only the hash. */
const HASHED: Readonly<Record<string, [hash: Uint8Array, before?: number]>> = {
  'statement-leaf': [statementHash(signedBody, signer), 0],
  'blinded-element': [blindHash(bytes(0x1a, 33))],
  membership: [
    membershipDigest({
      fleet,
      epoch: 3,
      nodes: [{ identity: bytes(0x91, 65), session: bytes(0x92, 65), oprf: bytes(0x93, 65) }],
      policy: { ...DEFAULT_POLICY, minimumShares: 1 },
      earlier: [{ epoch: 2, nodes: [{ identity: bytes(0x94, 65), oprf: bytes(0x95, 65) }] }],
    }),
  ],
  'stretch-salt': [encodeStretchSalt(fleet, record)],
  facts: [syncHash(record, facts)],
};

describe('golden files', () => {
  it('are all there, written by the independent code, and all used', () => {
    const files = readdirSync(new URL('golden', import.meta.url)).filter((name) => name.endsWith('.hex'));
    expect(files.sort()).toEqual(
      Object.keys(GOLDEN)
        .map((name) => `${name}.hex`)
        .sort(),
    );
    for (const [name, expected] of Object.entries(GOLDEN)) expect(hex(stored(name)), name).toBe(hex(expected));
    expect([...new Set([...Object.keys(ENCODED), ...Object.keys(HASHED)])].sort()).toEqual(Object.keys(GOLDEN).sort());
  });

  it.each(Object.entries(ENCODED))('hold the bytes of %s', (name, encoded) => {
    expect(hex(encoded)).toBe(hex(stored(name)));
  });

  it.each(Object.entries(HASHED))('hold what is hashed for %s', (name, [hash, before]) => {
    const prefix = before === undefined ? new Uint8Array() : Uint8Array.of(before);
    expect(hex(hash)).toBe(hex(sha256(concatBytes(prefix, stored(name)))));
  });

  it('have a label each that no other kind of message has', () => {
    const labels = Object.entries(GOLDEN).map(([, bytes]) => bytes.subarray(4, 4 + bytes.readUInt32BE()).toString());
    // 'facts', the owner's two actions, and a request's content with and without a signature share theirs.
    expect(new Set(labels).size).toBe(labels.length - 3);
    for (const label of labels) expect(label).toMatch(/^holdfast\/[a-z-]+(\/[a-z-]+)*\/v[12]$/);
  });

  it('are read back to the values that made them', () => {
    expect(decodeSignedStatement(stored('signed-statement'))).toEqual({ body: signedBody, signer, batch });
    expect(decodeCertificate(stored('certificate')).signatures).toHaveLength(2);
    expect(decodeRequestContent(stored('request-content'))).toMatchObject({ version: 1, userToken: 'a.b.c' });
    expect(decodeRequestContent(stored('request-content-v2'))).toMatchObject({ version: 2, userToken: 'a.b.c' });
    const unsigned = stored('request-content-v2-unsigned');
    expect(decodeRequestContent(unsigned).clientSignature).toBeUndefined();
    // Version 1 without a signature, and a version that is not known.
    for (const digit of ['1', '3']) {
      const other = unsigned.slice();
      other[4 + 'holdfast/request-content/v'.length] = digit.charCodeAt(0);
      expect(() => decodeRequestContent(other)).toThrow(expect.objectContaining({ code: 'malformed' }));
    }
    expect(decodeAnswerContent(stored('answer-content'))).toMatchObject({ code: 'waiting', reason: 'früh' });
    expect(decodeOwnerDeletion(stored('owner-deletion')).signature).toEqual(bytes(0x66, 64));
    expect(decodePortableRecord(stored('portable-record'))).toEqual({ record, activation, confirmation, tombstone });
    expect(decodeRecordState(stored('record-state'))).toMatchObject({
      highest: 6,
      active: { attempt: 9, barred: { upTo: 11, vote: bytes(0x26) }, spent: { attempt: 9, confirmed: 8 } },
      tombstone,
    });
    expect(CONTENT.sync.decode(stored('sync-content')).proofs).toHaveLength(3);
    expect(decodeNodeState(stored('node-state'))).toMatchObject({ incarnation: 7, sound: true });
  });
});
