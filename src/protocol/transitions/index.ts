/** The record state machine: one pure function per request. */

export * from './attempt.ts';
export * from './decision.ts';
export * from './destroy.ts';
export * from './enrol.ts';
export * from './merge.ts';
