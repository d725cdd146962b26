/** The vault node. */

export * from './anchor.ts';
export * from './authentication.ts';
export * from './ports.ts';
export * from './sealing.ts';
export * from './start.ts';
export * from './vault-node.ts';
