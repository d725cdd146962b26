/** Reading logs from servers that may be hostile, and keeping copies of them: what auditing witness and monitor share. */

export * from './http.ts';
export * from './mirror.ts';
export * from './reader.ts';
export * from './replay.ts';
