/** The coordinator. */

export * from './coordinator.ts';
export * from './gather.ts';
export * from './maintenance.ts';
export * from './ports.ts';
