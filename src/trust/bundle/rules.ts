/** The rules of a log: what each kind of leaf may say after those before it (docs/trust.md, section 3). */

import { HoldfastError } from '../../core/index.ts';
import { checkSuccessor } from '../../protocol/index.ts';
import { canonicalJson } from '../canonical.ts';
import { writeEarlier, writeNodeKeys, writePolicy } from '../fields.ts';
import { countPolicySignatures, type TrustPolicy, verifyNextPolicy } from '../policy/index.ts';
import { findSignature, requireSignature } from '../signatures.ts';
import type { Leaf } from './leaves.ts';
import { type FleetState, type KeyState, keyText, type LogState, nextRoster } from './log-state.ts';
import type { BundleNode, LiveManifest, Manifest, RevokeManifest } from './manifest.ts';
import { type Bundle, fleetOf } from './manifest-text.ts';
import { MAXIMUM_FLEETS, type Roster, serialiseRoster } from './roster.ts';

/** What is wrong with a leaf. A code's meaning never changes. */
export type RuleCode =
  | 'leaf_malformed'
  | 'leaf_signature'
  | 'wrong_names'
  | 'too_many_fleets'
  | 'serial_wrong'
  | 'previous_wrong'
  | 'accepted_wrong'
  | 'serial_revoked'
  | 'fleet_retired'
  | 'retirement_wrong'
  | 'epoch_wrong'
  | 'membership_wrong'
  | 'key_revoked'
  | 'key_of_other_fleet'
  | 'acceptance_unknown'
  | 'acceptance_void'
  | 'acceptance_repeated'
  | 'revocation_unknown'
  | 'revocation_repeated'
  | 'policy_wrong'
  | 'roster_wrong'
  | 'roster_omits'
  | 'roster_resurrects';

export interface RuleBreach {
  readonly code: RuleCode;
  /** For people: what is wrong, and what should be. */
  readonly sentence: string;
}

type Of<T extends Leaf['type']> = Extract<Leaf, { readonly type: T }>;

/** The first rule that a leaf breaks if it comes next, or undefined. */
export function breachOf(state: LogState, leaf: Leaf): RuleBreach | undefined {
  switch (leaf.type) {
    case 'proposal':
      return signatureBreach(state, leaf) ?? proposalBreach(state, leaf.bundle);
    case 'acceptance':
      return signatureBreach(state, leaf) ?? acceptanceBreach(state, leaf.bundle);
    case 'revocation':
      return signatureBreach(state, leaf) ?? revocationBreach(state, leaf);
    case 'evidence':
      return undefined;
    case 'policy':
      return policyBreach(state, leaf);
    case 'roster':
      return signatureBreach(state, leaf) ?? rosterBreach(nextRoster(state), leaf);
  }
}

const breach = (code: RuleCode, sentence: string): RuleBreach => ({ code, sentence });

function signatureBreach(state: LogState, leaf: Exclude<Leaf, Of<'evidence' | 'policy'>>): RuleBreach | undefined {
  return caught('leaf_signature', () => verifyLeafSignatures(leaf, state.policy.policy));
}

/**
 * @throws HoldfastError `signature_missing` or `signature_invalid` unless a leaf of this type has the signatures that it
 * must have by `policy`; `bundle_malformed` if an acceptance has them in another order.
 */
export function verifyLeafSignatures(
  leaf: Exclude<Leaf, Of<'evidence' | 'policy'>>,
  { cosigner, operator, roster, revokers }: Pick<TrustPolicy, 'cosigner' | 'operator' | 'roster' | 'revokers'>,
): void {
  const { note } = leaf;
  if (leaf.type === 'roster') requireSignature(note, roster, 'the roster key');
  if (leaf.type === 'proposal') requireSignature(note, cosigner, 'the cosigner');
  if (leaf.type === 'acceptance') {
    requireSignature(note, cosigner, 'the cosigner');
    requireSignature(note, operator, 'the operator');
    if (note.signatures[0]!.id !== cosigner.id || note.signatures[0]!.name !== cosigner.name) {
      throw new HoldfastError('bundle_malformed', 'the cosigner’s signature must come before the operator’s');
    }
  }
  if (leaf.type === 'revocation') {
    const found = [cosigner, operator, ...revokers].map((key) => findSignature(note, key, 'a revoker'));
    if (found.every((signature) => signature === undefined)) {
      throw new HoldfastError('signature_missing', 'the revocation has no signature of anybody who may revoke');
    }
  }
}

/** What is wrong with a proposal that comes next, its signature left aside: also for the cosigner, before it signs. */
export function proposalBreach(state: LogState, { manifest }: Bundle<LiveManifest>): RuleBreach | undefined {
  const fleet = state.fleets.get(manifest.fleet);
  const { serial, previous, accepted } = manifest;
  const wrongNames = namesBreach(state, manifest);
  if (wrongNames) return wrongNames;
  if (fleet === undefined && state.fleets.size >= MAXIMUM_FLEETS) {
    return breach('too_many_fleets', `the log has ${MAXIMUM_FLEETS} fleets, which is as many as a roster lists`);
  }
  // The log of a policy that has predecessors takes over from another log, which began the serials.
  if (fleet === undefined && state.continues) return keysBreach(state, manifest);
  const expected = (fleet?.proposal.manifest.serial ?? 0) + 1;
  if (serial !== expected) return breach('serial_wrong', `the serial is ${serial} and must be ${expected}`);
  if (previous !== (fleet?.proposal.digest ?? null)) {
    return breach('previous_wrong', 'previous is not the digest of the proposal before it');
  }
  if (accepted !== (fleet?.accepted?.digest ?? null)) {
    return breach('accepted_wrong', 'accepted is not the digest of the last accepted bundle');
  }
  return keysBreach(state, manifest) ?? successionBreach(fleet?.accepted, manifest);
}

function acceptanceBreach(state: LogState, { digest, manifest }: Bundle<LiveManifest>): RuleBreach | undefined {
  const wrongNames = namesBreach(state, manifest);
  if (wrongNames) return wrongNames;
  const fleet = state.fleets.get(manifest.fleet);
  if (fleet === undefined || manifest.serial > fleet.proposal.manifest.serial) {
    return breach('acceptance_unknown', 'nothing was proposed that this accepts');
  }
  if (fleet.accepted?.digest === digest) return breach('acceptance_repeated', 'the bundle is accepted already');
  if (fleet.proposal.digest !== digest) {
    return breach('acceptance_void', `a later proposal has made serial ${manifest.serial} void`);
  }
  if (manifest.serial <= fleet.revokedThrough) {
    return breach('serial_revoked', `serial ${manifest.serial} is revoked, which is for ever`);
  }
  // Keys again: another fleet's bundle, or a revocation, may have come in between.
  return keysBreach(state, manifest) ?? beginningBreach(fleet, manifest);
}

/** Without this, one bundle more could end the use of all records, and nobody would have to say so. */
function beginningBreach({ accepted, revokedThrough }: FleetState, manifest: LiveManifest): RuleBreach | undefined {
  if (accepted === undefined || accepted.manifest.serial <= revokedThrough) return undefined;
  if (!beginsAnew(accepted.manifest, manifest)) return undefined;
  const { serial, epoch } = accepted.manifest;
  const instead = `revoke serial ${serial} first, or retire to another fleet`;
  return breach('membership_wrong', `it keeps no key of epoch ${epoch}, so that all records would be lost: ${instead}`);
}

function revocationBreach(state: LogState, { bundle }: Of<'revocation'>): RuleBreach | undefined {
  const { manifest } = bundle;
  const wrongNames = namesBreach(state, manifest);
  if (wrongNames) return wrongNames;
  const fleet = state.fleets.get(manifest.fleet);
  const revoked = [fleet?.proposal, fleet?.accepted].find((bundle) => bundle?.digest === manifest.revokes);
  if (
    fleet === undefined ||
    revoked?.manifest.serial !== manifest.serial ||
    revoked.manifest.epoch !== manifest.epoch
  ) {
    return breach('revocation_unknown', 'it names neither the last accepted bundle of the fleet nor the last proposal');
  }
  if (manifest.serial <= fleet.revokedThrough) return breach('revocation_repeated', 'the bundle is revoked already');
  return undefined;
}

/** Each log has one vault and one environment, so that nothing of a test can be shown as production's. */
function namesBreach({ policy }: LogState, { vault, environment }: Manifest): RuleBreach | undefined {
  if (vault === policy.policy.vault && environment === policy.policy.environment) return undefined;
  return breach('wrong_names', 'the vault or environment is not the one that this log is for');
}

/** What may follow an accepted bundle. Also for a client, which goes along the accepted ones. */
export function successionBreach(
  before: { readonly manifest: LiveManifest } | undefined,
  after: LiveManifest,
): RuleBreach | undefined {
  const was = before?.manifest;
  if (after.kind === 'retire') return retirementBreach(was, after);
  if (was === undefined) return undefined;
  // Otherwise a fleet and its successor could retire to each other.
  if (was.kind === 'retire')
    return breach('fleet_retired', 'the fleet is retired; what comes after it has another name');
  const same = nodesText(was.nodes) === nodesText(after.nodes);
  if (after.epoch !== was.epoch + 1 && !(same && after.epoch === was.epoch)) {
    const right = same ? `${was.epoch} or ${was.epoch + 1}` : `${was.epoch + 1}`;
    return breach('epoch_wrong', `the epoch is ${after.epoch} and must be ${right}`);
  }
  if (after.epoch === was.epoch) {
    if (earlierText(was) === earlierText(after)) return undefined;
    return breach('membership_wrong', `what it says of earlier epochs is not what serial ${was.serial} says`);
  }
  if (beginsAnew(was, after)) return undefined;
  return caught('membership_wrong', () => checkSuccessor(fleetOf(was), fleetOf(after)));
}

/**
 * Whether a new epoch has nothing in common with those before it, as it must after a revocation: it has none of their
 * keys, and so none of their records.
 */
export function beginsAnew(was: LiveManifest, after: LiveManifest): boolean {
  if (after.epoch === was.epoch || (after.earlier ?? []).length > 0) return false;
  const known = new Set(keysOf(was));
  return !keysOf(after).some((key) => known.has(key));
}

function retirementBreach(was: LiveManifest | undefined, after: Extract<LiveManifest, { kind: 'retire' }>) {
  if (was === undefined) return breach('retirement_wrong', 'there is no accepted bundle that could retire');
  const same =
    was.epoch === after.epoch &&
    nodesText(was.nodes) === nodesText(after.nodes) &&
    earlierText(was) === earlierText(after) &&
    canonicalJson(writePolicy(was.policy)) === canonicalJson(writePolicy(after.policy));
  if (!same) return breach('retirement_wrong', 'a retirement must leave epochs, nodes and policy as they are');
  if (was.kind === 'retire' && was.successor !== after.successor) {
    return breach('retirement_wrong', `the fleet has retired to ${was.successor} already`);
  }
  return undefined;
}

/** A node's keys and class: what a change of makes another membership. */
function nodesText(nodes: readonly BundleNode[]): string {
  return canonicalJson(nodes.map(({ keys }) => writeNodeKeys(keys)));
}

function earlierText(manifest: Pick<LiveManifest, 'earlier'>): string {
  return canonicalJson(writeEarlier(manifest));
}

/** Every fleet counts attempts by itself, so a key in two of them would be guessed against twice. */
function keysBreach({ keys }: LogState, manifest: LiveManifest): RuleBreach | undefined {
  for (const { whose, point } of namedKeys(manifest)) {
    const known = keys.get(keyText(point));
    if (known?.revoked) return breach('key_revoked', `a key of ${whose} has been revoked, which is for ever`);
    if (known !== undefined && known.fleet !== manifest.fleet) {
      return breach('key_of_other_fleet', `a key of ${whose} belongs to the fleet ${known.fleet}`);
    }
  }
  return undefined;
}

function policyBreach(state: LogState, { note, policy }: Of<'policy'>): RuleBreach | undefined {
  const current = state.policy;
  if (policy.digest === current.digest && !state.policyLogged) {
    const { threshold } = policy.policy.policyKeys;
    return caught('policy_wrong', () => {
      if (countPolicySignatures(note, policy.policy) >= threshold) return;
      throw new HoldfastError('policy_signatures', `the policy has fewer than ${threshold} signatures`);
    });
  }
  const [log] = policy.tlog.logs;
  if (policy.tlog.logs.length !== 1 || log?.key.name !== state.origin) {
    return breach('policy_wrong', 'the policy is for a log of another origin');
  }
  return caught('policy_wrong', () => verifyNextPolicy(current, { ...policy, note }));
}

function rosterBreach(right: Roster, { roster, note }: Of<'roster'>): RuleBreach | undefined {
  if (note.text === serialiseRoster(right)) return undefined;
  const listed = new Map(roster.fleets.map((entry) => [entry.fleet, entry]));
  for (const { fleet, serial, state } of right.fleets) {
    const entry = listed.get(fleet);
    if (entry === undefined || entry.serial < serial) {
      return breach('roster_omits', `the roster leaves out serial ${serial} of the fleet ${fleet}`);
    }
    if (state !== 'live' && entry.state !== state) {
      return breach('roster_resurrects', `the roster lists the fleet ${fleet} as ${entry.state}, but it is ${state}`);
    }
  }
  return breach('roster_wrong', 'the roster is not what follows from the log before it');
}

function caught(code: RuleCode, run: () => void): RuleBreach | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof HoldfastError) return breach(code, error.message);
    throw error;
  }
}

/** The keys that nobody may use again once `revokes` is revoked: all of the fleet, and those of a revoked proposal. */
export function keysRevokedBy(state: LogState, { fleet, revokes }: RevokeManifest): ReadonlyMap<string, KeyState> {
  const own = [...state.keys].filter(([, key]) => key.fleet === fleet).map(([point]) => point);
  const proposal = state.fleets.get(fleet)?.proposal;
  // A proposal that is meant to replace what is revoked keeps its keys.
  const proposed = proposal?.digest === revokes ? keysOf(proposal.manifest) : [];
  // Keys that another fleet was accepted with since are that fleet's: who can propose must not reach beyond the own one.
  const claimed = proposed.filter((point) => (state.keys.get(point)?.fleet ?? fleet) === fleet);
  return new Map([...own, ...claimed].map((point) => [point, { fleet, revoked: true }]));
}

/** All keys of a fleet's nodes, in this epoch and in those that it carries, as `LogState.keys` names them. */
export function keysOf(manifest: LiveManifest): string[] {
  return namedKeys(manifest).map(({ point }) => keyText(point));
}

function namedKeys({ nodes, earlier = [] }: LiveManifest): { whose: string; point: Uint8Array }[] {
  const now = nodes.flatMap(({ name, keys }) =>
    [keys.identity, keys.session, keys.oprf].map((point) => ({ whose: name, point })),
  );
  const before = earlier.flatMap((membership) =>
    membership.nodes.flatMap(({ identity, oprf }, i) =>
      [identity, oprf].map((point) => ({ whose: `node ${i + 1} in epoch ${membership.epoch}`, point })),
    ),
  );
  return [...now, ...before];
}
