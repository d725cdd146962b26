/** Trust policies: reading, rotation, lint. */

export * from './chain.ts';
export * from './document.ts';
export * from './lint.ts';
export * from './text.ts';
