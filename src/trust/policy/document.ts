/** Trust policies: whom a client believes, how recent what they say must be, and how strong a fleet must be (docs/trust.md, section 4). */

import type { KeyStretching, TakeoverPolicy } from '../../protocol/index.ts';
import type { TokenClass } from '../bundle/manifest.ts';
import type { Digest } from '../fields.ts';
import type { TlogPolicy, VerifierKey } from '../tlog/index.ts';

/** Where a client's history begins: nothing older than this is believed, even at first use. */
export interface PolicyFloor {
  /** Leaves of the log, and its root at that size in hexadecimal. */
  readonly size: number;
  readonly root: Digest;
  /** The least serial of a bundle of the policy's fleet. */
  readonly serial: number;
}

/** The least that a fleet must offer. */
export interface FleetFloors {
  /** The weakest class that a node's token may be of. */
  readonly tokenClass: TokenClass;
  /** The fewest nodes. */
  readonly nodes: number;
  /** The highest limits that the fleet's policy may have. */
  readonly limit: number;
  readonly lifetimeLimit: number;
  /** The shortest waits in seconds; the last entry repeats. */
  readonly waits: readonly number[];
  /** The loosest takeover. */
  readonly takeover: TakeoverPolicy;
  /** The least memory, passes and lanes. */
  readonly keyStretching: KeyStretching;
  /** Whether one operator may run as many nodes as make a majority: `allow` is for development. */
  readonly oneOperator: 'refuse' | 'allow';
}

export interface TrustPolicy {
  /** Counts the policies of this vault and environment, from 1. */
  readonly version: number;
  /** Digest of the policy before it; null for version 1. */
  readonly previous: Digest | null;
  readonly vault: string;
  readonly environment: string;
  /** The first fleet, the same in all versions. Others are reached only through accepted retirements. */
  readonly fleet: string;
  /** Milliseconds since 1970, whole seconds; at most 366 days ahead when it is used. */
  readonly expires: number;
  /** Seconds for which witnesses' cosignatures serve for everything. */
  readonly maxAge: number;
  /** Seconds for which they serve for what is already trusted: also the longest time a revocation can be suppressed. */
  readonly graceAge: number;
  /** The log, the witnesses and the quorum, as C2SP tlog-policy text. */
  readonly tlog: string;
  /** Keys of auditing witnesses, each also a witness in `tlog`. */
  readonly auditors: readonly VerifierKey[];
  /** The organisation behind each key, by the key's name. */
  readonly organisations: ReadonlyMap<string, string>;
  readonly cosigner: VerifierKey;
  readonly operator: VerifierKey;
  readonly roster: VerifierKey;
  readonly plexi: VerifierKey;
  /** Who may revoke besides cosigner and operator. */
  readonly revokers: readonly VerifierKey[];
  readonly floor: PolicyFloor;
  readonly floors: FleetFloors;
  /** Digests of bundles that may be weaker than the ones that they follow. */
  readonly weakerBundles: readonly Digest[];
  readonly policyKeys: { readonly threshold: number; readonly keys: readonly VerifierKey[] };
}

/** A policy's text with what it says; `digest` is of the text. */
export interface TrustPolicyText {
  readonly text: string;
  readonly digest: Digest;
  readonly policy: TrustPolicy;
  /** What `policy.tlog` says. */
  readonly tlog: TlogPolicy;
}

export const POLICY_TYPE = 'holdfast/trust-policy/v1';
/** Bytes of a policy's text. */
export const MAXIMUM_POLICY_TEXT = 49_152;
export const MAXIMUM_POLICY_KEYS = 16;
