/** Messages, documents, statements, certificates and the record state machine: pure, browser-safe. */

export * from './certificate.ts';
export * from './document.ts';
export * from './epoch.ts';
export * from './facts.ts';
export * from './fleet.ts';
export * from './joining.ts';
export * from './json.ts';
export * from './merkle.ts';
export * from './node-batch.ts';
export * from './node-message.ts';
export * from './node-state.ts';
export * from './proofs.ts';
export * from './record.ts';
export * from './request.ts';
export * from './service-statement.ts';
export * from './statement.ts';
export * from './transitions/index.ts';
