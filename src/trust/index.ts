/** What a client trusts, and why: trust files of the pinned mode, transparency logs and their proofs. */

export * from './pinned.ts';
export * from './tlog/index.ts';
