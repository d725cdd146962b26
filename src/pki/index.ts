/** The fleet's certificates: an authority on a token, mutual TLS between its services, HTTPS to the world. */

export {
  type AuthorityRequest,
  type CertificateRequest,
  createAuthority,
  type IssuedCertificate,
  issueCertificate,
  needsRenewal,
  type Validity,
} from './certificates.ts';
export { TokenCrypto } from './engine.ts';
export { PEER_ROLES, type PeerIdentity, type PeerRole, parsePeerUri, peerUri } from './names.ts';
export { checkPeer, type ExpectedPeer, peerIdentityOf } from './peer.ts';
export {
  certifyRequest,
  MAXIMUM_REQUEST,
  type RequestedCertificate,
  readRequest,
  requestCertificate,
} from './requests.ts';
export { requirePeer, type TlsIdentity, tlsClientOptions, tlsPublicServerOptions, tlsServerOptions } from './tls.ts';
