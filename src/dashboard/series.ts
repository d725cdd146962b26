/** The lines that are plotted: for each, out of which figures it is made, and in which unit it is. */

import {
  CLIENT_OPERATIONS,
  type CoordinatorCounter,
  type NodeCounter,
  type NodeGauge,
  TOKEN_OPERATIONS,
} from './figures.ts';

export type Unit = 'count' | 'number' | 'seconds' | 'condition';

/** How one value of a step is made of the looks in it. */
export type Source =
  /** How much the counter grew. */
  | { readonly kind: 'growth'; readonly counter: string }
  /** The greatest value seen. */
  | { readonly kind: 'greatest'; readonly gauge: string }
  /** The quantile of what was added to the distribution. */
  | { readonly kind: 'quantile'; readonly distribution: string; readonly q: number }
  /** The worst condition seen (`CONDITIONS`). */
  | { readonly kind: 'condition' };

export interface Series {
  readonly name: string;
  readonly unit: Unit;
  readonly source: Source;
}

/** From the worst. A series of conditions has their place in this list. */
export const CONDITIONS = ['unreachable', 'stopped', 'repairing', 'failing', 'serving'] as const;
export type Condition = (typeof CONDITIONS)[number];

const growth = (counter: NodeCounter | CoordinatorCounter): Series => ({
  name: counter,
  unit: 'count',
  source: { kind: 'growth', counter },
});
const greatest = (gauge: NodeGauge): Series => ({ name: gauge, unit: 'number', source: { kind: 'greatest', gauge } });
const quantiles = (operation: string): Series[] =>
  ([0.5, 0.95] as const).map((q) => ({
    name: `${operation}.p${q * 100}`,
    unit: 'seconds',
    source: { kind: 'quantile', distribution: operation, q },
  }));

export const NODE_SERIES: readonly Series[] = [
  { name: 'condition', unit: 'condition', source: { kind: 'condition' } },
  ...(['attempts', 'evaluations', 'confirmations', 'activations', 'destructions', 'refusals'] as const).map(growth),
  ...(['anchorWrites', 'batches', 'repairs'] as const).map(growth),
  ...(['queueDepth', 'inFlight', 'records'] as const).map(greatest),
  ...TOKEN_OPERATIONS.flatMap(quantiles),
];

export const COORDINATOR_SERIES: readonly Series[] = [
  ...(['answered', 'refused', 'unreachable', 'carried', 'repairRounds', 'destroyed'] as const).map(growth),
  ...CLIENT_OPERATIONS.flatMap(quantiles),
];
