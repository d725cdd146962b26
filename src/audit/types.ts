/** What an audit is given, and what it says: steps with numbers that docs/audit.md and src/audit/texts.ts share. */

import type { ErrorCode, ErrorDetails } from '../core/index.ts';
import type { VendorRoot } from '../evidence/index.ts';
import type { Digest, TrustAnchor } from '../trust/index.ts';

/** Steps on the site as a whole, then those on each fleet, in the order in which they are run. */
export const SITE_STEPS = ['anchor', 'policy', 'checkpoint', 'witnesses', 'log', 'roster', 'history'] as const;
export const FLEET_STEPS = [
  'bundle',
  'revocations',
  'acceptance',
  'strength',
  'evidence',
  'logged',
  'statements',
  'node-keys',
  'token-class',
  'ceremony',
  'software',
  'service-record',
  'plexi',
] as const;
export const AUDIT_STEPS = [...SITE_STEPS, ...FLEET_STEPS] as const;
export type SiteStepId = (typeof SITE_STEPS)[number];
export type FleetStepId = (typeof FLEET_STEPS)[number];
export type AuditStepId = (typeof AUDIT_STEPS)[number];

/**
 * `passed`: checked, and it is so. `stated`: what could be checked is right, but that it is true is only said by somebody.
 * `not_checked`: it could not be looked at, or there is nothing to look at; nothing is known. `failed`: checked, and wrong,
 * or what must be there was not to be had.
 */
export type AuditState = 'passed' | 'stated' | 'not_checked' | 'failed';

export interface AuditStep {
  readonly id: AuditStepId;
  /** From 1, by the place in `AUDIT_STEPS`; the same for each fleet. */
  readonly number: number;
  /** Undefined for steps on the site. */
  readonly fleet: string | undefined;
  readonly state: AuditState;
  /** Why it failed. Undefined for all other states. */
  readonly code: ErrorCode | undefined;
  /** What was found, one sentence or two for people. */
  readonly message: string;
  /** The same as figures and names, for programs and for a page's details. Of hostile origin: show it as text. */
  readonly facts: ErrorDetails;
}

/** Where everything is fetched from. Nothing that comes from there is trusted. */
export interface AuditSource {
  /**
   * The bytes at an absolute address.
   * @throws HoldfastError `not_found` where there is nothing, `too_large` beyond `maximumBytes`, `not_ready` where no answer
   * comes, `cancelled`.
   */
  fetch(address: string, maximumBytes: number, signal: AbortSignal | undefined): Promise<Uint8Array>;
}

export interface AuditOptions {
  readonly source: AuditSource;
  /** Where the log, its trust sets, policies and evidence are served: an address, with or without a slash at its end. */
  readonly site: string;
  /**
   * Whom to believe, from elsewhere than the site. Undefined takes the site's own `anchor.json`, and says that this lets the
   * party that is checked choose who vouches for it.
   */
  readonly anchor?: TrustAnchor | undefined;
  /** Only this fleet; default all in the log's roster that are not revoked, or all where there are no others. */
  readonly fleet?: string | undefined;
  /** What was seen of the log before: it must be the beginning of what is seen now. */
  readonly seen?: SeenLog | undefined;
  /** Roots of vendors' attestation certificates that the auditor has pinned; default none, so that no token is `attested`. */
  readonly vendorRoots?: readonly VendorRoot[] | undefined;
  /** Milliseconds since 1970, by the clock of the machine that audits. */
  readonly now: number;
  /** Leaves of a log that are read and replayed, at most; default 20,000. Beyond that step `log` is not checked. */
  readonly maximumLeaves?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called before each step. */
  readonly onBegin?: ((id: AuditStepId, fleet: string | undefined) => void) | undefined;
}

/** A state of a log, as a report leaves it for the next audit. */
export interface SeenLog {
  readonly origin: string;
  readonly size: number;
  /** In hexadecimal. */
  readonly root: Digest;
}

export interface AuditReport {
  readonly site: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Whether no step failed. */
  readonly passed: boolean;
  readonly steps: readonly AuditStep[];
  /** Fleets that were looked at, by name. */
  readonly fleets: readonly string[];
  /** What to give to the next audit; undefined where the log was not verified. */
  readonly seen: SeenLog | undefined;
}
