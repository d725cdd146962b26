/** What clients need of user tokens; loads in browsers. */

export {
  type ClientKeyJwk,
  clientKeyFromJwk,
  clientKeyToJwk,
  encodeClientSignature,
  generateClientKey,
  signAsClient,
  verifyClientSignature,
} from './client-key.ts';
export { OPERATIONS, type Operation, SCOPE_SETS, type ScopeSet } from './operations.ts';
export { hashUserToken, MAXIMUM_TOKEN_BYTES, readUserToken, type UserTokenClaims } from './user-token.ts';
