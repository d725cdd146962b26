/**
 * A cosigner, an operator, a log and witnesses in memory, for tests: software keys made from names, so that every run has
 * the same bytes. Runs in browsers too. Whatever an attacker could do with a stolen key, a test does with `key`.
 */

import { Secret, sha256, utf8 } from '../../src/core/index.ts';
import { ed25519KeyFromSeed } from '../../src/crypto/index.ts';
import { DEFAULT_POLICY, nodeHash } from '../../src/protocol/index.ts';
import {
  checkLog,
  cosign,
  digestOf,
  EMPTY_ROOT,
  emptyLog,
  evidenceLeaf,
  type HashReader,
  hashEntry,
  type LiveManifest,
  type LogState,
  type Manifest,
  type NoteSigner,
  nextRoster,
  noteLeaf,
  parseSignedPolicy,
  parseVerifierKey,
  proveConsistency,
  proveInclusion,
  type RevokeManifest,
  type SignedNote,
  type SignedPolicy,
  serialiseBundle,
  serialiseCheckpoint,
  serialiseNote,
  serialisePolicy,
  serialiseRoster,
  serialiseTlogProof,
  serialiseTrustSet,
  signNote,
  softwareNoteSigner,
  type TrustPolicy,
  type TrustSet,
  treeRoot,
} from '../../src/trust/index.ts';
import { DAY, NOW } from './manifests.ts';

export const ORIGIN = 'log.example/family/production';
export const WITNESSES = [
  'audit.example/w',
  'university.example/w',
  'foundation.example/w',
  'cosigner.example/w',
] as const;
export const POLICY_KEYS = ['anna.example/policy', 'bela.example/policy', 'cecil.example/policy'] as const;

/** The key of a name: for signing notes, or with `cosignature` for witnessing. `secret` makes another key of that name. */
export function key(name: string, type: 'ed25519' | 'cosignature' = 'ed25519', secret = name): NoteSigner {
  return softwareNoteSigner(name, ed25519KeyFromSeed(new Secret(sha256(utf8(`secret of ${secret}`)))), type);
}

export const COSIGNER = key('cosigner.example/bundle');
export const OPERATOR = key('operator.example/bundle');
export const ROSTER = key('cosigner.example/roster');
export const REVOKER = key('helpline.example/revoke');
export const LOG = key(ORIGIN);

export function tlogText({ log = LOG, witnesses = WITNESSES.map((name) => key(name, 'cosignature')) } = {}): string {
  const lines = witnesses.map(({ verifierKey }, i) => `witness w${i + 1} ${verifierKey}\n`).join('');
  return `log ${log.verifierKey}\n${lines}group others any w2 w3\ngroup both all w1 others\nquorum both\n`;
}

/** Version 1 of the policy of the fleet `first`: the auditing witness and one of two others, besides the cosigner's. */
export function trustPolicy(changes: Partial<TrustPolicy> = {}): TrustPolicy {
  const vkey = (signer: NoteSigner) => parseVerifierKey(signer.verifierKey);
  return {
    version: 1,
    previous: null,
    vault: 'family',
    environment: 'production',
    fleet: 'first',
    expires: NOW + 300 * DAY,
    maxAge: 86_400,
    graceAge: 14 * 86_400,
    tlog: tlogText(),
    auditors: [vkey(key(WITNESSES[0], 'cosignature'))],
    organisations: new Map([
      [COSIGNER.name, 'cosigner.example'],
      [OPERATOR.name, 'operator.example'],
      ...WITNESSES.map((name) => [name, name.split('/')[0]!] as const),
    ]),
    cosigner: vkey(COSIGNER),
    operator: vkey(OPERATOR),
    roster: vkey(ROSTER),
    plexi: vkey(key('cosigner.example/plexi')),
    revokers: [vkey(REVOKER)],
    floor: { size: 0, root: hex(EMPTY_ROOT), serial: 1 },
    floors: {
      tokenClass: 'declared',
      nodes: 3,
      limit: DEFAULT_POLICY.limit,
      lifetimeLimit: DEFAULT_POLICY.lifetimeLimit,
      waits: DEFAULT_POLICY.waits,
      takeover: { kind: 'off' },
      keyStretching: DEFAULT_POLICY.keyStretching,
      oneOperator: 'refuse',
    },
    weakerBundles: [],
    policyKeys: { threshold: 2, keys: POLICY_KEYS.map((name) => vkey(key(name))) },
    ...changes,
  };
}

export async function signPolicy(
  policy: TrustPolicy,
  signers: readonly NoteSigner[] = POLICY_KEYS.slice(0, 2).map((name) => key(name)),
): Promise<SignedPolicy> {
  return parseSignedPolicy(serialiseNote(await signNote(serialisePolicy(policy), signers)));
}

/** The policy after `before`, changed. */
export function nextPolicy(before: SignedPolicy, changes: Partial<TrustPolicy>): TrustPolicy {
  return { ...before.policy, version: before.policy.version + 1, previous: before.digest, ...changes };
}

export const signBundle = async (manifest: Manifest, ...signers: readonly NoteSigner[]): Promise<SignedNote> =>
  await signNote(serialiseBundle(manifest), signers);

export const proposal = async (manifest: LiveManifest, cosigner = COSIGNER) =>
  noteLeaf('proposal', await signBundle(manifest, cosigner));

export const acceptance = async (manifest: LiveManifest, cosigner = COSIGNER, operator = OPERATOR) =>
  noteLeaf('acceptance', await signBundle(manifest, cosigner, operator));

export const revocationLeaf = async (manifest: RevokeManifest, signer = REVOKER) =>
  noteLeaf('revocation', await signBundle(manifest, signer));

export const evidence = (sha256Digest = 'e'.repeat(64)) =>
  evidenceLeaf({ sha256: sha256Digest, size: 1000, address: 'https://vault.example/evidence/first.json' });

export const digestOfManifest = (manifest: Manifest): string => digestOf(serialiseBundle(manifest));

interface CheckpointOptions {
  readonly size?: number;
  /** Which witnesses cosign, and when, in milliseconds since 1970. */
  readonly witnessed?: Readonly<Record<string, number>>;
  readonly log?: NoteSigner;
  readonly origin?: string;
}

/** A log in memory that obeys nothing by itself: `append` writes what it is given, then the right roster. */
export class TestLog {
  readonly policy: SignedPolicy;
  readonly entries: Uint8Array[] = [];
  readonly signers: { roster: NoteSigner; log: NoteSigner };
  state: LogState;

  constructor(policy: SignedPolicy, signers: Partial<{ roster: NoteSigner; log: NoteSigner }> = {}) {
    this.policy = policy;
    this.signers = { roster: ROSTER, log: LOG, ...signers };
    this.state = emptyLog(policy);
  }

  /** The same log so far, to continue in another way. */
  fork(): TestLog {
    const other = new TestLog(this.policy, this.signers);
    other.entries.push(...this.entries);
    other.state = this.state;
    return other;
  }

  /** Appends a batch, and the roster that follows from it. */
  async append(...leaves: readonly Uint8Array[]): Promise<void> {
    this.write(...leaves);
    this.write(noteLeaf('roster', await signNote(serialiseRoster(nextRoster(this.state)), [this.signers.roster])));
  }

  /** Appends leaves as they are. Returns the codes of the rules that they break. */
  write(...leaves: readonly Uint8Array[]): string[] {
    const { state, misconduct } = checkLog(this.state, leaves);
    this.entries.push(...leaves);
    this.state = state;
    return misconduct.map(({ code }) => code);
  }

  /** Proposes and accepts a manifest in one batch. */
  async accept(manifest: LiveManifest, cosigner = COSIGNER, operator = OPERATOR): Promise<void> {
    await this.append(evidence(), await proposal(manifest, cosigner), await acceptance(manifest, cosigner, operator));
  }

  hashReader(): HashReader {
    const subtree = (level: number, index: number): Uint8Array =>
      level === 0
        ? hashEntry(this.entries[index]!)
        : nodeHash(subtree(level - 1, 2 * index), subtree(level - 1, 2 * index + 1));
    return { readHashes: async (nodes) => nodes.map(({ level, index }) => subtree(level, index)) };
  }

  async root(size = this.entries.length): Promise<Uint8Array> {
    return await treeRoot(size, this.hashReader());
  }

  async checkpoint(options: CheckpointOptions = {}): Promise<SignedNote> {
    const { size = this.entries.length, origin = this.state.origin, log = this.signers.log } = options;
    const { witnessed = Object.fromEntries(WITNESSES.map((name) => [name, NOW - 3_600_000])) } = options;
    const text = serialiseCheckpoint({ origin, size, root: await this.root(size) });
    const note = await signNote(text, [log]);
    const lines = await Promise.all(
      Object.entries(witnessed).map(([name, time]) => cosign(text, key(name, 'cosignature'), Math.floor(time / 1000))),
    );
    return { text, signatures: [...note.signatures, ...lines] };
  }

  async proof(index: number, checkpoint: SignedNote, size = this.entries.length): Promise<string> {
    const { hashes } = await proveInclusion(index, size, this.hashReader());
    return serialiseTlogProof({ index, hashes, checkpoint });
  }

  /** What an honest log serves for a fleet, from its state. */
  async trustSet(
    fleet = 'first',
    options: CheckpointOptions & { changes?: Partial<TrustSet> } = {},
  ): Promise<Uint8Array<ArrayBuffer>> {
    const checkpoint = await this.checkpoint(options);
    const size = options.size ?? this.entries.length;
    const index = this.state.fleets.get(fleet)!.accepted!.index;
    return serialiseTrustSet({
      bundle: this.noteAt(index),
      acceptance: await this.proof(index, checkpoint, size),
      roster: new TextDecoder().decode(this.entries[size - 1]),
      rosterProof: await this.proof(size - 1, checkpoint, size),
      revocation: undefined,
      policies: this.policies(),
      ...options.changes,
    });
  }

  /** The signed note in an entry that begins with a type line. */
  noteAt(index: number): string {
    const text = new TextDecoder().decode(this.entries[index]);
    return text.slice(text.indexOf('\n') + 1);
  }

  policies(): string[] {
    return this.entries.flatMap((entry, i) =>
      new TextDecoder().decode(entry).startsWith('holdfast/policy/v1\n') ? [this.noteAt(i)] : [],
    );
  }

  async consistency(older: number, newer: number): Promise<Uint8Array[]> {
    return await proveConsistency(older, newer, this.hashReader());
  }
}

export const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
