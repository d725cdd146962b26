/** The audit: what anybody can check of a site that says it runs fleets, step by step (docs/audit.md). Browser-safe. */

export * from './types.ts';
