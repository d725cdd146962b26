/**
 * The record document: the same bytes on all nodes, and nothing in it that a node could not show in public without the
 * help of `t` tokens (docs/protocol.md, section 5).
 */

import { codec, equalBytes, HoldfastError, type Infer, sha256 } from '../core/index.ts';
import type { SignatureChecks } from './certificate.ts';
import { membershipAt } from './epoch.ts';
import { type Fleet, threshold } from './fleet.ts';

const { bytes, fixed, flag, list, message, struct, text, uint } = codec;

/** Handovers kept in a document. A node that missed more than these can only be repaired while it holds none of them. */
const LINEAGE_LIMIT = 64;

/**
 * One owner passing the record on: the owner of generation `previous` signed the opening of `generation`. The chain of
 * these lets a node that missed some generations check that each step had its owner's consent.
 */
const handover = struct({
  previous: uint,
  generation: uint,
  /** Ed25519 public key of the owner of `previous`. */
  previousOwner: fixed(32),
  blindHash: fixed(32),
  /** By `previousOwner` over `holdfast/owner/open/v1`. */
  authorisation: fixed(64),
  /** Ed25519 public key of the owner of `generation`. */
  owner: fixed(32),
});

export type Handover = Infer<typeof handover>;

const documentContent = message('holdfast/document/v1', {
  fleet: text(64),
  epoch: uint,
  record: fixed(32),
  generation: uint,
  /** True where the record was enrolled over another one without its owner's proof. */
  takeover: flag,
  /** Oldest first; the last leads to this generation where an owner handed over to it. */
  lineage: list(handover, LINEAGE_LIMIT),
  /** Ascending by node. x is public; exactly the share's 32 bytes are masked. */
  shares: list(struct({ node: uint, x: uint, masked: fixed(32) }), 9),
  /** Public halves of the keys derived from the seed, Ed25519. */
  confirmKey: fixed(32),
  ownerKey: fixed(32),
  /** AEAD of the padded secret. */
  envelope: bytes(1200),
});

export type DocumentContent = Infer<typeof documentContent>;

const signedDocument = message('holdfast/signed-document/v1', { content: bytes(16_384), signature: fixed(64) });

/** The signed bytes, from content and the owner's signing function. */
export function encodeDocument(
  content: DocumentContent,
  sign: (message: Uint8Array) => Uint8Array,
): Uint8Array<ArrayBuffer> {
  const encoded = documentContent.encode(content);
  return signedDocument.encode({ content: encoded, signature: sign(encoded) });
}

/** 32 bytes: what certificates name a document by. */
export const documentHash: (document: Uint8Array) => Uint8Array = sha256;

/** What AES-GCM binds the envelope to. */
const envelopeBinding = message('holdfast/envelope/v1', { fleet: text(64), record: fixed(32), generation: uint });
export const encodeEnvelopeBinding = envelopeBinding.encode;

/**
 * The content of a document, after every check that needs no other state: strict encoding, the fleet (in this epoch or an
 * earlier one), the shares' shape, the owner's signature, the lineage's signatures.
 * @throws HoldfastError `malformed` or `untrusted`.
 */
export function openDocument(document: Uint8Array, fleet: Fleet, checks: SignatureChecks): DocumentContent {
  const { content, signature } = signedDocument.decode(document);
  const decoded = documentContent.decode(content);
  const refuse = (why: string): never => {
    throw new HoldfastError('untrusted', `the record’s document does not verify: ${why}`);
  };
  if (decoded.fleet !== fleet.fleet || !membershipAt(fleet, decoded.epoch))
    refuse('it belongs to another fleet or epoch');
  if (decoded.generation < 1) refuse('generations begin at 1');
  const { shares } = decoded;
  if (shares.length < Math.max(fleet.policy.minimumShares, threshold(fleet))) refuse('it has too few shares');
  shares.forEach((share, i) => {
    if (share.node < 1 || share.node > fleet.nodes.length) refuse('it names an unknown node');
    if (i > 0 && shares[i - 1]!.node >= share.node) refuse('its nodes are not in ascending order');
    if (share.x < 1 || share.x > 255) refuse('a share’s x is out of range');
  });
  if (new Set(shares.map((share) => share.x)).size !== shares.length) refuse('two shares have one x');
  if (!checks.ed25519(decoded.ownerKey, content, signature)) refuse('its signature is wrong');
  checkLineage(decoded, checks, refuse);
  return decoded;
}

/** The content of a document that `openDocument` has accepted before, when it was stored: not verified again. */
export function readDocument(document: Uint8Array): DocumentContent {
  return documentContent.decode(signedDocument.decode(document).content);
}

function checkLineage(content: DocumentContent, checks: SignatureChecks, refuse: (why: string) => never): void {
  let before: Handover | undefined;
  for (const step of content.lineage) {
    if (step.generation <= step.previous || step.generation > content.generation) refuse('its lineage is out of order');
    if (before && (step.previous !== before.generation || !equalBytes(step.previousOwner, before.owner))) {
      refuse('its lineage has a gap');
    }
    const signed = encodeOpenAuthorisation({ fleet: content.fleet, record: content.record, ...step });
    if (!checks.ed25519(step.previousOwner, signed, step.authorisation)) refuse('its lineage has a wrong signature');
    before = step;
  }
  if (before && (before.generation !== content.generation || !equalBytes(before.owner, content.ownerKey))) {
    refuse('its lineage does not lead to it');
  }
}

/**
 * Whether the owner of the active `predecessor` consented, in however many steps, to `successor`.
 * Both must have come from `openDocument`.
 */
export function ownerConsented(predecessor: DocumentContent, successor: DocumentContent): boolean {
  return successor.lineage.some(
    (step) => step.previous === predecessor.generation && equalBytes(step.previousOwner, predecessor.ownerKey),
  );
}

/** The lineage of a successor: the predecessor's and one step more, the oldest dropped beyond the limit. */
export function extendLineage(lineage: readonly Handover[], step: Handover): Handover[] {
  return [...lineage, step].slice(-LINEAGE_LIMIT);
}

const openAuthorisation = message('holdfast/owner/open/v1', {
  fleet: text(64),
  record: fixed(32),
  previous: uint,
  generation: uint,
  blindHash: fixed(32),
  owner: fixed(32),
});

/** What the current owner signs so that a successor may be opened. */
export function encodeOpenAuthorisation(value: Infer<typeof openAuthorisation>): Uint8Array {
  return openAuthorisation.encode(value);
}

const ownerAction = message('holdfast/owner/action/v1', {
  fleet: text(64),
  record: fixed(32),
  generation: uint,
  action: codec.word('delete', 'cancel'),
});
/** What the owner signs to delete generation `generation`, or to cancel the takeover that opened it. */
export const encodeOwnerAction = ownerAction.encode;

const activation = message('holdfast/owner/activate/v1', { stageCertificate: bytes(16_384) });
/** What the owner signs to activate a generation: the exact bytes of the stage certificate that it has seen. */
export const encodeActivation = (stageCertificate: Uint8Array): Uint8Array => activation.encode({ stageCertificate });

const confirmation = message('holdfast/confirm/v1', {
  fleet: text(64),
  record: fixed(32),
  generation: uint,
  attempt: uint,
  blindHash: fixed(32),
});
/** What `confirmKey` signs: proof of the right PIN at exactly this attempt. */
export const encodeConfirmation = confirmation.encode;

const blinded = message('holdfast/blinded-element/v1', { element: fixed(33) });
/** 32 bytes: what statements name a blinded element by. */
export const blindHash = (element: Uint8Array): Uint8Array => blinded.use({ element }, sha256);

/** The salt of the key stretching, 32 bytes. */
const stretchSalt = message('holdfast/stretch-salt/v1', { fleet: text(64), record: fixed(32) });
export const encodeStretchSalt = (fleet: string, record: Uint8Array): Uint8Array =>
  stretchSalt.use({ fleet, record }, sha256);

/** The OPRF's input: the same bytes go into Blind and Finalize. */
const oprfInput = message('holdfast/oprf-input/v1', { fleet: text(64), record: fixed(32), stretched: fixed(32) });
export const encodeOprfInput = oprfInput.encode;

/** What the node's `tweak` key separates records by. */
const tweakInput = message('holdfast/tweak-input/v1', { fleet: text(64), record: fixed(32), generation: uint });
export const encodeTweakInput = tweakInput.encode;
