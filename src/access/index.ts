/** Who may do what: user tokens that tenants sign and that are bound to the client's key. */

export * from './client.ts';
export { createUserToken, generateTenantKey, type TenantKeyPair, type UserTokenRequest } from './issue.ts';
export { recordId } from './record-id.ts';
export { TENANT_ALGORITHMS, type TenantAlgorithm, type TenantConfiguration } from './tenant.ts';
export {
  createUserTokenVerifier,
  type RefusalReason,
  type UserTokenVerifier,
  type UserTokenVerifierOptions,
  type VerifiedUser,
} from './verifier.ts';
