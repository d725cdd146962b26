/** Fleets, certificates and records for tests of the pure protocol, with a cheap stand-in for both signature schemes. */

import { concatBytes, sha256, utf8 } from '../../src/core/index.ts';
import {
  type ActivationProof,
  type Body,
  batchToSign,
  type Certificate,
  type Context,
  DEFAULT_POLICY,
  type Decision,
  type DocumentContent,
  decideActivate,
  decideAttempt,
  decideConfirm,
  documentHash,
  emptyRecord,
  encodeActivation,
  encodeBody,
  encodeCertificate,
  encodeConfirmation,
  encodeDocument,
  encodeOpenAuthorisation,
  encodeOwnerAction,
  encodeOwnerDeletion,
  extendLineage,
  type Fleet,
  type Handover,
  type Head,
  headBody,
  merkleTree,
  type Policy,
  type RecordState,
  type SignatureChecks,
  type SignedStatement,
  type Signer,
  StatementVerifier,
  statementHash,
  type TombstoneProof,
  votesFor,
} from '../../src/protocol/index.ts';

/** Nobody forges it by accident, everybody can make it: the tests sign for whom they like. */
export const sign = (publicKey: Uint8Array, message: Uint8Array): Uint8Array =>
  concatBytes(sha256(concatBytes(publicKey, message)), sha256(concatBytes(message, publicKey)));

const check = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean => {
  const right = sign(publicKey, message);
  return signature.length === 64 && signature.every((byte, i) => byte === right[i]);
};

export const cheapChecks: SignatureChecks = { ecdsa: check, ed25519: check };

/** 32 bytes that stand for a name. */
export const named = (name: string): Uint8Array => sha256(utf8(name));
export const point = (name: string): Uint8Array => concatBytes(Uint8Array.of(4), named(name), named(`${name} again`));

export const RECORD = named('record');
export const NOW = 1_800_000_000_000;
export const SECOND = 1000;

export function makeFleet(n = 3, policy: Partial<Policy> = {}, over: Partial<Fleet> = {}): Fleet {
  return {
    fleet: 'test',
    epoch: 1,
    nodes: Array.from({ length: n }, (_, i) => ({
      identity: point(`identity ${i}`),
      session: point(`session ${i}`),
      oprf: point(`oprf ${i}`),
    })),
    policy: { ...DEFAULT_POLICY, waits: [0], destroyAfter: 0, minimumShares: n >= 5 ? (n >> 1) + 2 : n, ...policy },
    ...over,
  };
}

export function contextOf(fleet: Fleet, now = NOW): Context {
  return { fleet, verifier: new StatementVerifier(fleet, cheapChecks), now };
}

export interface Signing {
  readonly incarnation?: number;
  readonly fences?: readonly number[];
  readonly time?: number;
  readonly sequence?: number;
  /** Who signs a certificate: as many of the first nodes as it needs, unless told. */
  readonly nodes?: readonly number[];
  /** Statements in the same batch, before and after this one. */
  readonly before?: number;
  readonly after?: number;
}

export function signStatement(
  fleet: Fleet,
  node: number,
  body: Body | Uint8Array,
  options: Signing = {},
): SignedStatement {
  const { incarnation = 1, fences, time = NOW, sequence = 7, before = 0, after = 0 } = options;
  const signer: Signer = { node, incarnation, sequence, time, fences: [...(fences ?? fleet.nodes.map(() => 1))] };
  const encoded = body instanceof Uint8Array ? body : encodeBody(body);
  const leaves = Array.from({ length: before + 1 + after }, (_, i) =>
    i === before ? statementHash(encoded, signer) : named(`sibling ${i}`),
  );
  const { root, paths } = merkleTree(leaves);
  const signature = sign(fleet.nodes[node - 1]!.identity, batchToSign(fleet, node, root));
  return { body: encoded, signer, batch: { index: before, size: leaves.length, path: paths[before]!, signature } };
}

/** As many signatures as it needs, by the first nodes unless told. */
export function certify(fleet: Fleet, body: Body, options: Signing = {}): Certificate {
  const nodes = options.nodes ?? Array.from({ length: votesFor(fleet, body.kind) }, (_, i) => i + 1);
  const statements = nodes.map((node) => signStatement(fleet, node, body, options));
  return { body: encodeBody(body), signatures: statements.map(({ signer, batch }) => ({ signer, batch })) };
}

export const certifyBytes = (...parameters: Parameters<typeof certify>): Uint8Array =>
  encodeCertificate(certify(...parameters));

export const placeOf = (fleet: Fleet, generation: number, record: Uint8Array = RECORD) => ({
  fleet: fleet.fleet,
  epoch: fleet.epoch,
  record,
  generation,
});

/** Everything that one enrolment makes. */
export interface Enrolment {
  readonly generation: number;
  readonly owner: Uint8Array;
  readonly confirmKey: Uint8Array;
  readonly blindHash: Uint8Array;
  readonly open: Body<'open'>;
  readonly openCertificate: Uint8Array;
  readonly content: DocumentContent;
  readonly document: Uint8Array;
  readonly documentHash: Uint8Array;
  readonly proof: ActivationProof;
}

export interface EnrolmentOptions {
  readonly owner?: string;
  /** The generation whose owner hands over to this one. */
  readonly previous?: Enrolment;
  readonly takeover?: boolean;
  readonly record?: Uint8Array;
  readonly content?: Partial<DocumentContent>;
}

export function authorise(
  fleet: Fleet,
  previous: Enrolment,
  next: { generation: number; blindHash: Uint8Array; ownerKey: Uint8Array },
  record = RECORD,
) {
  const { generation, blindHash, ownerKey: owner } = next;
  const signed = { fleet: fleet.fleet, record, previous: previous.generation, generation, blindHash, owner };
  return { previous: previous.generation, signature: sign(previous.owner, encodeOpenAuthorisation(signed)) };
}

export function enrolment(fleet: Fleet, generation: number, options: EnrolmentOptions = {}): Enrolment {
  const { previous, takeover = false, record = RECORD } = options;
  const name = options.owner ?? `owner ${generation}`;
  const owner = named(name);
  const confirmKey = named(`${name} confirms`);
  const blindHash = named(`${name} blinds`);
  const open: Body<'open'> = {
    kind: 'open',
    ...placeOf(fleet, generation, record),
    blindHash,
    ownerKey: owner,
    takeover,
  };
  let lineage: Handover[] = [];
  if (previous) {
    const { signature } = authorise(fleet, previous, { generation, blindHash, ownerKey: owner }, record);
    const step = { previous: previous.generation, previousOwner: previous.owner, authorisation: signature };
    lineage = extendLineage(previous.content.lineage, { ...step, generation, blindHash, owner });
  }
  const content: DocumentContent = {
    fleet: fleet.fleet,
    epoch: fleet.epoch,
    record,
    generation,
    takeover,
    lineage,
    shares: fleet.nodes.map((_, i) => ({ node: i + 1, x: i + 1, masked: named(`share ${i}`) })),
    confirmKey,
    ownerKey: owner,
    envelope: utf8('envelope'),
    ...options.content,
  };
  const document = encodeDocument(content, (message) => sign(content.ownerKey, message));
  const hash = documentHash(document);
  const openCertificate = certifyBytes(fleet, open);
  const stageCertificate = certifyBytes(fleet, {
    kind: 'stage',
    ...placeOf(fleet, generation, record),
    documentHash: hash,
  });
  const ownerSignature = sign(owner, encodeActivation(stageCertificate));
  const proof = { document, openCertificate, stageCertificate, ownerSignature };
  return {
    generation,
    owner,
    confirmKey,
    blindHash,
    open,
    openCertificate,
    content,
    document,
    documentHash: hash,
    proof,
  };
}

/** The state after a decision that must not have been a refusal. */
export function accepted(decision: Decision): RecordState {
  if (decision.refusal) throw new Error(`refused: ${decision.refusal.code} ${decision.refusal.message}`);
  return decision.state;
}

/** A node's state with this enrolment active. */
export const activated = (context: Context, one: Enrolment, state = emptyRecord(one.content.record)): RecordState =>
  accepted(decideActivate(context, state, one.proof));

export const attemptBody = (fleet: Fleet, one: Enrolment, attempt: number, blindHash: Uint8Array): Body<'attempt'> => ({
  kind: 'attempt',
  ...placeOf(fleet, one.generation, one.content.record),
  attempt,
  blindHash,
  documentHash: one.documentHash,
});

/** What a client sends after the right PIN at number `attempt`. */
export function confirmation(
  fleet: Fleet,
  one: Enrolment,
  attempt: number,
  blindHash = named(`guess ${attempt}`),
  options: Signing = {},
) {
  const certificate = certifyBytes(fleet, attemptBody(fleet, one, attempt, blindHash), options);
  const { generation } = one;
  const signed = encodeConfirmation({ fleet: fleet.fleet, record: one.content.record, generation, attempt, blindHash });
  return { certificate, signature: sign(one.confirmKey, signed) };
}

export function ownerDeletion(fleet: Fleet, one: Enrolment, signer = one.owner): TombstoneProof {
  const { generation, openCertificate } = one;
  const stageCertificate = one.open.takeover ? one.proof.stageCertificate : undefined;
  const action = { fleet: fleet.fleet, record: one.content.record, generation, action: 'delete' as const };
  const signature = sign(signer, encodeOwnerAction(action));
  return { generation, kind: 'owner', proof: encodeOwnerDeletion({ openCertificate, stageCertificate, signature }) };
}

export function spentProof(
  fleet: Fleet,
  one: Enrolment,
  attempt: number,
  confirmed: number,
  options: Signing = {},
): TombstoneProof {
  const body: Body<'spent'> = {
    kind: 'spent',
    ...placeOf(fleet, one.generation, one.content.record),
    attempt,
    confirmed,
  };
  return { generation: one.generation, kind: 'spent', proof: certifyBytes(fleet, body, options) };
}

/** Verified heads of these nodes, as if each had `state`. */
export function heads(fleet: Fleet, nodes: readonly number[], state: RecordState, now = NOW): Head[] {
  return nodes.map((node) => {
    const { signer } = signStatement(fleet, node, headBody(fleet, state, now));
    return { signer, body: headBody(fleet, state, now) };
  });
}

/** The state after voting for numbers up to `count`, each for its own blinded element. */
export function attempted(context: Context, one: Enrolment, state: RecordState, upTo: number): RecordState {
  let after = state;
  for (let attempt = (state.active?.attempt ?? 0) + 1; attempt <= upTo; attempt++) {
    const request = { generation: one.generation, attempt, blindHash: named(`guess ${attempt}`) };
    after = accepted(decideAttempt(context, after, request, []));
  }
  return after;
}

export const confirmed = (context: Context, one: Enrolment, state: RecordState, attempt: number): RecordState =>
  accepted(decideConfirm(context, state, confirmation(context.fleet, one, attempt), []));
