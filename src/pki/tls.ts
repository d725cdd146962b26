/** TLS 1.3 (RFC 8446) as Holdfast's services speak it: only the fleet's own authority, both sides certified. */

import {
  type ConnectionOptions,
  checkServerIdentity as checkHost,
  type Server,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import { asHoldfastError } from '../core/index.ts';
import { checkPeer, type ExpectedPeer } from './peer.ts';

export interface TlsIdentity {
  /** The only authority that counts; the system's own are not consulted. */
  readonly authorityPem: string;
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/** Seconds for which a client may resume a session: bounds how long after its end a certificate still serves. */
const SESSION_SECONDS = 300;

const VERSION = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;

/** A server that asks every client for a certificate of the fleet. Add `requirePeer` to say which role may come in. */
export function tlsServerOptions(identity: TlsIdentity): TlsOptions {
  return { ...tlsPublicServerOptions(identity), requestCert: true, rejectUnauthorized: true };
}

/** The coordinator's public face: clients have no certificates, their requests carry user tokens. */
export function tlsPublicServerOptions(identity: TlsIdentity): TlsOptions {
  return {
    ...VERSION,
    ca: identity.authorityPem,
    cert: identity.certificatePem,
    key: identity.privateKeyPem,
    sessionTimeout: SESSION_SECONDS,
  };
}

/** Destroys every connection whose client is not `expected`, before a byte of its requests is read. */
export function requirePeer(server: Server, expected: ExpectedPeer): void {
  server.prependListener('secureConnection', (socket: TLSSocket) => {
    try {
      checkPeer(socket.getPeerCertificate(), expected);
    } catch (error) {
      // Without a listener the error would end the process; the server learns of it as of any failed handshake.
      socket.on('error', () => {});
      socket.destroy();
      server.emit('tlsClientError', asHoldfastError(error), socket);
    }
  });
}

/**
 * A client that talks to `server` and nobody else. The name in the certificate decides, not the address: nodes move.
 * For the role `public` the host name must match as well, as browsers have it. `identity` without a certificate is for
 * public servers, which ask for none.
 *
 * A pool of connections keeps them by address, not by these options: give each server a pool (agent) of its own.
 */
export function tlsClientOptions(
  identity: TlsIdentity | Pick<TlsIdentity, 'authorityPem'>,
  server: ExpectedPeer,
): ConnectionOptions {
  return {
    ...VERSION,
    ca: identity.authorityPem,
    ...('certificatePem' in identity && { cert: identity.certificatePem, key: identity.privateKeyPem }),
    rejectUnauthorized: true,
    checkServerIdentity: (host, certificate) => {
      try {
        checkPeer(certificate, server);
      } catch (error) {
        return asHoldfastError(error);
      }
      return server.role === 'public' ? checkHost(host, certificate) : undefined;
    },
  };
}
