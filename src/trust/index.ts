/** What a client trusts, and why: trust files of the pinned mode, transparency logs, and what is made of them. */

export * from './bundle/index.ts';
export * from './canonical.ts';
export type { Digest } from './fields.ts';
export * from './pinned.ts';
export { digestOf } from './text.ts';
export * from './tlog/index.ts';
