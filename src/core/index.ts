/** Errors, bytes, encodings, clock and redaction: what every other folder builds on. No I/O. */

export * from './bytes.ts';
export * from './clock.ts';
export type { Infer, Message } from './codec.ts';
export * as codec from './codec.ts';
export { collectBytes } from './collect.ts';
export * from './der.ts';
export * from './errors.ts';
export * from './hash.ts';
export * from './json.ts';
export * from './native.ts';
export * from './secret.ts';
