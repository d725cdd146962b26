/**
 * The cosigner: what it takes into the log, and what it signs (docs/trust.md sections 1 and 3).
 *
 * A bundle's signature exists only for a bundle that will be in the log: its text is stored before the key is asked, and
 * whatever crashes in between, that text is signed and appended before anything else with a signature is. Of what others
 * send only lines that verify are stored, in an entry that is written anew.
 */

import { type Clock, equalBytes, HoldfastError } from '../../core/index.ts';
import {
  type Bundle,
  breachOf,
  type Evidence,
  evidenceLeaf,
  type Leaf,
  type LiveManifest,
  type LogState,
  type NoteSignature,
  type NoteSigner,
  noteLeaf,
  parseBundle,
  parseLeaf,
  parseNote,
  parseSignedPolicy,
  parseVerifierKey,
  requireLive,
  type SignedNote,
  serialiseNote,
  signNote,
  type TrustPolicyText,
  type VerifierKey,
  verifySignature,
} from '../../trust/index.ts';
import type { TransparencyLog } from '../log/index.ts';
import { type Approvals, notWaiting } from './approvals.ts';
import { type ClaimRules, Claims } from './claims.ts';
import { EvidencePace } from './evidence-pace.ts';
import type { Ledger } from './ledger.ts';
import { breachError, checkProposal, type ProposalRules } from './rules.ts';

/** How the evidence that a bundle names is checked, before it is signed. */
export interface EvidencePort {
  /** Rejects with a HoldfastError that says what is missing or wrong. */
  verify(bundle: Bundle<LiveManifest>, context: EvidenceContext): Promise<void>;
  /**
   * What is known already of a file of which a leaf is wanted. Most files come later than their leaves, or never.
   * @param accepted the accepted bundle with this digest.
   * @throws HoldfastError saying why the leaf would be false.
   */
  checkLeaf(evidence: Evidence, accepted: (digest: string) => Bundle<LiveManifest> | undefined): Promise<void>;
}

/** What the log says of a bundle's evidence. */
export interface EvidenceContext {
  /** The trust policy in force. */
  readonly policy: TrustPolicyText;
  /** Name of the certificate of whoever proposes the bundle. */
  readonly operator: string;
  /** The fleet's accepted bundles, the oldest first: a renewal may name the evidence of one of them again. */
  readonly earlier: readonly LiveManifest[];
  /** Whether a leaf names the file with this SHA-256 and size. */
  readonly isLogged: (file: Pick<Evidence, 'sha256' | 'size'>) => boolean;
  /** Index of the first leaf of evidence with this SHA-256. */
  readonly placeOf: (sha256: string) => number | undefined;
}

export interface CosignerOptions {
  readonly log: Pick<TransparencyLog, 'append' | 'appendPrepared' | 'entry' | 'head' | 'settle'>;
  readonly ledger: Ledger;
  readonly bundleSigner: NoteSigner;
  readonly rules: ProposalRules & ClaimRules;
  readonly evidence: EvidencePort;
  /** Undefined: no person is asked. */
  readonly approvals: Approvals | undefined;
  readonly clock: Clock;
  /** Throws where nothing may be signed now: a witness knows more of this log, or no quorum has confirmed it yet. */
  readonly requireSound: () => void;
}

/** What was submitted, as it stands in the log. */
export interface Logged {
  readonly status: 'logged';
  /** The signed note. */
  readonly note: string;
  readonly index: number;
  readonly digest: string;
}

export interface Pending {
  readonly status: 'pending';
  readonly digest: string;
}

/** Bytes of anything submitted. */
export const MAXIMUM_SUBMISSION = 65_535;

export class Cosigner {
  readonly #options: CosignerOptions;
  readonly #claims: Claims;
  readonly #pace: EvidencePace;
  /** Digests of proposals that are being approved or signed, each with how many requests do so. */
  readonly #underWay = new Map<string, number>();

  constructor(options: CosignerOptions) {
    this.#options = options;
    this.#pace = new EvidencePace(options.clock);
    this.#claims = new Claims((key) => options.ledger.read(key), options.clock, options.rules);
  }

  /** Finishes what a crash left half signed. Call it before anything else. */
  async resume(): Promise<void> {
    const { ledger, log } = this.#options;
    const { signing } = ledger;
    if (signing === undefined) return;
    const bundle = requireLive(parseBundle(signing));
    await log.appendPrepared(async () => {
      // Whoever came first may have finished it.
      const known = this.#loggedProposal(bundle);
      if (known) return log.entry(known.index)!;
      // The rules were kept when it was stored, and nothing with a signature was appended since.
      return this.#sign(bundle);
    });
  }

  /**
   * Takes an unsigned bundle: signs and logs it, or keeps it until a person approves. The same again is answered the same.
   * @param operator name of the certificate of whoever sent it.
   * @throws HoldfastError as `checkProposal`, `bundle_malformed`, `not_found` for evidence that is not in the log,
   * `conflict` or `overloaded` where another operator has the turn, or this one has too many.
   */
  async propose(text: string, operator: string): Promise<Logged | Pending> {
    const bundle = requireLive(parseBundle(text));
    const known = this.#loggedProposal(bundle);
    if (known) return this.#published(known);
    const { ledger, approvals } = this.#options;
    this.#check(ledger.state, bundle, operator);
    await this.#options.evidence.verify(bundle, {
      policy: ledger.state.policy,
      operator,
      earlier: this.#acceptedBefore(bundle.manifest.fleet),
      isLogged: (file) => ledger.hasEvidence(file),
      placeOf: (sha256) => ledger.evidence(sha256),
    });
    // It may have been approved, signed and logged while its evidence was looked at: then it must not wait once more.
    const meanwhile = this.#loggedProposal(bundle);
    if (meanwhile) return this.#published(meanwhile);
    if (!approvals) return this.#append(bundle, operator);
    if (approvals.isApproved(bundle.digest)) {
      const logged = await this.#whileUnderWay(bundle.digest, async () => {
        // A rejection may be on its way to the disk: whoever gave it is told that nothing is signed.
        const still = await approvals.isStillApproved(bundle.digest);
        return still ? this.#append(bundle, operator) : undefined;
      });
      if (logged) return logged;
    }
    await approvals.add(bundle, operator);
    return { status: 'pending', digest: bundle.digest };
  }

  /**
   * Signs and logs what waits for approval, now that `approver` has given it.
   * @throws HoldfastError `not_found` where it does not wait, or was rejected a moment before.
   */
  async approve(digest: string, approver: string): Promise<Logged> {
    const { approvals } = this.#options;
    if (!approvals) throw notWaiting();
    return this.#whileUnderWay(digest, async () => {
      const waiting = await approvals.approve(digest, approver);
      const bundle = requireLive(parseBundle(waiting.text));
      const known = this.#loggedProposal(bundle);
      const logged = known ? await this.#published(known) : await this.#append(bundle, waiting.operator);
      await approvals.forget(digest);
      return logged;
    });
  }

  /**
   * Forgets a proposal that waits: from then on nobody can approve it.
   * @throws HoldfastError `not_found`; `conflict` where it is being signed, which nothing takes back.
   */
  async reject(digest: string): Promise<void> {
    const { approvals } = this.#options;
    if (!approvals) throw notWaiting();
    await approvals.reject(digest, () => this.#underWay.has(digest));
  }

  /**
   * Takes a proposal with the operator's line. Anybody may send it.
   * @throws HoldfastError `conflict` where a later proposal has made it void, `signature_invalid`, `bundle_malformed`.
   */
  async accept(note: string): Promise<Logged> {
    const parsed = parseSubmitted(note);
    const bundle = requireLive(parseBundle(parsed.text));
    const known = this.#accepted(bundle);
    if (known) return this.#published(known);
    return this.#appendLeaf(bundle.digest, (state) => {
      const repeated = this.#accepted(bundle);
      if (repeated) throw new Known(repeated);
      const proposal = this.#proposalOf(state, bundle);
      const { operator } = state.policy.policy;
      const [first, second, ...others] = parsed.signatures;
      const right = first && second && others.length === 0 && isSameLine(first, proposal);
      if (!right || second.name !== operator.name || second.id !== operator.id) {
        throw new HoldfastError(
          'signature_invalid',
          'an acceptance has exactly two lines: the cosigner’s as it stands in the log, then the operator’s',
        );
      }
      if (!(bundle.manifest.notAfter > this.#options.clock.now())) {
        throw new HoldfastError('bundle_expired', 'the bundle has expired and can no longer be accepted');
      }
      return noteLeaf('acceptance', { text: bundle.text, signatures: [proposal, second] });
    });
  }

  /** Takes a revocation signed by cosigner, operator or a revoker. Anybody may send it. */
  async revoke(note: string): Promise<Logged> {
    const parsed = parseSubmitted(note);
    const { digest, manifest } = parseBundle(parsed.text);
    if (manifest.kind !== 'revoke')
      throw new HoldfastError('bad_input', 'this is a bundle of another kind than revoke');
    const known = this.#revoked(manifest.fleet, digest);
    if (known) return this.#published(known);
    return this.#appendLeaf(digest, (state) => {
      const repeated = this.#revoked(manifest.fleet, digest);
      if (repeated) throw new Known(repeated);
      const { cosigner, operator, revokers } = state.policy.policy;
      const [line] = verifiedLines(parsed, [cosigner, operator, ...revokers]);
      if (!line) throw new HoldfastError('signature_missing', 'no line is of anybody who may revoke');
      return noteLeaf('revocation', { text: parsed.text, signatures: [line] });
    });
  }

  /** Takes a trust policy with its signatures: the first as configured, or the next. */
  async addPolicy(note: string): Promise<Logged> {
    const policy = parseSignedPolicy(note);
    for (const index of this.#options.ledger.policies) {
      const known = this.#noteAt(index, policy.digest);
      if (known.digestOfText === policy.digest) return this.#published(known.logged);
    }
    return this.#appendLeaf(policy.digest, (state) => {
      const keys = [...state.policy.policy.policyKeys.keys, ...policy.policy.policyKeys.keys];
      const signatures = verifiedLines(policy.note, uniqueKeys(keys));
      if (signatures.length === 0) throw new HoldfastError('policy_signatures', 'no line is of a policy key');
      return noteLeaf('policy', { text: policy.text, signatures });
    });
  }

  /**
   * Notes in the log where evidence is. Resolves with the leaf's index; the same again gives the same.
   * @param operator name of the certificate of whoever sent it.
   * @throws HoldfastError `rate_limited` for more than an operator may have.
   */
  async addEvidence(evidence: Evidence, operator: string): Promise<{ index: number }> {
    const { log, ledger, requireSound, evidence: check } = this.#options;
    requireSound();
    const leaf = evidenceLeaf(evidence);
    await check.checkLeaf(evidence, (digest) => this.#bundleOf(digest));
    const { sha256, size, address } = evidence;
    const isThere = ledger.hasEvidence({ sha256, size }) && ledger.hasEvidence({ sha256, address });
    if (!isThere) this.#pace.take(operator);
    const { index } = await log.append(leaf);
    return { index };
  }

  /** Whoever is told where something stands in the log finds it there: a leaf may be committed and not published yet. */
  async #published(logged: Logged): Promise<Logged> {
    const { log } = this.#options;
    if (logged.index >= log.head.size) await log.settle();
    return logged;
  }

  /** From before a proposal is approved until it is logged, or that has failed, nobody is told that it was rejected. */
  async #whileUnderWay<T>(digest: string, work: () => Promise<T>): Promise<T> {
    const count = (change: number) => {
      const now = (this.#underWay.get(digest) ?? 0) + change;
      if (now > 0) this.#underWay.set(digest, now);
      else this.#underWay.delete(digest);
    };
    count(1);
    try {
      return await work();
    } finally {
      count(-1);
    }
  }

  async #append(bundle: Bundle<LiveManifest>, operator: string): Promise<Logged> {
    const { log, ledger, requireSound } = this.#options;
    requireSound();
    await this.#finishOther(bundle);
    const { index } = await log.appendPrepared(async () => {
      const known = this.#loggedProposal(bundle);
      if (known) return log.entry(known.index)!;
      if (ledger.signing !== undefined && ledger.signing !== bundle.text) throw unfinished();
      this.#check(ledger.state, bundle, operator);
      // From here on this bundle will be in the log.
      await ledger.beginSigning(bundle.text, this.#claims.rowOf(bundle, operator));
      return this.#sign(bundle);
    });
    return this.#loggedAt(index, bundle.digest);
  }

  async #appendLeaf(digest: string, make: (state: LogState) => Uint8Array): Promise<Logged> {
    const { log, ledger, requireSound } = this.#options;
    requireSound();
    await this.#finishOther(undefined);
    const checked = () => {
      const leaf = make(ledger.state);
      const breach = breachOf(ledger.state, parseLeaf(leaf));
      if (breach) throw breachError(breach);
      return leaf;
    };
    try {
      // Anybody may send this: what is wrong already must not wait, and fill the queue.
      checked();
      const { index } = await log.appendPrepared(async () => {
        if (ledger.signing !== undefined) throw unfinished();
        return checked();
      });
      return this.#loggedAt(index, digest);
    } catch (error) {
      if (error instanceof Known) return this.#published(error.logged);
      throw error;
    }
  }

  /** A bundle whose signing was interrupted comes first: nothing may make it impossible. */
  async #finishOther(bundle: Bundle<LiveManifest> | undefined): Promise<void> {
    const { signing } = this.#options.ledger;
    if (signing !== undefined && signing !== bundle?.text) await this.resume();
  }

  async #sign(bundle: Bundle<LiveManifest>): Promise<Uint8Array> {
    return noteLeaf('proposal', await signNote(bundle.text, [this.#options.bundleSigner]));
  }

  /** Everything that costs nothing. Asked again right before the signature. */
  #check(state: LogState, bundle: Bundle<LiveManifest>, operator: string): void {
    const { rules, clock, ledger, bundleSigner } = this.#options;
    if (parseVerifierKey(bundleSigner.verifierKey).text !== state.policy.policy.cosigner.text) {
      throw new HoldfastError(
        'not_ready',
        'the bundle key is not the cosigner’s in the trust policy; ask its operator',
      );
    }
    checkProposal(state, bundle, rules, clock.now());
    this.#claims.check(state, bundle, operator);
    const { sha256, address } = bundle.manifest.evidence;
    if (ledger.hasEvidence({ sha256, address })) return;
    throw new HoldfastError('not_found', 'the bundle’s evidence is not in the log; submit it first, then the bundle', {
      details: { sha256 },
    });
  }

  /** The accepted bundle with this digest. */
  #bundleOf(digest: string): Bundle<LiveManifest> | undefined {
    const index = this.#options.ledger.bundle(digest);
    const leaf = index === undefined ? undefined : this.#leafAt(index);
    return leaf?.type === 'acceptance' ? leaf.bundle : undefined;
  }

  #acceptedBefore(fleet: string): LiveManifest[] {
    return this.#options.ledger.fleet(fleet).accepted.flatMap(({ index }) => {
      const leaf = this.#leafAt(index);
      return leaf.type === 'acceptance' ? [leaf.bundle.manifest] : [];
    });
  }

  /** The fleet's last proposal if it is this bundle, or the accepted one. */
  #loggedProposal({ digest, manifest }: Bundle<LiveManifest>): Logged | undefined {
    const proposal = this.#options.ledger.state.fleets.get(manifest.fleet)?.proposal;
    return proposal?.digest === digest ? this.#loggedAt(proposal.index, digest) : undefined;
  }

  #accepted({ digest, manifest }: Bundle<LiveManifest>): Logged | undefined {
    const found = this.#options.ledger.fleet(manifest.fleet).accepted.find((each) => each.digest === digest);
    return found && this.#loggedAt(found.index, digest);
  }

  #revoked(fleet: string, digest: string): Logged | undefined {
    const found = this.#options.ledger.fleet(fleet).revocations.find((each) => each.digest === digest);
    return found && this.#loggedAt(found.index, digest);
  }

  /** The cosigner's line over this bundle, as it was logged. */
  #proposalOf(state: LogState, { digest, manifest }: Bundle<LiveManifest>): NoteSignature {
    const proposal = state.fleets.get(manifest.fleet)?.proposal;
    if (proposal === undefined || manifest.serial > proposal.manifest.serial) {
      throw new HoldfastError('not_found', 'this bundle was never proposed; submit it to the cosigner first');
    }
    if (proposal.digest !== digest) {
      throw breachError({
        code: 'acceptance_void',
        sentence: `a later proposal has made serial ${manifest.serial} void`,
      });
    }
    const leaf = this.#leafAt(proposal.index);
    if (leaf.type !== 'proposal') throw new HoldfastError('unexpected', 'the log’s state names a wrong leaf');
    return leaf.note.signatures[0]!;
  }

  #leafAt(index: number): Leaf {
    const entry = this.#options.log.entry(index);
    if (!entry) throw new HoldfastError('unexpected', `the log’s state names leaf ${index}, which is not there`);
    return parseLeaf(entry);
  }

  #noteAt(index: number, digest: string): { logged: Logged; digestOfText: string } {
    const leaf = this.#leafAt(index);
    if (leaf.type === 'evidence') throw new HoldfastError('unexpected', 'the log’s state names a wrong leaf');
    const logged: Logged = { status: 'logged', note: serialiseNote(leaf.note), index, digest };
    return { logged, digestOfText: leaf.type === 'policy' ? leaf.policy.digest : digest };
  }

  #loggedAt(index: number, digest: string): Logged {
    return this.#noteAt(index, digest).logged;
  }
}

/** Ends an append whose leaf turned out to be in the log already. */
class Known extends Error {
  readonly logged: Logged;

  constructor(logged: Logged) {
    super('it is in the log already');
    this.logged = logged;
  }
}

function parseSubmitted(note: string): SignedNote {
  return parseNote(note, { maximumBytes: MAXIMUM_SUBMISSION });
}

function isSameLine(a: NoteSignature, b: NoteSignature): boolean {
  return a.name === b.name && a.id === b.id && equalBytes(a.signature, b.signature);
}

/**
 * The lines of known keys, in their order, each once. Others are dropped: nothing that was not verified is stored.
 * @throws HoldfastError `signature_invalid` if a known key's line does not verify, or stands twice.
 */
function verifiedLines({ text, signatures }: SignedNote, keys: readonly VerifierKey[]): NoteSignature[] {
  const seen = new Set<VerifierKey>();
  return signatures.filter((line) => {
    const key = keys.find(({ name, id }) => name === line.name && id === line.id);
    if (!key) return false;
    if (seen.has(key) || verifySignature(key, text, line.signature) === undefined) {
      throw new HoldfastError('signature_invalid', `a line of the key ${key.name} does not verify, or stands twice`);
    }
    seen.add(key);
    return true;
  });
}

function uniqueKeys(keys: readonly VerifierKey[]): VerifierKey[] {
  return [...new Map(keys.map((key) => [key.text, key])).values()];
}

const unfinished = () =>
  new HoldfastError('not_ready', 'a bundle is being signed and not yet in the log; try again in a moment');
