/** `holdfast/client`: the SDK for Node and browsers. */

export {
  clientKeyFromJwk,
  clientKeyToJwk,
  generateClientKey,
  readUserToken,
} from '../access/client.ts';
export { type ErrorCode, HoldfastError, Secret } from '../core/index.ts';
export {
  type PinnedTrust,
  parseTrustAnchor,
  parseTrustFile,
  type TrustAnchor,
  type TrustStateStore,
} from '../trust/index.ts';
export type { FetchBody } from './download.ts';
export * from './http.ts';
export * from './ports.ts';
export * from './suite.ts';
export * from './trust/index.ts';
export * from './vault-client.ts';
