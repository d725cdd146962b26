/** The audit: what anybody can check of a site that says it runs fleets, step by step (docs/audit.md). Browser-safe. */

export * from './audit.ts';
export * from './report.ts';
export { AuditedSite } from './site.ts';
export * from './texts.ts';
export * from './types.ts';
