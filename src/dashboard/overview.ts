/** What the operator's overview says: `GET /v1/operator/overview`. No record, tenant or user is in it, and nothing secret. */

import type { ClientOperation, TokenOperation } from './figures.ts';
import type { Condition } from './series.ts';

/** All times are milliseconds since 1970; null where something is not known. */
export interface Overview {
  readonly format: typeof OVERVIEW_FORMAT;
  readonly fleet: string;
  readonly epoch: number;
  readonly time: number;
  /** Whose view this is: another coordinator may see the fleet differently. */
  readonly view: CoordinatorView;
  readonly quorum: QuorumView;
  /** The most severe first. */
  readonly alarms: readonly Alarm[];
  readonly nodes: readonly NodeView[];
  /** As the node that counted most has them: nodes count the same events, each for itself. */
  readonly lastHour: Activity;
  /** Null where this coordinator has no source of trust sets. */
  readonly log: LogView | null;
  /** What runs out one day, besides the bundle. */
  readonly expiries: readonly Expiry[];
  readonly history: { readonly intervalMilliseconds: number; readonly bytes: number };
}

export const OVERVIEW_FORMAT = 'holdfast/operator-overview/v1';

export interface CoordinatorView {
  readonly coordinator: string;
  /** When it began to look. */
  readonly since: number;
  /** How many coordinators the fleet’s trust file names, this one included; each shows a view of its own. */
  readonly coordinators: number;
  /** When the last round of looks ended; null before the first. */
  readonly lookedAt: number | null;
  /** Of its answers to clients, lately. */
  readonly latency: Readonly<Record<ClientOperation, Latency | null>>;
}

export interface QuorumView {
  readonly nodes: number;
  readonly needed: number;
  readonly serving: number;
  /** How many more may fail before recoveries stop. Below zero: how many too few serve. */
  readonly mayFail: number;
}

/** Seconds. */
export interface Latency {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
}

export interface NodeView {
  readonly node: number;
  readonly name: string;
  readonly condition: Condition;
  /** Since when this coordinator has seen it so. */
  readonly since: number;
  /** In the node’s own words, where it is not well: unverified. Empty where it says nothing. */
  readonly reason: string;
  /** When it last gave figures; null before that. */
  readonly figuresAt: number | null;
  readonly startedAt: number | null;
  readonly epoch: number | null;
  readonly queueDepth: number | null;
  readonly inFlight: number | null;
  readonly records: number | null;
  /** Number of its newest group commit, which its anchor holds. */
  readonly sequence: number | null;
  readonly repair: RepairView | null;
  readonly latency: Readonly<Record<TokenOperation, Latency | null>>;
}

export interface RepairView {
  /** How often it has rejoined. */
  readonly incarnation: number;
  /** How many of the others that answer have accepted that incarnation. */
  readonly acceptedBy: number;
  /** Heads of others that it has, and how many it needs before it serves. */
  readonly headsKnown: number;
  readonly headsNeeded: number;
  /** Whether it serves without having heard every other node since it rejoined: it abstains on attempts it may have forgotten. */
  readonly bars: boolean;
  /** Records that it has had fewer than the fullest node, at the least, in the last ten minutes; 0 where it keeps up. */
  readonly lagging: number;
}

export interface Activity {
  readonly attempts: number;
  readonly confirmations: number;
  readonly activations: number;
  readonly destructions: number;
  readonly anchorWrites: number;
}

/** What the cosigner or a mirror shows. This coordinator has not verified it: clients do. */
export interface LogView {
  /** When the present one was fetched; null where none is known. */
  readonly fetchedAt: number | null;
  readonly bundle: BundleView | null;
  readonly checkpoint: CheckpointView | null;
}

export interface BundleView {
  readonly serial: number;
  readonly epoch: number;
  readonly kind: 'deploy' | 'retire';
  readonly revoked: boolean;
  readonly digest: string;
  readonly notBefore: number;
  readonly notAfter: number;
  /** Of a retired fleet. */
  readonly successor: string | null;
  readonly sunset: number | null;
}

export interface CheckpointView {
  readonly origin: string;
  readonly size: number;
  /** Names of keys that the policy has to know; the log’s own is not among them. The newest first. */
  readonly cosignatures: readonly { readonly name: string; readonly time: number }[];
  /** When more than half of them had signed; null without cosignatures. */
  readonly majorityAt: number | null;
}

export interface Expiry {
  /** In words. */
  readonly what: string;
  readonly at: number;
}

export const SEVERITIES = ['critical', 'warning', 'notice'] as const;
export type Severity = (typeof SEVERITIES)[number];

export interface Alarm {
  /** Stable; see docs/dashboard.md. */
  readonly id: AlarmId;
  readonly severity: Severity;
  /** One line in plain words. */
  readonly title: string;
  /** What it means and what to do. */
  readonly text: string;
  /** The node that it is about, or null. */
  readonly node: number | null;
  readonly since: number | null;
}

export const ALARM_IDS = [
  'no_majority',
  'no_spare',
  'node_unreachable',
  'node_stopped',
  'node_failing',
  'node_repairing',
  'node_lagging',
  'node_without_figures',
  'node_override',
  'node_overloaded',
  'node_other_epoch',
  'many_failures',
  'bundle_unknown',
  'bundle_ending',
  'bundle_revoked',
  'bundle_retired',
  'log_stale',
  'expiry',
] as const;
export type AlarmId = (typeof ALARM_IDS)[number];
