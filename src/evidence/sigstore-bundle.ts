/**
 * Sigstore bundles v0.3 (sigstore/protobuf-specs, sigstore_bundle.proto) around one DSSE envelope with one signature by a key
 * that the verifier knows: what `cosign verify-blob-attestation --key` reads.
 */

import { fromUtf8, HoldfastError, parseJson, utf8 } from '../core/index.ts';
import { canonicalJson, fromBase64, requireCanonical, toBase64, withCode } from '../trust/index.ts';
import { type DsseEnvelope, IN_TOTO, preAuthenticationEncoding } from './dsse.ts';
import { type EvidenceKey, readBase64, readKeyName, verifyWithKey } from './keys.ts';
import { MAXIMUM_STATEMENT, parseStatement, type Statement } from './statement.ts';

export interface SigstoreBundle {
  /** Name of the key that signed; a hint by the format, and the name in the evidence manifest here. */
  readonly key: string;
  /** The statement's bytes. */
  readonly payload: Uint8Array;
  /** 64 bytes of Ed25519, or ECDSA in DER. */
  readonly signature: Uint8Array;
}

export const SIGSTORE_BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
/** Bytes of a bundle. */
export const MAXIMUM_SIGSTORE_BUNDLE = 1_048_576;

/** The file of an envelope as `signDsse` makes it. @throws HoldfastError `evidence_malformed` for what `parseSigstoreBundle` would refuse. */
export function serialiseSigstoreBundle(key: string, envelope: DsseEnvelope): Uint8Array<ArrayBuffer> {
  const { payloadType, payload, signatures } = envelope;
  if (payloadType !== IN_TOTO || signatures.length !== 1) {
    throw new HoldfastError('evidence_malformed', `an envelope of evidence has the type ${IN_TOTO} and one signature`);
  }
  const file = withCode('evidence_malformed', () =>
    utf8(textOf({ key, payload: fromBase64(payload), signature: fromBase64(signatures[0]!.sig) })),
  );
  parseSigstoreBundle(file);
  return file;
}

/** @throws HoldfastError `evidence_malformed` for anything that `serialiseSigstoreBundle` would not have written. */
export function parseSigstoreBundle(file: Uint8Array): SigstoreBundle {
  if (file.length > MAXIMUM_SIGSTORE_BUNDLE) {
    throw new HoldfastError('evidence_malformed', `a signed statement has more than ${MAXIMUM_SIGSTORE_BUNDLE} bytes`);
  }
  return withCode('evidence_malformed', () => {
    const text = fromUtf8(file);
    const json = parseJson(text, 'evidence_malformed').object(['mediaType', 'verificationMaterial', 'dsseEnvelope']);
    json.required('mediaType').word([SIGSTORE_BUNDLE]);
    const material = json.required('verificationMaterial').object(['publicKey']);
    const envelope = json.required('dsseEnvelope').object(['payloadType', 'payload', 'signatures']);
    envelope.required('payloadType').word([IN_TOTO]);
    const [signature] = envelope.required('signatures').array(1, 1);
    const bundle = {
      key: readKeyName(material.required('publicKey').object(['hint']).required('hint')),
      payload: readBase64(envelope.required('payload'), MAXIMUM_STATEMENT),
      signature: readBase64(signature!.object(['sig']).required('sig'), 72),
    };
    requireCanonical(text, textOf(bundle), 'evidence_malformed');
    return bundle;
  });
}

/**
 * The statement of a bundle, whose signature is by the one of `keys` that it names.
 * @throws HoldfastError `evidence_malformed`, `evidence_signature`.
 */
export function verifySigstoreBundle(file: Uint8Array, keys: readonly EvidenceKey[]): Statement {
  const bundle = parseSigstoreBundle(file);
  const key = keys.find(({ name }) => name === bundle.key);
  if (key === undefined) {
    throw new HoldfastError(
      'evidence_signature',
      `a statement is signed by ${bundle.key}, which the evidence manifest does not name`,
      { details: { key: bundle.key } },
    );
  }
  // Before anything in it is read as a statement.
  if (!verifyWithKey(key, preAuthenticationEncoding(IN_TOTO, bundle.payload), bundle.signature)) {
    throw new HoldfastError(
      'evidence_signature',
      `the signature of ${key.name} on a statement is false; it was changed after it was signed, or never signed`,
      { details: { key: key.name } },
    );
  }
  return parseStatement(bundle.payload);
}

function textOf({ key, payload, signature }: SigstoreBundle): string {
  return `${canonicalJson({
    mediaType: SIGSTORE_BUNDLE,
    verificationMaterial: { publicKey: { hint: key } },
    dsseEnvelope: { payloadType: IN_TOTO, payload: toBase64(payload), signatures: [{ sig: toBase64(signature) }] },
  })}\n`;
}
