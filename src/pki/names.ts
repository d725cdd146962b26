/** Who a certificate speaks for, written as a URI subject alternative name (RFC 5280 section 4.2.1.6, RFC 8141). */

import { HoldfastError, utf8 } from '../core/index.ts';

/**
 * `node` and `coordinator` speak mutual TLS to each other, and so do `operator` (whoever submits bundles) and `cosigner`;
 * `public` is the face of a service to the world.
 */
export const PEER_ROLES = ['node', 'coordinator', 'public', 'cosigner', 'operator'] as const;

export type PeerRole = (typeof PEER_ROLES)[number];

export interface PeerIdentity {
  readonly fleet: string;
  readonly role: PeerRole;
  readonly name: string;
}

/** Every Holdfast name begins like this; a certificate with two such names is nobody's. */
export const PEER_URI_PREFIX = 'urn:holdfast:';

/** RFC 5280's upper bound for the parts of a distinguished name, in bytes here so that no text form exceeds it. */
const MAXIMUM_NAME_BYTES = 64;

/** @throws HoldfastError `bad_input` for a name that is empty, longer than 64 bytes of UTF-8, or not printable. */
export function checkName(what: string, name: string): void {
  const printable = name.isWellFormed() && !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(name) && name.trim() === name;
  if (name.length === 0 || !printable || utf8(name).length > MAXIMUM_NAME_BYTES) {
    throw new HoldfastError(
      'bad_input',
      `the ${what} must have 1 to ${MAXIMUM_NAME_BYTES} bytes of printable text, without spaces around it`,
    );
  }
}

/**
 * `urn:holdfast:<fleet>:<role>:<name>`. Fleet and name are percent-encoded, colons included, so that different
 * identities never have the same name.
 */
export function peerUri(identity: PeerIdentity): string {
  return `${PEER_URI_PREFIX}${encode(identity.fleet)}:${identity.role}:${encode(identity.name)}`;
}

/** The identity that `peerUri` would write exactly so, or undefined. */
export function parsePeerUri(uri: string): PeerIdentity | undefined {
  if (!uri.startsWith(PEER_URI_PREFIX)) return undefined;
  const parts = uri.slice(PEER_URI_PREFIX.length).split(':');
  const role = PEER_ROLES.find((known) => known === parts[1]);
  if (parts.length !== 3 || role === undefined) return undefined;
  try {
    const identity = { fleet: decodeURIComponent(parts[0]!), role, name: decodeURIComponent(parts[2]!) };
    checkName('fleet', identity.fleet);
    checkName('name', identity.name);
    return peerUri(identity) === uri ? identity : undefined;
  } catch {
    return undefined;
  }
}

/** `encodeURIComponent` leaves these characters alone, but a URN does not take all of them (RFC 8141 section 2). */
function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*~]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}
