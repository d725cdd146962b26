/** The witness of transparency logs, plain or auditing (C2SP tlog-witness). */

export * from './auditor.ts';
export * from './evidence.ts';
export * from './http/index.ts';
export * from './request.ts';
export * from './state.ts';
export * from './store.ts';
export * from './witness.ts';
