/** The steps on a site as a whole: whom to believe, and whether its log is one that others have seen too. */

import { bytesToHex, equalBytes, HoldfastError, hexToBytes, systemClock } from '../core/index.ts';
import {
  type Checkpoint,
  CLOCK_TOLERANCE,
  type Cosignature,
  emptyLog,
  Frontier,
  findSignature,
  firstPolicyOf,
  hashEntry,
  type LogState,
  lintPolicy,
  MAXIMUM_LATER_POLICIES,
  MAXIMUM_NOTE_BYTES,
  newestPolicy,
  originOf,
  parseCheckpoint,
  parseLeaf,
  parseNote,
  parseSignedPolicy,
  parseTrustAnchor,
  proveConsistency,
  proveInclusion,
  quorumTime,
  type Roster,
  replayLog,
  requireRoot,
  requireSafePolicy,
  requireSignature,
  type SignedNote,
  type SignedPolicy,
  tileHashReader,
  verifyConsistency,
  verifyFirstPolicy,
  verifyInclusion,
  verifyPolicyChain,
} from '../trust/index.ts';
import type { AuditedSite } from './site.ts';
import { ageText, count, type Finding, NotChecked, timeText } from './steps.ts';
import type { AuditOptions, SeenLog } from './types.ts';

/** A checkpoint of which the log's signature has been verified. */
export interface Head {
  readonly note: SignedNote;
  readonly checkpoint: Checkpoint;
}

/** Leaves that are replayed in one go: some tens of milliseconds in a browser. */
const LEAVES_AT_ONCE = 32;

/** All leaves of a log that were read, and what they come to. */
export interface ReplayedLog {
  readonly entries: readonly Uint8Array[];
  readonly state: LogState;
}

/** Step `anchor`: the trust policy from which everything follows. */
export async function anchorStep(site: AuditedSite, { anchor }: AuditOptions): Promise<Finding<SignedPolicy>> {
  if (anchor !== undefined) {
    const { policy } = anchor;
    return {
      value: policy,
      message: `${describePolicy(policy)} It is the one that you gave.`,
      facts: policyFacts(policy, 'yours'),
    };
  }
  const own = await site.anchor();
  const policy = own === undefined ? await firstPolicy(site) : parseTrustAnchor(own).policy;
  return {
    value: policy,
    state: 'stated',
    message: `${describePolicy(policy)} It comes from the site that is being checked, which can name whom it likes: get it from somebody else, and check with that.`,
    facts: policyFacts(policy, 'the site’s own'),
  };
}

async function firstPolicy(site: AuditedSite): Promise<SignedPolicy> {
  const note = await site.policy(1);
  if (note === undefined) {
    throw new HoldfastError(
      'trust_unavailable',
      'the site has neither anchor.json nor a trust policy; give the one that you have',
    );
  }
  const policy = parseSignedPolicy(note);
  verifyFirstPolicy(policy);
  return policy;
}

function describePolicy({ policy }: SignedPolicy): string {
  return `Version ${policy.version} of the trust policy for ${policy.vault}, ${policy.environment}, signed by at least ${policy.policyKeys.threshold} of its ${policy.policyKeys.keys.length} keepers.`;
}

function policyFacts({ policy, digest }: SignedPolicy, from: string) {
  const { version, vault, environment, fleet, expires, policyKeys } = policy;
  return {
    ...{ from, version, digest, vault, environment, fleet, expires: timeText(expires) },
    keepers: policyKeys.keys.map(({ name }) => name),
    threshold: policyKeys.threshold,
  };
}

/** Step `policy`: the newest policy that leads from the anchor's, in force and protecting. `now` in milliseconds. */
export async function policyStep(site: AuditedSite, anchor: SignedPolicy, now: number): Promise<Finding<SignedPolicy>> {
  const later: string[] = [];
  for (let version = anchor.policy.version + 1; later.length < MAXIMUM_LATER_POLICIES; version++) {
    const note = await site.policy(version);
    if (note === undefined) break;
    later.push(note);
  }
  const newest = verifyPolicyChain(anchor, later);
  const { policy, tlog } = newest;
  if (now >= policy.expires) {
    throw new HoldfastError('policy_expired', 'the trust policy has expired, and its keepers have signed no newer one');
  }
  requireSafePolicy(newest, now);
  const weaknesses = lintPolicy(newest, now).map(({ sentence }) => sentence);
  const organisations = [...new Set(policy.organisations.values())];
  const weak = weaknesses.length > 0 ? ` It is for development: ${weaknesses.join('; ')}.` : '';
  return {
    value: newest,
    message: `Version ${policy.version} is in force until ${timeText(policy.expires)}; a quorum of ${count(tlog.witnesses.length, 'witness', 'witnesses')} has to confirm the log.${weak}`,
    facts: {
      version: policy.version,
      digest: newest.digest,
      origin: originOf(newest),
      cosigner: policy.cosigner.name,
      operator: policy.operator.name,
      organisations,
      witnesses: tlog.witnesses.map(({ key }) => key.name),
      auditing: policy.auditors.map(({ name }) => name),
      maxAge: policy.maxAge,
      weaknesses,
    },
  };
}

/** Step `checkpoint`: the log's own signature on what it says it is. */
export async function checkpointStep(site: AuditedSite, policy: SignedPolicy): Promise<Finding<Head>> {
  const served = await site.checkpoint('witnessed');
  if (served === undefined) throw new HoldfastError('trust_unavailable', 'the site serves no checkpoint');
  const note = parseNote(served, { maximumBytes: MAXIMUM_NOTE_BYTES });
  const checkpoint = parseCheckpoint(note.text);
  const origin = originOf(policy);
  if (checkpoint.origin !== origin) {
    throw new HoldfastError(
      'wrong_origin',
      `this is the log ${checkpoint.origin}, and the trust policy’s is ${origin}`,
    );
  }
  requireSignature(note, policy.tlog.logs[0]!.key, 'the log');
  const { size, root } = checkpoint;
  return {
    value: { note, checkpoint },
    message: `The log ${origin} has signed a state of ${count(size, 'entry', 'entries')}.`,
    facts: { origin, size, root: bytesToHex(root) },
  };
}

/** The times at which the policy's witnesses cosigned. @throws HoldfastError `signature_invalid`. */
export function cosignaturesOf(note: SignedNote, { tlog }: SignedPolicy): readonly Cosignature[] {
  return tlog.witnesses.flatMap((witness) => {
    const seconds = findSignature(note, witness.key, 'a witness')?.seconds;
    return typeof seconds === 'number' ? [{ witness, seconds }] : [];
  });
}

/** Step `witnesses`: a quorum has vouched for the checkpoint, and lately. */
export async function witnessesStep({ note }: Head, signed: SignedPolicy, now: number): Promise<Finding<number>> {
  const { policy, tlog } = signed;
  const cosignatures = cosignaturesOf(note, signed);
  const seconds = Math.floor(now / 1000);
  const names = cosignatures.map(({ witness }) => witness.key.name);
  const time = quorumTime(tlog, cosignatures, { to: seconds + CLOCK_TOLERANCE });
  if (time === undefined) {
    if (quorumTime(tlog, cosignatures) === undefined) {
      throw new HoldfastError(
        'quorum_not_met',
        `${count(names.length, 'independent witness', 'independent witnesses')} confirmed this state of the log, which is not enough; it may have been made for you alone`,
        { details: { witnesses: names } },
      );
    }
    throw new HoldfastError('clock_fault', 'witnesses confirmed the log at times in the future; set this clock right');
  }
  const age = seconds - time;
  const facts = {
    witnesses: cosignatures.map(({ witness, seconds: at }) => `${witness.key.name}, ${timeText(at * 1000)}`),
    missing: tlog.witnesses.map(({ key }) => key.name).filter((name) => !names.includes(name)),
    auditing: policy.auditors.map(({ name }) => name).filter((name) => names.includes(name)),
    age,
  };
  if (age > policy.maxAge) {
    throw new HoldfastError(
      'log_stale',
      `witnesses last confirmed the log ${ageText(age)} ago, and the policy allows ${ageText(policy.maxAge)}; somebody may be showing an old state`,
      { details: facts },
    );
  }
  return {
    value: time,
    message: `${names.length} of ${tlog.witnesses.length} witnesses confirmed it; a quorum did within the last ${ageText(Math.max(age, 0))}.`,
    facts,
  };
}

/** Step `log`: every leaf read, the root computed anew, every rule replayed. */
export async function logStep(
  site: AuditedSite,
  { checkpoint }: Head,
  anchor: SignedPolicy,
  newest: SignedPolicy,
  { maximumLeaves, signal }: { readonly maximumLeaves: number; readonly signal: AbortSignal | undefined },
): Promise<Finding<ReplayedLog>> {
  const { size } = checkpoint;
  if (size > maximumLeaves) {
    throw new NotChecked(
      `The log has ${size} entries, more than the ${maximumLeaves} that are read here. Its auditing witnesses, who confirmed it, read all of them.`,
    );
  }
  const first = await firstPolicyOf(anchor, site);
  const entries = await site.leaves(0, size);
  requireRoot(entries, checkpoint);
  const state = await replayInPieces(first, entries, signal);
  const logged = newestPolicy(anchor, state, entries);
  if (logged.policy.version > newest.policy.version) {
    throw new HoldfastError('policy_outdated', 'the log has a newer trust policy, which the site did not show');
  }
  const found = countsOf(entries);
  return {
    value: { entries, state },
    message: `All ${size} entries were read; they give exactly the signed state, and none breaks a rule of the log.`,
    facts: { size, ...found },
  };
}

/** A long log keeps a page busy for seconds: others get their turn in between, and whoever gave up need not wait. */
async function replayInPieces(
  first: SignedPolicy,
  entries: readonly Uint8Array[],
  signal: AbortSignal | undefined,
): Promise<LogState> {
  let state = emptyLog(first);
  for (let from = 0; from < entries.length; from += LEAVES_AT_ONCE) {
    state = replayLog(state, entries.slice(from, from + LEAVES_AT_ONCE));
    if (from + LEAVES_AT_ONCE < entries.length) await systemClock.sleep(0, signal);
  }
  if (entries.length > 0 && !state.endsInRoster) {
    throw new HoldfastError('roster_wrong', 'the log’s last leaf is no list of fleets; this is misconduct of the log');
  }
  return state;
}

function countsOf(entries: readonly Uint8Array[]): Record<string, number> {
  const found: Record<string, number> = {};
  for (const entry of entries) {
    const { type } = parseLeaf(entry);
    found[type] = (found[type] ?? 0) + 1;
  }
  return found;
}

/** Step `roster`: the list of fleets is the last leaf, and the roster key's. */
export async function rosterStep(
  site: AuditedSite,
  { checkpoint }: Head,
  policy: SignedPolicy,
  log: ReplayedLog | undefined,
): Promise<Finding<Roster>> {
  const { size, root } = checkpoint;
  if (size === 0) throw new HoldfastError('not_accepted', 'the log is empty; no fleet was ever accepted in it');
  const entry = log?.entries.at(-1) ?? (await provenLast(site, size, root));
  const leaf = parseLeaf(entry);
  if (leaf.type !== 'roster') {
    throw new HoldfastError('roster_wrong', 'the log’s last entry is no list of fleets; this is misconduct of the log');
  }
  requireSignature(leaf.note, policy.policy.roster, 'the roster key');
  const { roster } = leaf;
  if (roster.size !== size - 1 || roster.origin !== checkpoint.origin) {
    throw new HoldfastError('roster_wrong', 'the log’s list of fleets was made for another place');
  }
  // A policy that its keepers have just signed may not be in the log yet.
  const known = [policy.digest, policy.policy.previous, null];
  if (log === undefined && !known.includes(roster.policy)) {
    throw new HoldfastError('policy_outdated', 'the log names a newer trust policy, which the site did not show', {
      details: { policy: roster.policy },
    });
  }
  const fleets = roster.fleets.map(({ fleet, state, serial }) => `${fleet}: ${state}, serial ${serial}`);
  return {
    value: roster,
    message: `The log lists ${count(fleets.length, 'fleet')}: ${fleets.join('; ') || 'none'}.`,
    facts: { number: roster.number, fleets },
  };
}

async function provenLast(site: AuditedSite, size: number, root: Uint8Array): Promise<Uint8Array> {
  const [entry] = await site.leaves(size - 1, size);
  const proof = await proveInclusion(
    size - 1,
    size,
    tileHashReader(size, (tile) => site.tile(tile)),
  );
  if (entry !== undefined && verifyInclusion(proof, hashEntry(entry), root)) return entry;
  throw new HoldfastError('proof_invalid', 'the last entry that the site serves is not the log’s');
}

/** Step `history`: the log has only grown since it was seen before, and since the policy's floor. */
export async function historyStep(
  site: AuditedSite,
  { checkpoint }: Head,
  { policy }: SignedPolicy,
  log: ReplayedLog | undefined,
  seen: SeenLog | undefined,
): Promise<Finding<undefined>> {
  const older = [
    ...(policy.floor.size > 0 ? [{ ...policy.floor, origin: checkpoint.origin }] : []),
    ...(seen ? [seen] : []),
  ];
  for (const one of older) {
    if (one.origin !== checkpoint.origin) {
      throw new HoldfastError('wrong_origin', `what you saw before is of the log ${one.origin}, not of this one`);
    }
    await requireGrowth(site, one, checkpoint, log);
  }
  const known = older.at(-1);
  if (known === undefined) {
    throw new NotChecked('Nothing was seen of this log before. Keep this report: the next audit can compare with it.');
  }
  return {
    value: undefined,
    message: `The log still begins with the ${known.size} entries that were seen ${seen ? 'before' : 'when the policy was made'}.`,
    facts: { sizes: older.map(({ size }) => String(size)), size: checkpoint.size },
  };
}

/** @throws HoldfastError `rolled_back`, `split_view`; and whatever the site throws. */
export async function requireGrowth(
  site: AuditedSite,
  older: { readonly size: number; readonly root: string },
  newer: Checkpoint,
  log: ReplayedLog | undefined,
): Promise<void> {
  const details = { size: newer.size, root: bytesToHex(newer.root), olderSize: older.size, olderRoot: older.root };
  if (newer.size < older.size) {
    throw new HoldfastError('rolled_back', `the log had ${older.size} entries before and shows ${newer.size} now`, {
      details,
    });
  }
  const root = hexToBytes(older.root);
  if (older.size === newer.size ? equalBytes(root, newer.root) : await begins(site, { ...older, root }, newer, log))
    return;
  throw new HoldfastError(
    'split_view',
    'the log does not contain what it contained before: its past was rewritten, or it shows different histories; keep this report as evidence',
    { details },
  );
}

async function begins(
  site: AuditedSite,
  older: { readonly size: number; readonly root: Uint8Array },
  newer: Checkpoint,
  log: ReplayedLog | undefined,
): Promise<boolean> {
  if (log !== undefined && log.entries.length >= newer.size) {
    const frontier = new Frontier();
    for (const entry of log.entries.slice(0, older.size)) frontier.append(hashEntry(entry), () => {});
    return equalBytes(frontier.root(), older.root);
  }
  const proof = await proveConsistency(
    older.size,
    newer.size,
    tileHashReader(newer.size, (tile) => site.tile(tile)),
  );
  return verifyConsistency(older, newer, proof);
}
