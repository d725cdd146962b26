/**
 * Verifying signed statements, and quorum certificates: signatures of a majority, or one more, on one statement whose
 * fences agree (docs/protocol.md, sections 2 and 7).
 */

import { bytesToHex, codec, equalBytes, HoldfastError, sha256 } from '../core/index.ts';
import { membershipAt } from './epoch.ts';
import { type Fleet, type Membership, replacingThreshold, threshold } from './fleet.ts';
import {
  type BatchSignature,
  type Body,
  type BodyKind,
  batchRoot,
  batchSignature,
  batchToSign,
  decodeBody,
  type SignedStatement,
  type Signer,
  signer,
} from './statement.ts';

const { bytes, list, message, struct } = codec;

/** The two strict signature checks, as a port: the real ones are in crypto, the simulation has cheap ones. */
export interface SignatureChecks {
  /** ECDSA P-256 with SHA-256, low s. */
  ecdsa(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
  ed25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}

const certificateMessage = message('holdfast/certificate/v1', {
  body: bytes(4096),
  signatures: list(struct({ signer, batch: batchSignature }), 9),
});

export interface Certificate {
  readonly body: Uint8Array;
  readonly signatures: readonly { readonly signer: Signer; readonly batch: BatchSignature }[];
}

export const encodeCertificate = (certificate: Certificate): Uint8Array =>
  certificateMessage.encode({ body: certificate.body, signatures: [...certificate.signatures] });
export const decodeCertificate = certificateMessage.decode;

/** What a certificate says and who signed it, without the signatures. */
export interface VerifiedCertificate<K extends BodyKind = BodyKind> {
  readonly signers: readonly Signer[];
  readonly body: Body<K>;
}

/** Certificates kept from the evaluation that one allowed to its confirmation; about 1 KB each. */
const REMEMBERED_CERTIFICATES = 512;

/** No signer's fence vector exceeds another signer's incarnation. */
export function fencesAgree(signers: readonly Signer[]): boolean {
  return signers.every((one) => signers.every((other) => (one.fences[other.node - 1] ?? 0) <= other.incarnation));
}

/** Checks statements of one fleet; remembers batch signatures already seen to be right, so none is verified twice. */
export class StatementVerifier {
  readonly fleet: Fleet;
  readonly checks: SignatureChecks;
  readonly #rightBatches = new Set<string>();
  readonly #remember: number;
  readonly #earlier = new Map<number, StatementVerifier>();
  /** By the hash of their bytes. Whether a certificate is right depends on nothing else. */
  readonly #rightCertificates = new Map<string, VerifiedCertificate>();

  /** `remember`: how many verified batch signatures to keep (about 200 bytes each). */
  constructor(fleet: Fleet, checks: SignatureChecks, remember = 4096) {
    this.fleet = fleet;
    this.checks = checks;
    this.#remember = remember;
  }

  /** @throws HoldfastError `untrusted` unless a node of this fleet signed this statement. */
  verify(statement: SignedStatement): void {
    const { node, fences } = statement.signer;
    const keys = this.fleet.nodes[node - 1];
    if (!keys || fences.length !== this.fleet.nodes.length)
      throw untrusted('a statement’s signer is not of this fleet');
    const root = batchRoot(statement);
    if (!root) throw untrusted('a statement’s place in its batch is misshapen');
    const signed = batchToSign(this.fleet, node, root);
    const name = batchName(node, root, statement.batch.signature);
    if (this.#rightBatches.has(name)) return;
    if (!this.checks.ecdsa(keys.identity, signed, statement.batch.signature)) {
      throw untrusted(`a statement’s signature by node ${node} is wrong`);
    }
    this.#note(name);
  }

  /** Takes a batch that this node's own token has just signed as verified. */
  trustOwn(node: number, root: Uint8Array, signature: Uint8Array): void {
    this.#note(batchName(node, root, signature));
  }

  #note(name: string): void {
    if (this.#rightBatches.size >= this.#remember) this.#rightBatches.delete(this.#rightBatches.values().next().value!);
    this.#rightBatches.add(name);
  }

  /** The verified body of whatever kind, of this fleet and epoch. @throws HoldfastError `untrusted` or `malformed`. */
  any(statement: SignedStatement): Body {
    this.verify(statement);
    const body = decodeBody(statement.body);
    return this.#ofFleet(body, body.kind);
  }

  /** The verified body, which must be of this kind, fleet and epoch. @throws HoldfastError `untrusted` or `malformed`. */
  body<K extends BodyKind>(statement: SignedStatement, kind: K): Body<K> {
    this.verify(statement);
    return this.#ofFleet(decodeBody(statement.body), kind);
  }

  /**
   * The body of a certificate: as many distinct nodes of this fleet as `votesFor` says signed it, and their fences agree.
   * @throws HoldfastError `untrusted` or `malformed`.
   */
  certificate<K extends BodyKind>(certificate: Certificate, kind: K): Body<K> {
    const { body, signatures } = certificate;
    if (new Set(signatures.map((entry) => entry.signer.node)).size !== signatures.length) {
      throw untrusted('a certificate names a node twice');
    }
    if (signatures.length < votesFor(this.fleet, kind)) throw this.#tooFew(kind, signatures.length);
    if (!fencesAgree(signatures.map((entry) => entry.signer))) throw untrusted('a certificate’s fences disagree');
    const decoded = this.#ofFleet(decodeBody(body), kind);
    for (const entry of signatures) this.verify({ body, ...entry });
    return decoded;
  }

  /** Openings and stagings once took one vote fewer, so that a record of then is told apart from one of liars: by whom it was enrolled. */
  #tooFew(kind: BodyKind, found: number): HoldfastError {
    const once = (kind === 'open' || kind === 'stage') && found >= threshold(this.fleet);
    if (!once) return untrusted('a certificate has too few signatures');
    return untrusted(
      'the record was opened or staged with one vote fewer than this version asks for, as earlier versions did: if it was enrolled with one, get its secret back with fleet and client of that version, and enrol it in a new fleet; if not, nodes lie',
    );
  }

  /**
   * As `certificate`, also for one of an earlier epoch, by the keys of that epoch. Only for what stays true when an epoch
   * ends (activations, confirmations, tombstones): nothing is evaluated by what an earlier epoch voted for.
   * @throws HoldfastError `untrusted` or `malformed`.
   */
  proof<K extends BodyKind>(certificate: Certificate, kind: K): Body<K> {
    const { epoch } = decodeBody(certificate.body);
    return this.at(epoch).certificate(certificate, kind);
  }

  /** The verifier of this epoch or one that the fleet carries. @throws HoldfastError `untrusted` for any other. */
  at(epoch: number): StatementVerifier {
    if (epoch === this.fleet.epoch) return this;
    const membership = membershipAt(this.fleet, epoch);
    if (!membership) throw untrusted('a statement belongs to an epoch that this fleet does not carry');
    let verifier = this.#earlier.get(epoch);
    if (!verifier) {
      verifier = new StatementVerifier(fleetAt(this.fleet, membership), this.checks, this.#remember);
      this.#earlier.set(epoch, verifier);
    }
    return verifier;
  }

  /**
   * As `certificate`, for one of this epoch only, from the encoded form; the last ones that verified are not verified
   * again. Nothing in what it returns may be changed.
   * @throws HoldfastError `untrusted` or `malformed`.
   */
  encodedCertificate<K extends BodyKind>(encoded: Uint8Array, kind: K): VerifiedCertificate<K> {
    const name = certificateName(encoded);
    const known = this.#rightCertificates.get(name);
    if (known) return { signers: known.signers, body: this.#ofFleet(known.body, kind) };
    const certificate = decodeCertificate(encoded);
    const body = this.certificate(certificate, kind);
    if (this.#rightCertificates.size >= REMEMBERED_CERTIFICATES) {
      this.#rightCertificates.delete(this.#rightCertificates.keys().next().value!);
    }
    const signers = certificate.signatures.map(({ signer }) => signer);
    this.#rightCertificates.set(name, { signers, body: body as Body });
    return { signers, body };
  }

  /**
   * As `proof`, from the encoded form; those of this epoch are remembered as by `encodedCertificate`.
   * @throws HoldfastError `untrusted` or `malformed`.
   */
  encodedProof<K extends BodyKind>(encoded: Uint8Array, kind: K): VerifiedCertificate<K> {
    if (this.#rightCertificates.has(certificateName(encoded))) return this.encodedCertificate(encoded, kind);
    const { epoch } = decodeBody(decodeCertificate(encoded).body);
    return this.at(epoch).encodedCertificate(encoded, kind);
  }

  #ofFleet<K extends BodyKind>(body: Body, kind: K): Body<K> {
    if (body.kind !== kind) throw untrusted(`a statement is not of kind ${kind}`);
    if (body.fleet !== this.fleet.fleet || body.epoch !== this.fleet.epoch) {
      throw untrusted('a statement belongs to another fleet or epoch');
    }
    return body as unknown as Body<K>;
  }
}

/** What replaces a record, or destroys one: the kinds of statement whose certificate needs more than a majority. */
const REPLACING = new Set(['open', 'stage', 'spent']);

/** How many nodes must have signed a statement of this kind for a certificate. */
export function votesFor(fleet: Pick<Fleet, 'nodes'>, kind: string): number {
  return REPLACING.has(kind) ? replacingThreshold(fleet) : threshold(fleet);
}

/**
 * A certificate from signed statements, or undefined while no `t` of them have one body and fences that agree.
 * The statements must have been verified. Prefers the newest statement of each node.
 */
export function assembleCertificate(t: number, statements: readonly SignedStatement[]): Certificate | undefined {
  for (const { body } of statements) {
    const newest = new Map<number, SignedStatement>();
    for (const statement of statements) {
      if (!equalBytes(statement.body, body)) continue;
      const known = newest.get(statement.signer.node);
      if (!known || known.signer.incarnation < statement.signer.incarnation) {
        newest.set(statement.signer.node, statement);
      }
    }
    const agreeing = agreeingSigners(t, [...newest.values()]);
    if (agreeing) return { body, signatures: agreeing.map(({ signer, batch }) => ({ signer, batch })) };
  }
  return undefined;
}

/**
 * `t` statements whose fences agree, or undefined. Of at most nine nodes all choices are looked at: by dropping whomever
 * another one has fenced off, a single node that lies about its fences could keep all others from a certificate.
 */
function agreeingSigners(
  t: number,
  candidates: readonly SignedStatement[],
  chosen: readonly SignedStatement[] = [],
): readonly SignedStatement[] | undefined {
  if (chosen.length === t) return chosen;
  for (const [i, candidate] of candidates.entries()) {
    if (candidates.length - i < t - chosen.length) return undefined;
    const together = [...chosen, candidate];
    if (!fencesAgree(together.map(({ signer }) => signer))) continue;
    const found = agreeingSigners(t, candidates.slice(i + 1), together);
    if (found) return found;
  }
  return undefined;
}

/** The fleet as it was. Session keys of that time are of no use any more and stay those of now. */
function fleetAt(fleet: Fleet, { epoch, nodes }: Membership): Fleet {
  return { ...fleet, epoch, nodes: fleet.nodes.map((keys, i) => ({ ...keys, ...nodes[i]! })) };
}

/** The whole of what a signature was checked for: node, root, signature. */
function batchName(node: number, root: Uint8Array, signature: Uint8Array): string {
  return `${node}:${bytesToHex(root)}${bytesToHex(signature)}`;
}

const certificateName = (encoded: Uint8Array): string => bytesToHex(sha256(encoded));

function untrusted(message: string): HoldfastError {
  return new HoldfastError('untrusted', message);
}
