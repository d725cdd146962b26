/** The validation bundle's manifest, and the note text that holds it as one line of RFC 8785 JSON (docs/trust.md, section 2). */

import type { Membership, NodeKeys, Policy } from '../../protocol/index.ts';
import type { Digest } from '../fields.ts';

/** How it is known that a node's keys are in a token: by its vendor's attestation, by the operator's word, or not at all. */
export type TokenClass = 'attested' | 'declared' | 'emulated';
/** From the weakest. */
export const TOKEN_CLASSES = ['emulated', 'declared', 'attested'] as const satisfies readonly TokenClass[];

export interface BundleNode {
  /** As the node's certificate has it; differs from all others of the fleet. */
  readonly name: string;
  /** The organisation that runs it. */
  readonly operator: string;
  /** Where it stands, in the operator's words. */
  readonly region: string;
  readonly keys: NodeKeys;
  readonly tokenClass: TokenClass;
  /** HTTPS origin at which its peers reach it; differs from all others of the fleet. */
  readonly endpoint: string;
}

/** What every manifest says of itself. */
interface ManifestHead {
  readonly vault: string;
  readonly environment: string;
  readonly fleet: string;
  /** Counts changes of membership, from 1. */
  readonly epoch: number;
  /** Counts the fleet's proposals, from 1. A revocation has the serial of the bundle that it revokes. */
  readonly serial: number;
}

interface FleetManifest extends ManifestHead {
  /** Digest of the fleet's proposal before this one; null for serial 1. */
  readonly previous: Digest | null;
  /** Digest of the fleet's last accepted bundle; null if there is none. */
  readonly accepted: Digest | null;
  /** Milliseconds since 1970, whole seconds. In force from `notBefore`, and no longer at `notAfter`. */
  readonly notBefore: number;
  readonly notAfter: number;
  readonly policy: Policy;
  /** Node i at index i - 1; 1, 3, 5, 7 or 9 of them. The threshold follows from their number. */
  readonly nodes: readonly BundleNode[];
  /** Earlier epochs whose records are still of use, oldest first, the last one being `epoch - 1`; left out where there are none. */
  readonly earlier?: readonly Membership[];
  /** HTTPS origins of coordinators, 1 to 32. */
  readonly coordinators: readonly string[];
  /** PEM certificate of the authority of the coordinators' HTTPS; undefined for the platform's own authorities. */
  readonly authority: string | undefined;
  /** SHA-256 and address of the manifest of the deployment's evidence. */
  readonly evidence: { readonly sha256: Digest; readonly address: string };
}

export interface DeployManifest extends FleetManifest {
  readonly kind: 'deploy';
}

/** The fleet as it was deployed, and what follows it. */
export interface RetireManifest extends FleetManifest {
  readonly kind: 'retire';
  /** Name of the fleet to which records move. */
  readonly successor: string;
  /** Milliseconds since 1970, whole seconds: until then records are recovered, confirmed and deleted here. */
  readonly sunset: number;
}

/** Takes no serial of its own and has no end, so that nothing can overtake or outlive it. */
export interface RevokeManifest extends ManifestHead {
  readonly kind: 'revoke';
  /** Digest of the bundle that is revoked, and with it all of lower serials. */
  readonly revokes: Digest;
  /** 1 to 256 characters, for people. */
  readonly reason: string;
}

export type LiveManifest = DeployManifest | RetireManifest;
export type Manifest = LiveManifest | RevokeManifest;

export const BUNDLE_TYPE = 'holdfast/validation-bundle/v1';
/** Bytes of a bundle's note text. With its signatures it stays below the 65,535 bytes of a log's entry. */
export const MAXIMUM_BUNDLE_TEXT = 49_152;
