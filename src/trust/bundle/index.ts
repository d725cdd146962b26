/** Validation bundles and what a log holds about them. */

export * from './manifest.ts';
export * from './manifest-text.ts';
export * from './roster.ts';
