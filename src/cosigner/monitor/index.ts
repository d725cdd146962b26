/** The monitor of a Holdfast log (docs/trust.md, section 3). */

export { inForce } from './alert-book.ts';
export type { EvidenceOptions } from './evidence.ts';
export { evidenceCheck } from './evidence-check.ts';
export * from './findings.ts';
export type { JournalLine, JournalSource } from './journal.ts';
export { type Looked, type LookOptions, look } from './look.ts';
export { MonitorMetrics } from './metrics.ts';
export type { PlexiSource } from './plexi.ts';
export { keepProofFiles } from './proof-files.ts';
export {
  type Contradiction,
  type EvidenceItem,
  MONITOR_TABLES,
  type MonitorDisk,
  type MonitorState,
  MonitorStore,
  type MonitorTable,
} from './store.ts';
export type { Vantage } from './views.ts';
export * from './watch.ts';
export { signatureOf, type WebhookOptions } from './webhook.ts';
