/** What an application in a browser loads: the client, the reader of trust files, and client keys. */

export { clientKeyFromJwk, readUserToken } from '../../src/access/client.ts';
export * from '../../src/client/index.ts';
export { parseTrustFile } from '../../src/trust/index.ts';
