/** What a client trusts, and why: trust files of the pinned mode. */

export * from './pinned.ts';
