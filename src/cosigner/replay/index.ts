/** Reading logs from servers that may be hostile, and keeping copies of them: what auditing witness and monitor share. */

export { LogReader, type LogReaderLimits, READER_LIMITS } from '../../trust/index.ts';
export * from './http.ts';
export * from './mirror.ts';
export * from './replay.ts';
