/** What a log has said so far, as far as it decides what may come next: all that a replay has to keep. */

import { HoldfastError, parseJson } from '../../core/index.ts';
import { canonicalJson } from '../canonical.ts';
import { type Digest, readDigestOrNull, readName } from '../fields.ts';
import { parsePolicy, type TrustPolicyText } from '../policy/index.ts';
import type { LiveManifest } from './manifest.ts';
import { type Bundle, parseBundle, requireLive } from './manifest-text.ts';
import type { Roster, RosterEntry } from './roster.ts';

export interface LoggedBundle extends Bundle<LiveManifest> {
  /** Index of its leaf: of the proposal, or of the acceptance. */
  readonly index: number;
}

export interface FleetState {
  /** The last proposal; all before it that were not accepted are void. */
  readonly proposal: LoggedBundle;
  /** The last accepted bundle. */
  readonly accepted: LoggedBundle | undefined;
  /** All bundles up to this serial are revoked; 0 for none. */
  readonly revokedThrough: number;
}

/** Whose a node's key is, for ever. */
export interface KeyState {
  readonly fleet: string;
  readonly revoked: boolean;
}

/** Never changed: every leaf makes a new one, which shares with the old one what did not change. */
export interface LogState {
  readonly origin: string;
  /** Leaves so far. */
  readonly size: number;
  /** Whether the last leaf is a roster: only such sizes may become checkpoints. */
  readonly endsInRoster: boolean;
  /** Number of the last roster, 0 before the first, and its digest. */
  readonly rosters: number;
  readonly roster: Digest | null;
  readonly fleets: ReadonlyMap<string, FleetState>;
  /** By the key's point, as `keyText` writes it. */
  readonly keys: ReadonlyMap<string, KeyState>;
  /** Whose signatures count from here on, and whether that policy stands in the log. */
  readonly policy: TrustPolicyText;
  readonly policyLogged: boolean;
  /** Whether the log takes over from another one: then a fleet's first proposal here may have any serial. */
  readonly continues: boolean;
}

/**
 * The state of an empty log. The policy says which vault and environment the log is for, and whose signatures count until
 * the log has a newer one.
 * @throws HoldfastError `bad_input` unless the policy names exactly one log.
 */
export function emptyLog(policy: TrustPolicyText): LogState {
  return {
    origin: originOf(policy),
    size: 0,
    endsInRoster: false,
    rosters: 0,
    roster: null,
    fleets: new Map(),
    keys: new Map(),
    policy,
    policyLogged: false,
    continues: policy.policy.version > 1,
  };
}

/** The origin that a policy binds to its vault and environment: the name of its one log. */
export function originOf({ tlog }: Pick<TrustPolicyText, 'tlog'>): string {
  const [log, ...others] = tlog.logs;
  if (log === undefined || others.length > 0)
    throw new HoldfastError('bad_input', 'the policy must name exactly one log');
  return log.key.name;
}

/** The roster that must come next after these leaves: a function of them and of nothing else. */
export function nextRoster(state: LogState): Roster {
  return {
    origin: state.origin,
    number: state.rosters + 1,
    previous: state.roster,
    size: state.size,
    fleets: rosterEntries(state),
    policy: state.policyLogged ? state.policy.digest : null,
  };
}

function rosterEntries({ fleets }: LogState): RosterEntry[] {
  return [...fleets]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([fleet, { accepted, revokedThrough }]) => {
      if (accepted === undefined) return [];
      const { index, digest, manifest } = accepted;
      const standing = manifest.kind === 'retire' ? 'retired' : 'live';
      const state = manifest.serial <= revokedThrough ? 'revoked' : standing;
      return [{ fleet, serial: manifest.serial, digest, index, state }];
    });
}

/** A node's key as it stands in `LogState.keys`. */
export function keyText(point: Uint8Array): string {
  return String.fromCharCode(...point);
}

const STATE_TYPE = 'holdfast/log-state/v1';

/** The state as text, for whoever replays a log and stops in between. */
export function serialiseLogState(state: LogState): string {
  const logged = (bundle: LoggedBundle | undefined) =>
    bundle === undefined ? null : { text: bundle.text, index: bundle.index };
  return canonicalJson({
    type: STATE_TYPE,
    origin: state.origin,
    size: state.size,
    endsInRoster: state.endsInRoster,
    rosters: state.rosters,
    roster: state.roster,
    fleets: [...state.fleets].map(([fleet, { proposal, accepted, revokedThrough }]) => ({
      fleet,
      proposal: logged(proposal),
      accepted: logged(accepted),
      revokedThrough,
    })),
    keys: [...state.keys].map(([key, { fleet, revoked }]) => ({ key: btoa(key), fleet, revoked })),
    policy: state.policy.text,
    policyLogged: state.policyLogged,
    continues: state.continues,
  });
}

/** @throws HoldfastError `bad_input` for anything that `serialiseLogState` does not write. */
export function parseLogState(text: string): LogState {
  const file = parseJson(text, 'bad_input').object([
    'type',
    'origin',
    'size',
    'endsInRoster',
    'rosters',
    'roster',
    'fleets',
    'keys',
    'policy',
    'policyLogged',
    'continues',
  ]);
  file.required('type').word([STATE_TYPE]);
  type Json = ReturnType<typeof file.required>;
  const logged = (value: Json): LoggedBundle => {
    const item = value.object(['text', 'index']);
    const bundle = requireLive(parseBundle(item.required('text').text(65_536)));
    return { ...bundle, index: item.required('index').integer(0) };
  };
  const fleets = file
    .required('fleets')
    .array(0, 1_000_000)
    .map((value): [string, FleetState] => {
      const item = value.object(['fleet', 'proposal', 'accepted', 'revokedThrough']);
      const accepted = item.required('accepted');
      return [
        readName(item.required('fleet')),
        {
          proposal: logged(item.required('proposal')),
          accepted: accepted.value === null ? undefined : logged(accepted),
          revokedThrough: item.required('revokedThrough').integer(0),
        },
      ];
    });
  const keys = file
    .required('keys')
    .array(0, 1_000_000)
    .map((value): [string, KeyState] => {
      const item = value.object(['key', 'fleet', 'revoked']);
      const state = { fleet: readName(item.required('fleet')), revoked: item.required('revoked').boolean() };
      return [atob(item.required('key').text(88)), state];
    });
  const state = {
    origin: file.required('origin').text(1024),
    size: file.required('size').integer(0),
    endsInRoster: file.required('endsInRoster').boolean(),
    rosters: file.required('rosters').integer(0),
    roster: readDigestOrNull(file.required('roster')),
    fleets: new Map(fleets),
    keys: new Map(keys),
    policy: parsePolicy(file.required('policy').text(65_536)),
    policyLogged: file.required('policyLogged').boolean(),
    continues: file.required('continues').boolean(),
  };
  if (serialiseLogState(state) !== text)
    throw new HoldfastError('bad_input', 'the state of the log is not as it was written');
  return state;
}
