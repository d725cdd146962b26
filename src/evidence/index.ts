/** Deployment evidence: its formats, and what it takes for each piece to prove what it says. Browser-safe. */

export * from './attestation.ts';
export * from './ceremony.ts';
export { MAXIMUM_CERTIFICATE } from './certificate.ts';
export * from './check.ts';
export * from './description.ts';
export * from './dsse.ts';
export * from './exchange.ts';
export * from './exchange-files.ts';
export * from './keys.ts';
export type { TokenFacts } from './lines.ts';
export * from './manifest.ts';
export * from './node-keys.ts';
export * from './separation.ts';
export * from './service-record.ts';
export * from './sigstore-bundle.ts';
export * from './software.ts';
export * from './statement.ts';
export * from './token-class.ts';
export * from './verify.ts';
