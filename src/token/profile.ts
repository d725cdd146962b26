/** What a token was found to do, by trying it (`probe.ts`), and never by its vendor's name. */

/** What a token of signing keys was found to do. */
export interface SigningProfile {
  /** As in `TokenProfile`; undefined where the token has no ECDSA on P-256. */
  readonly ecdsa: 'digest' | 'message' | undefined;
  /**
   * What names edwards25519 in CKA_EC_PARAMS: the curve's name as a PrintableString, or its object identifier (PKCS#11
   * v3.0, section 2.3.5; RFC 8410). Undefined where the token has no CKM_EDDSA.
   */
  readonly eddsa: 'name' | 'oid' | undefined;
}

/** Whatever is known of a token, for making and using keys. */
export type KeyProfile = Partial<SigningProfile> & Partial<Omit<TokenProfile, 'ecdsa'>>;

export interface TokenProfile {
  /** How CKM_ECDH1_DERIVE takes the other party's point: bare, or as a DER OCTET STRING (PKCS#11 v2.40, 2.3.8). */
  readonly ecdhPoint: 'raw' | 'der';
  /** Whether ECDSA signs a digest made here (CKM_ECDSA) or hashes on the token (CKM_ECDSA_SHA256). */
  readonly ecdsa: 'digest' | 'message';
  /** What the keys `tweak` and `anchor` are: HMAC-SHA256 keys, or EC keys where the token has no HMAC. */
  readonly prf: 'hmac-generic' | 'hmac-sha256' | 'ecdh';
  /**
   * How an anchor is replaced: a new CKA_VALUE, a new CKA_LABEL that holds the value as text, or a new object in the
   * place of a destroyed one; where the token refuses private data objects, a new CKA_LABEL of a private key that serves
   * for nothing else. In order of preference.
   */
  readonly anchor: 'value' | 'label' | 'replace' | 'key-label';
}
