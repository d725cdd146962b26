/** Enrolling a secret under a PIN: open, stage, activate, and a recovery that proves it (docs/protocol.md, section 5). */

import { asHoldfastError, equalBytes, HoldfastError, type Secret } from '../core/index.ts';
import type { NodeOutput, SeedKeys } from '../crypto/index.ts';
import {
  assembleCertificate,
  type Body,
  blindHash,
  type DocumentContent,
  documentHash,
  encodeActivation,
  encodeDocument,
  encodeEnvelopeBinding,
  encodeOpenAuthorisation,
  extendLineage,
  type Handover,
  type SignedStatement,
  votesFor,
} from '../protocol/index.ts';
import { attempt, wipeKeys } from './attempt.ts';
import { outputsOf } from './counting.ts';
import type { ClientStep } from './ports.ts';
import { type Reply, type Session, tookPart } from './session.ts';
import { type RecordStatus, readStatus } from './status.ts';

export interface EnrolOptions {
  /** OPRF input of the new PIN, from `stretchInput`. */
  readonly input: Uint8Array;
  /** Up to 1 KiB. */
  readonly secret: Uint8Array;
  /** The current owner's key, where a record is active. */
  readonly owner: SeedKeys['ownerKey'] | undefined;
  /** Replace an active record without its owner's proof, where the fleet's policy allows it. */
  readonly takeover: boolean;
  /** Whether fewer shares than before, or than the fleet has nodes, will do. */
  readonly acceptDegraded: boolean;
  readonly step: (step: ClientStep) => void;
}

export interface Enrolled {
  /** The fleet that has the record, and its id there, 32 bytes. */
  readonly fleet: string;
  readonly record: Uint8Array;
  readonly generation: number;
  /** Nodes that hold a share. */
  readonly nodes: readonly number[];
  /** True where not all nodes of the fleet do, or not all that do are known to have activated the record. */
  readonly degraded: boolean;
  /** Nodes whose second answer could not be compared with their first: they may fail when the secret is needed. */
  readonly unproven: readonly number[];
  readonly ownerKey: SeedKeys['ownerKey'];
}

interface Opening {
  readonly generation: number;
  readonly certificate: Uint8Array;
  readonly lineage: readonly Handover[];
  readonly outputs: readonly NodeOutput[];
}

const MAXIMUM_ROUNDS = 12;

/**
 * @throws HoldfastError `owner_required` where a record is active and nothing entitles to replace it; `no_majority` where
 *   too few nodes took part for the fleet's policy; `faulty_node` where a node answered differently the second time.
 */
export async function enrol(session: Session, options: EnrolOptions): Promise<Enrolled> {
  const { suite, fleet } = session.options;
  // The seed is drawn first: nothing that a node answers can influence it.
  const seed = suite.newSeed();
  const keys = suite.deriveKeys(seed);
  try {
    options.step('open');
    const opening = await open(session, options, keys);
    const document = await makeDocument(session, options, seed, keys, opening);
    options.step('stage');
    const stageCertificate = await stage(session, options, document, opening);
    options.step('activate');
    const proof = { document, openCertificate: opening.certificate, stageCertificate };
    const everywhere = await activate(session, keys, proof, opening);
    const unproven = await prove(session, options, opening).catch((thrown: unknown) => {
      const { code, message, details } = asHoldfastError(thrown);
      throw new HoldfastError(code, `the new PIN is in force, but the recovery that proves it failed: ${message}`, {
        cause: thrown,
        details: { ...details, enrolled: true },
      });
    });
    const nodes = opening.outputs.map(({ node }) => node);
    keys.encryptionKey.wipe();
    keys.confirmKey.secretKey.wipe();
    return {
      fleet: fleet.fleet,
      record: session.options.record,
      generation: opening.generation,
      nodes,
      degraded: nodes.length < fleet.nodes.length || !everywhere,
      unproven,
      ownerKey: keys.ownerKey,
    };
  } catch (error) {
    wipeKeys(keys);
    throw error;
  } finally {
    seed.wipe();
  }
}

async function open(session: Session, options: EnrolOptions, keys: SeedKeys): Promise<Opening> {
  const { suite } = session.options;
  const { blind, blindedElement } = suite.blind(options.input);
  const hash = blindHash(blindedElement);
  const owner = keys.ownerKey.publicKey;
  try {
    for (let round = 0; round < MAXIMUM_ROUNDS; round++) {
      const status = await readStatus(session);
      const generation = status.highest + 1;
      const handover = options.takeover
        ? undefined
        : handOver(session, status, options.owner, { generation, blindHash: hash, owner });
      const reply = await session.perform({
        operation: 'open',
        generation,
        attempt: 0,
        arguments: {
          blindHash: hash,
          ownerKey: owner,
          takeover: options.takeover && status.active !== undefined,
          authorisation: handover && { previous: handover.previous, signature: handover.authorisation },
        },
        blindedElement,
      });
      if (session.majorityRefusal(reply, 'owner_required')) {
        throw new HoldfastError('owner_required', 'a record is active; replacing it needs its PIN');
      }
      // An opening needs the votes of more than a majority: with fewer in reach, another generation would fare no better.
      if (!reply.certificate) requireEnough(session, status, options, tookPart(reply));
      const outputs = outputsOf(session, options.input, blind, reply);
      if (reply.certificate && outputs.length >= session.threshold) {
        const { body } = session.certified(reply.certificate, 'open');
        const mine =
          body.generation === generation && equalBytes(body.blindHash, hash) && equalBytes(body.ownerKey, owner);
        if (!mine) throw new HoldfastError('untrusted', 'the certificate is for another opening');
        requireEnough(session, status, options, outputs.length);
        const before = status.active?.document.lineage ?? [];
        const lineage = handover ? extendLineage(before, handover) : [];
        return { generation, certificate: reply.certificate, lineage, outputs };
      }
      await session.pause(Math.min(50 * 2 ** round, 2000) * (0.25 + hash[round]! / 256));
    }
  } finally {
    blind.wipe();
  }
  throw new HoldfastError('conflict', 'another device is enrolling at the same time; try again in a moment');
}

function handOver(
  session: Session,
  status: RecordStatus,
  ownerKey: SeedKeys['ownerKey'] | undefined,
  next: { generation: number; blindHash: Uint8Array; owner: Uint8Array },
): Handover | undefined {
  const { active } = status;
  if (!active) return undefined;
  if (!ownerKey || !equalBytes(ownerKey.publicKey, active.document.ownerKey)) {
    throw new HoldfastError('owner_required', 'a record is active; replacing it needs its PIN');
  }
  const { suite, fleet, record } = session.options;
  const previous = active.generation;
  const signed = encodeOpenAuthorisation({ fleet: fleet.fleet, record, previous, ...next });
  return { previous, previousOwner: ownerKey.publicKey, authorisation: suite.sign(ownerKey, signed), ...next };
}

function requireEnough(session: Session, status: RecordStatus, options: EnrolOptions, got: number): void {
  const { nodes, policy } = session.options.fleet;
  if (got < policy.minimumShares) {
    throw new HoldfastError(
      'no_majority',
      `only ${got} of ${nodes.length} nodes took part and the fleet’s policy needs ${policy.minimumShares}; nothing changed, try again later`,
    );
  }
  const before = status.active?.shares.length ?? 0;
  if (got < before && !options.acceptDegraded) {
    throw new HoldfastError(
      'no_majority',
      `only ${got} nodes took part and the record has ${before} shares now; accept fewer explicitly or try again later`,
    );
  }
}

async function makeDocument(
  session: Session,
  options: EnrolOptions,
  seed: Secret,
  keys: SeedKeys,
  opening: Opening,
): Promise<Uint8Array> {
  const { suite, fleet, record } = session.options;
  const { generation, outputs } = opening;
  const shares = await suite.protectSeed({ seed, threshold: session.threshold, outputs });
  const binding = encodeEnvelopeBinding({ fleet: fleet.fleet, record, generation });
  const content: DocumentContent = {
    fleet: fleet.fleet,
    epoch: fleet.epoch,
    record,
    generation,
    takeover: session.certified(opening.certificate, 'open').body.takeover,
    lineage: [...opening.lineage],
    shares: [...shares].sort((a, b) => a.node - b.node),
    confirmKey: keys.confirmKey.publicKey,
    ownerKey: keys.ownerKey.publicKey,
    envelope: suite.sealEnvelope(keys.encryptionKey, binding, options.secret),
  };
  return encodeDocument(content, (message) => suite.sign(keys.ownerKey, message));
}

async function stage(
  session: Session,
  options: EnrolOptions,
  document: Uint8Array,
  opening: Opening,
): Promise<Uint8Array> {
  const { clock, patience } = session.options;
  const { generation, certificate: openCertificate } = opening;
  let end = clock.now() + patience;
  for (;;) {
    const reply = await session.perform({
      operation: 'stage',
      generation,
      attempt: 0,
      arguments: { document, openCertificate },
    });
    if (reply.certificate) {
      const { body } = session.certified(reply.certificate, 'stage');
      if (body.generation !== generation || !equalBytes(body.documentHash, documentHash(document))) {
        throw new HoldfastError('untrusted', 'the certificate is for another document');
      }
      return reply.certificate;
    }
    refuseStaging(session, reply);
    const until = takeoverUntil(session, reply);
    if (until !== undefined) {
      options.step('waiting');
      await session.pause(Math.max(0, until - clock.now()) + 250);
      end = clock.now() + patience;
    } else if (clock.now() >= end) {
      throw new HoldfastError('no_majority', 'too few nodes staged the record; nothing changed, try again later');
    } else {
      await session.pause(250);
    }
  }
}

function refuseStaging(session: Session, reply: Reply): void {
  const needed = votesFor(session.options.fleet, 'stage');
  if (session.refusal(reply, needed, ['owner_required'])) {
    throw new HoldfastError('owner_required', 'the record’s owner did not consent, or cancelled the takeover');
  }
  if (session.refusal(reply, needed, ['conflict', 'superseded', 'destroyed'])) {
    throw new HoldfastError('superseded', 'another device enrolled meanwhile; nothing of this enrolment is used');
  }
}

/**
 * When enough nodes will take a delayed takeover, in ms, or undefined where too few only wait. Not later than the policy's
 * delay from now, whatever a node says.
 */
function takeoverUntil(session: Session, reply: Reply): number | undefined {
  const { fleet, clock } = session.options;
  const { takeover } = fleet.policy;
  if (takeover.kind !== 'delayed') return undefined;
  const untils = reply.nodes
    .flatMap(({ code, sealed }) => (code === 'waiting' && sealed ? [sealed.until] : []))
    .sort((a, b) => a - b);
  const staged = reply.nodes.filter(({ code }) => code === 'ok').length;
  const until = untils[votesFor(fleet, 'stage') - staged - 1];
  return until === undefined ? undefined : Math.min(until, clock.now() + takeover.seconds * 1000);
}

/**
 * Once the stage certificate is known, exactly these bytes are sent until every node with a share has given its receipt,
 * or patience ends: never a new generation. `t` receipts make the record active, but a minority that missed the
 * activation could, together with one malicious node, still be led to replace a record that it does not know of; so `t`
 * are enough only when no more can be had, and the person is told.
 * @returns whether every node with a share has activated the record.
 */
async function activate(
  session: Session,
  keys: SeedKeys,
  proof: { document: Uint8Array; openCertificate: Uint8Array; stageCertificate: Uint8Array },
  { generation, outputs }: Opening,
): Promise<boolean> {
  const { suite, clock, patience } = session.options;
  const ownerSignature = suite.sign(keys.ownerKey, encodeActivation(proof.stageCertificate));
  const hash = documentHash(proof.document);
  const fits = (body: Body<'active'>) => body.generation === generation && equalBytes(body.documentHash, hash);
  const receipts = new Map<number, SignedStatement>();
  const end = clock.now() + patience;
  for (;;) {
    const reply = await session
      .perform(
        { operation: 'activate', generation, attempt: 0, arguments: { ...proof, ownerSignature } },
        { until: end, telling: (some) => session.receipts(some, 'active', fits).length > 0 },
      )
      .catch((error: unknown) => {
        if (!enough(session, receipts) || asHoldfastError(error).code === 'cancelled') throw error;
      });
    for (const receipt of reply ? session.receipts(reply, 'active', fits) : []) {
      receipts.set(receipt.signer.node, receipt);
    }
    const active = enough(session, receipts);
    if (active && outputs.every(({ node }) => receipts.has(node))) return true;
    if (!active && reply && session.majorityRefusal(reply, 'superseded', 'destroyed', 'owner_required')) {
      throw new HoldfastError('superseded', 'another device enrolled meanwhile; nothing of this enrolment is used');
    }
    if (clock.now() >= end) {
      if (active) return false;
      throw new HoldfastError(
        'no_majority',
        'the enrolment could not be completed; the record may change over when the nodes are back',
      );
    }
    await session.pause(250);
  }
}

function enough(session: Session, receipts: ReadonlyMap<number, SignedStatement>): boolean {
  return assembleCertificate(session.threshold, [...receipts.values()]) !== undefined;
}

/**
 * An enrolment ends with a recovery: fresh blind, every output compared, envelope opened, confirmed.
 * @returns the nodes with a share whose second answer did not come, so that it could not be compared.
 */
async function prove(session: Session, options: EnrolOptions, opening: Opening): Promise<number[]> {
  const status = await readStatus(session);
  if (status.active?.generation !== opening.generation) {
    throw new HoldfastError(
      'superseded',
      'another device enrolled meanwhile; this enrolment is no longer the active one',
    );
  }
  const opened = await attempt(session, options.input, status, options.step, 'all');
  const same = equalBytes(opened.secret.reveal(), options.secret);
  opened.secret.wipe();
  wipeKeys(opened.keys);
  if (!same) throw new HoldfastError('untrusted', 'the vault gave another secret back than it was given');
  const second = new Map(opened.outputs.map(({ node, output }) => [node, output]));
  const unproven: number[] = [];
  for (const { node, output } of opening.outputs) {
    const again = second.get(node);
    if (!again) unproven.push(node);
    else if (!equalBytes(again, output)) {
      throw new HoldfastError('faulty_node', `node ${node} answered the same PIN differently; enrol again without it`, {
        details: { node },
      });
    }
  }
  return unproven;
}
