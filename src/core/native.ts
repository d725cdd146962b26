/**
 * The runtime's synchronous cryptography where there is one. Asking `process` at run time, instead of importing, keeps
 * this module loadable in browsers.
 */

interface MaybeNode {
  getBuiltinModule?: (name: 'node:crypto') => typeof import('node:crypto') | undefined;
}

/** `node:crypto`, or undefined in browsers. */
export const nativeCrypto: typeof import('node:crypto') | undefined = (
  globalThis as { process?: MaybeNode }
).process?.getBuiltinModule?.('node:crypto');

/** Node's `Buffer`, for its fast base64; undefined in browsers. */
export const nativeBuffer: typeof Buffer | undefined = (globalThis as { Buffer?: typeof Buffer }).Buffer;
