/**
 * What a site's log says, for a first look at it: fleets, their bundles, who signed, who witnessed. The log's own signature
 * and its fingerprint are looked at, so that what is shown is one log's; all else is for the audit.
 */

import type { AuditedSite } from '../../audit/index.ts';
import { bytesToHex, equalBytes, HoldfastError } from '../../core/index.ts';
import {
  type Bundle,
  Frontier,
  hashEntry,
  type Leaf,
  type LiveManifest,
  parseLeaf,
  parseNote,
  parseSignedPolicy,
  parseTrustAnchor,
  quorumTime,
  type RevokeManifest,
  type Roster,
  type RosterEntry,
  type SignedPolicy,
  serialiseNote,
  type TrustAnchor,
  type TrustPolicyText,
  verifyCheckpoint,
  verifyPolicyChain,
} from '../../trust/index.ts';

export interface WitnessView {
  /** Of its key. */
  readonly name: string;
  readonly organisation: string;
  readonly auditing: boolean;
  /** Milliseconds since 1970; undefined where it has not confirmed this state. */
  readonly confirmed: number | undefined;
}

export interface SignerView {
  readonly name: string;
  readonly organisation: string | undefined;
}

export interface BundleView extends Bundle<LiveManifest> {
  /** Of its acceptance in the log. */
  readonly index: number;
  /** Whose lines it carries: cosigner, then operator. */
  readonly signers: readonly SignerView[];
}

export interface RevocationView extends Bundle<RevokeManifest> {
  readonly index: number;
  readonly signers: readonly SignerView[];
}

export interface FleetView {
  readonly name: string;
  readonly state: RosterEntry['state'];
  /** Accepted, oldest first; the last one is in force or was the last in force. */
  readonly bundles: readonly BundleView[];
  readonly revocations: readonly RevocationView[];
  /** Proposed after the last acceptance, by serial: confers nothing. */
  readonly proposed: number | undefined;
}

export interface Overview {
  readonly policy: TrustPolicyText;
  readonly origin: string;
  readonly size: number;
  /** In hexadecimal. */
  readonly root: string;
  readonly witnesses: readonly WitnessView[];
  /** The latest time for which a quorum of witnesses vouches; undefined without one. Milliseconds since 1970. */
  readonly confirmed: number | undefined;
  /** Those in force first, then by name. */
  readonly fleets: readonly FleetView[];
  /** Entries of the log by what they are. */
  readonly entries: Readonly<Partial<Record<Leaf['type'], number>>>;
}

/** Leaves that are read for a first look, at most. */
const MAXIMUM_LEAVES = 20_000;

/**
 * @param anchor whom the visitor believes; undefined takes what the site says.
 * @throws HoldfastError what the site's parts throw that cannot be read, `untrusted`, `log_misconduct`, `not_found`.
 */
export async function loadOverview(site: AuditedSite, anchor?: TrustAnchor): Promise<Overview> {
  const first = anchor?.policy ?? (await firstPolicy(site));
  const served = await site.checkpoint('witnessed');
  if (!served) throw new HoldfastError('not_found', 'the site serves no checkpoint of a log');
  const note = parseNote(served);
  const size = sizeOf(note.text);
  const leaves = (await site.leaves(0, size)).map((entry) => ({ entry, leaf: parseLeaf(entry) }));
  const policy = newestPolicy(
    first,
    leaves.map(({ leaf }) => leaf),
  );
  const { checkpoint, cosignatures } = verifyCheckpoint(note, policy.tlog);
  requireRoot(
    leaves.map(({ entry }) => entry),
    checkpoint.root,
  );
  const roster = leaves.at(-1)?.leaf;
  if (roster?.type !== 'roster') throw new HoldfastError('log_misconduct', 'the log does not end in a list of fleets');
  const times = new Map(cosignatures.map(({ witness, seconds }) => [witness.key.name, seconds * 1000]));
  const quorum = quorumTime(policy.tlog, cosignatures);
  const { organisations, auditors } = policy.policy;
  return {
    policy,
    origin: checkpoint.origin,
    size,
    root: bytesToHex(checkpoint.root),
    witnesses: policy.tlog.witnesses.map(({ key: { name } }) => ({
      name,
      organisation: organisations.get(name) ?? name,
      auditing: auditors.some((auditor) => auditor.name === name),
      confirmed: times.get(name),
    })),
    confirmed: quorum === undefined ? undefined : quorum * 1000,
    fleets: fleetsOf(
      roster.roster,
      leaves.map(({ leaf }) => leaf),
      organisations,
    ),
    entries: countTypes(leaves.map(({ leaf }) => leaf)),
  };
}

function countTypes(leaves: readonly Leaf[]): Overview['entries'] {
  const counts: Partial<Record<Leaf['type'], number>> = {};
  for (const { type } of leaves) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

async function firstPolicy(site: AuditedSite): Promise<SignedPolicy> {
  const anchor = await site.anchor();
  if (anchor !== undefined) return parseTrustAnchor(anchor).policy;
  const first = await site.policy(1);
  if (first === undefined) throw new HoldfastError('not_found', 'the site says nowhere whom to believe');
  return parseSignedPolicy(first);
}

/** Read before the policy that says whose checkpoint it is: so the number is bounded first. */
function sizeOf(text: string): number {
  const size = Number(/^[^\n]+\n(0|[1-9][0-9]{0,15})\n/.exec(text)?.[1]);
  if (!(size <= MAXIMUM_LEAVES)) {
    throw new HoldfastError('too_large', `the log has more than ${MAXIMUM_LEAVES} entries; use the command instead`);
  }
  return size;
}

/** The rules in force by the log's own entries, each signed by the keepers of the one before. @throws HoldfastError `policy_*`. */
function newestPolicy(first: SignedPolicy, leaves: readonly Leaf[]): SignedPolicy {
  const later = leaves.flatMap((leaf) => (leaf.type === 'policy' ? [leaf] : []));
  const newer = later.filter(({ policy }) => policy.policy.version > first.policy.version);
  return verifyPolicyChain(
    first,
    newer.map(({ note }) => serialiseNote(note)),
  );
}

function requireRoot(entries: readonly Uint8Array[], root: Uint8Array): void {
  const frontier = new Frontier();
  for (const entry of entries) frontier.append(hashEntry(entry));
  if (equalBytes(frontier.root(), root)) return;
  throw new HoldfastError('log_misconduct', 'the entries that the site shows are not those that the log has signed');
}

function fleetsOf(roster: Roster, leaves: readonly Leaf[], organisations: ReadonlyMap<string, string>): FleetView[] {
  const signersOf = (note: { readonly signatures: readonly { readonly name: string }[] }) =>
    note.signatures.map(({ name }) => ({ name, organisation: organisations.get(name) }));
  const rank = { live: 0, retired: 1, revoked: 2 };
  return roster.fleets
    .map(({ fleet, state }) => {
      const bundles: BundleView[] = [];
      const revocations: RevocationView[] = [];
      let last = 0;
      for (const [index, leaf] of leaves.entries()) {
        if (leaf.type === 'evidence' || leaf.type === 'policy' || leaf.type === 'roster') continue;
        if (leaf.bundle.manifest.fleet !== fleet) continue;
        if (leaf.type === 'proposal') last = leaf.bundle.manifest.serial;
        else if (leaf.type === 'acceptance') bundles.push({ ...leaf.bundle, index, signers: signersOf(leaf.note) });
        else revocations.push({ ...leaf.bundle, index, signers: signersOf(leaf.note) });
      }
      const accepted = bundles.at(-1)?.manifest.serial ?? 0;
      return { name: fleet, state, bundles, revocations, proposed: last > accepted ? last : undefined };
    })
    .sort((a, b) => rank[a.state] - rank[b.state] || (a.name < b.name ? -1 : 1));
}
