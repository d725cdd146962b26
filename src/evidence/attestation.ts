/**
 * What a vendor says of a key: certificate chains that begin at a device, end at a root that the auditor has pinned, and are
 * over exactly the key in the bundle. Without one a token's class is the operator's word (docs/trust.md, section 4).
 */

import { equalBytes, HoldfastError } from '../core/index.ts';
import { fromBase64, withCode } from '../trust/index.ts';
import { type Certificate, isCertifiedBy, parseCertificate } from './certificate.ts';
import { publicKeyOf } from './keys.ts';

/** A vendor's root for attestation, from the auditor's own hands. */
export interface VendorRoot {
  /** Who the vendor is, for the report. */
  readonly vendor: string;
  /** The certificate in DER. */
  readonly certificate: Uint8Array;
}

/**
 * A root from a file that somebody has pinned.
 * @param content one certificate in PEM or DER.
 * @throws HoldfastError `evidence_malformed`.
 */
export function vendorRootFrom(vendor: string, content: Uint8Array): VendorRoot {
  const text = new TextDecoder().decode(content);
  const base64 = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(text)?.[1];
  const certificate =
    base64 === undefined ? content : withCode('evidence_malformed', () => fromBase64(base64.replaceAll(/\s/g, '')));
  parseCertificate(certificate);
  return { vendor, certificate };
}

/** What a chain proves. */
export interface Attestation {
  readonly vendor: string;
  /** Common name of the certificate that attested the key: of the vendor's own choice, such as a model or serial number. */
  readonly device: string;
}

/**
 * Verifies a chain over `publicKey`.
 * @param chain certificates in DER, the key's own first, each certified by the next, the last by one of `roots`.
 * @param publicKey the key in the bundle, 65 bytes.
 * @param at milliseconds since 1970: when the token was read.
 * @throws HoldfastError `token_class_unproven` saying why it proves nothing, `evidence_malformed`.
 */
export async function verifyAttestation(
  chain: readonly Uint8Array[],
  publicKey: Uint8Array,
  roots: readonly VendorRoot[],
  at: number,
): Promise<Attestation> {
  const unproven = (problem: string) => new HoldfastError('token_class_unproven', `the vendor’s chain ${problem}`);
  const certificates = chain.map(parseCertificate);
  const [own] = certificates;
  if (own === undefined) throw unproven('is missing');
  if (!equalBytes(own.spki, publicKeyOf('P-256', publicKey).spki))
    throw unproven('is over another key than the bundle’s');
  const outside = certificates.find(({ notBefore, notAfter }) => at < notBefore || at > notAfter);
  if (outside !== undefined) throw unproven('was not valid when the token was read');
  for (const [i, certificate] of certificates.entries()) {
    const issuer = certificates[i + 1];
    if (issuer === undefined) continue;
    if (!(await isIssuedBy(certificate, issuer))) throw unproven('is broken');
    // So many authorities stand between this issuer and the key.
    if (issuer.pathLength < i) throw unproven('goes on below an authority that may certify no further authorities');
  }
  const last = certificates.at(-1)!;
  for (const { vendor, certificate } of roots) {
    const root = parseCertificate(certificate);
    // A root pinned by the auditor counts by its key: whoever pinned it decided on its dates.
    if (await isIssuedBy(last, root)) return { vendor, device: (certificates[1] ?? root).commonName };
  }
  throw unproven('does not end at a vendor’s root that you have pinned');
}

async function isIssuedBy(certificate: Certificate, issuer: Certificate): Promise<boolean> {
  return (
    issuer.authority && equalBytes(certificate.issuer, issuer.subject) && (await isCertifiedBy(certificate, issuer))
  );
}
