/** Bundle mode: from a trust anchor to a verified fleet, and to a user's record in it. */

export type { TrustedVaultOptions } from './places.ts';
export type { FleetStanding, TrustMode } from './standing.ts';
export * from './stores.ts';
export * from './trusted-fleet.ts';
export { TrustedVault } from './trusted-vault.ts';
