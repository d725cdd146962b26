/** What a client does before it trusts a fleet. */

export { CLOCK_TOLERANCE, trustedNow } from './authority.ts';
export { checkFloors, checkNotWeakened, checkStanding } from './fitness.ts';
export * from './follow.ts';
export { MAXIMUM_CHAIN } from './history.ts';
export * from './log-view.ts';
export { checkLogged } from './logged.ts';
export { type ReadSet, readTrustSet } from './read.ts';
export * from './state.ts';
export * from './tile-reader.ts';
export * from './trust-set.ts';
export * from './types.ts';
export * from './verify.ts';
