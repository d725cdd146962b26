/**
 * Replaying a log leaf by leaf: what a sequencer does before it appends, an auditing witness before it cosigns, and an
 * audit afterwards. All three come to the same verdict, because it depends on nothing but the leaves and the policy.
 *
 * A leaf that breaks a rule is reported and changes nothing, so that every reader goes on with the same state. The cost is
 * that of the batch, however long the log is.
 */

import { asHoldfastError } from '../../core/index.ts';
import { type Leaf, parseLeaf } from './leaves.ts';
import type { FleetState, LoggedBundle, LogState } from './log-state.ts';
import { breachOf, keysOf, keysRevokedBy, type RuleBreach } from './rules.ts';

/** Proof of misconduct by itself: the leaf stands in the log, and the log should have refused it. */
export interface Misconduct extends RuleBreach {
  /** Of the leaf. */
  readonly index: number;
}

export interface Replayed {
  readonly state: LogState;
  readonly misconduct: readonly Misconduct[];
}

/** The state after `entries`, which come next in the log, and what is wrong with them. Never throws for bad entries. */
export function checkLog(state: LogState, entries: Iterable<Uint8Array>): Replayed {
  const misconduct: Misconduct[] = [];
  let current = state;
  for (const entry of entries) {
    const leaf = readLeaf(entry);
    const breach = 'code' in leaf ? leaf : breachOf(current, leaf);
    if (breach !== undefined) misconduct.push({ ...breach, index: current.size });
    const applied = breach !== undefined || 'code' in leaf ? current : applyLeaf(current, leaf);
    current = { ...applied, size: current.size + 1, endsInRoster: !('code' in leaf) && leaf.type === 'roster' };
  }
  return { state: current, misconduct };
}

function readLeaf(entry: Uint8Array): Leaf | RuleBreach {
  try {
    return parseLeaf(entry);
  } catch (error) {
    return { code: 'leaf_malformed', sentence: asHoldfastError(error).message };
  }
}

/** The state, its size apart, after a leaf that breaks no rule. */
function applyLeaf(state: LogState, leaf: Leaf): LogState {
  switch (leaf.type) {
    case 'evidence':
      return state;
    case 'policy':
      return { ...state, policy: leaf.policy, policyLogged: true };
    case 'roster':
      return { ...state, rosters: leaf.roster.number, roster: leaf.roster.digest };
    case 'revocation': {
      const { fleet, serial } = leaf.bundle.manifest;
      const known = state.fleets.get(fleet)!;
      const keys = new Map([...state.keys, ...keysRevokedBy(state, leaf.bundle.manifest)]);
      return { ...withFleet(state, fleet, { ...known, revokedThrough: serial }), keys };
    }
    case 'proposal': {
      const proposal: LoggedBundle = { ...leaf.bundle, index: state.size };
      const known = state.fleets.get(proposal.manifest.fleet);
      const { accepted, revokedThrough = 0 } = known ?? {};
      return withFleet(state, proposal.manifest.fleet, { proposal, accepted, revokedThrough });
    }
    case 'acceptance': {
      const accepted: LoggedBundle = { ...leaf.bundle, index: state.size };
      const { fleet } = accepted.manifest;
      const keys = new Map([
        ...state.keys,
        ...keysOf(accepted.manifest).map((key) => [key, { fleet, revoked: false }] as const),
      ]);
      return { ...withFleet(state, fleet, { ...state.fleets.get(fleet)!, accepted }), keys };
    }
  }
}

function withFleet(state: LogState, name: string, fleet: FleetState): LogState {
  return { ...state, fleets: new Map([...state.fleets, [name, fleet]]) };
}
