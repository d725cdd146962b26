/** What a token can do, found by trying it: the profile that `openToken` works by, for operators to see beforehand. */

export { probeToken } from './pkcs11/token.ts';
export type { SigningProfile, TokenProfile } from './profile.ts';
