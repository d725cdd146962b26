/** The operator's dashboard without its transport: figures of metrics, a bounded history, and alarms. Browser-safe. */

export * from './alarms.ts';
export { MAXIMUM_EXPOSITION, parseExposition, type Sample } from './exposition.ts';
export * from './figures.ts';
export * from './history.ts';
export * from './overview.ts';
export { quantile } from './quantile.ts';
export { Recent } from './recent.ts';
export { CONDITIONS, COORDINATOR_SERIES, type Condition, NODE_SERIES, type Series, type Unit } from './series.ts';
export type { Look } from './track.ts';
