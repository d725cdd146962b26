/**
 * What a vendor says of a key: certificate chains that begin at a device, end at a root that the auditor has pinned, and are
 * over exactly the key in the bundle. Without one a token's class is the operator's word (docs/trust.md, section 4).
 */

/** A vendor's root for attestation, from the auditor's own hands. */
export interface VendorRoot {
  /** Who the vendor is, for the report. */
  readonly vendor: string;
  /** The certificate in DER. */
  readonly certificate: Uint8Array;
}
