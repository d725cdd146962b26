/** DSSE envelopes (secure-systems-lab/dsse, protocol.md and envelope.md v1.0.2): the bytes that are signed, and the JSON around them. */

import { concatBytes, equalBytes, fromUtf8, HoldfastError, utf8 } from '../core/index.ts';

/** The payload type of in-toto statements (in-toto attestation framework, envelope). */
export const IN_TOTO = 'application/vnd.in-toto+json';

export interface DsseEnvelope {
  readonly payloadType: string;
  /** base64 (RFC 4648 section 4). */
  readonly payload: string;
  /** Without `keyid`: cosign wants none. */
  readonly signatures: readonly { readonly sig: string }[];
}

/** Pre-authentication encoding: `DSSEv1 <length> <type> <length> <body>`, lengths in bytes. */
export function preAuthenticationEncoding(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = utf8(payloadType);
  return concatBytes(utf8(`DSSEv1 ${type.length} `), type, utf8(` ${payload.length} `), payload);
}

/** The payload of an encoding with in-toto's type. @throws HoldfastError `malformed` for anything else. */
export function parseEvidence(message: Uint8Array): Uint8Array {
  const prefix = fromUtf8(message.slice(0, 80).filter((byte) => byte < 0x80));
  const [start] = /^DSSEv1 28 application\/vnd\.in-toto\+json [0-9]{1,7} /.exec(prefix) ?? [];
  const payload = message.slice(start?.length ?? 0);
  if (start !== undefined && equalBytes(preAuthenticationEncoding(IN_TOTO, payload), message)) return payload;
  throw new HoldfastError('malformed', `the message is no DSSE encoding of ${IN_TOTO}`);
}
