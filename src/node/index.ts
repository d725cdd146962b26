/** The vault node. */

export * from './anchor.ts';
export * from './ports.ts';
export * from './start.ts';
export * from './vault-node.ts';
