/** Validation bundles and what a log holds about them. */

export * from './diff.ts';
export * from './leaves.ts';
export * from './log-state.ts';
export * from './manifest.ts';
export * from './manifest-text.ts';
export * from './replay.ts';
export * from './roster.ts';
export * from './rules.ts';
export * from './strength.ts';
