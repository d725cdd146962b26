/** The transcript of a key ceremony: its plan, its script, its records, and how far it has come. Browser-safe; no I/O. */

export * from './plan.ts';
export * from './presence.ts';
export * from './reader.ts';
export * from './record.ts';
export * from './steps.ts';
