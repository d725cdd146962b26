/** The credential file: what the tenant gave this user (a user token) and the client key that it is bound to. */

import { type ClientKeyJwk, clientKeyFromJwk, readUserToken } from '../access/index.ts';
import type { Credential } from '../client/index.ts';
import { equalBytes, HoldfastError, parseJson, toBase64Url } from '../core/index.ts';
import { readTextFile, writeWholeFile } from './files.ts';

export interface CredentialFile extends Credential {
  readonly clientKey: ReturnType<typeof clientKeyFromJwk>;
  /** 32 bytes. */
  readonly record: Uint8Array;
  /** The fleet that the user token is for. */
  readonly fleet: string;
}

const MAXIMUM_BYTES = 16_384;

/** @throws HoldfastError `usage` for a file that cannot be read, `bad_input` for one that is no credential. */
export async function readCredential(path: string): Promise<CredentialFile> {
  const text = await readTextFile(path, 'the credential file', MAXIMUM_BYTES);
  const file = parseJson(text, 'bad_input').object(['userToken', 'clientKey', 'record']);
  const userToken = file.required('userToken').text(4096);
  const clientKey = clientKeyFromJwk(file.required('clientKey').value);
  const record = file.required('record').bytes(32, 32);
  const claims = readUserToken(userToken);
  if (!equalBytes(claims.record, record) || !equalBytes(claims.clientKey, clientKey.publicKey)) {
    throw new HoldfastError('bad_input', 'the credential file’s token, key and record do not belong together');
  }
  return { userToken, clientKey, record, fleet: claims.audience };
}

export async function writeCredential(
  path: string,
  credential: { userToken: string; clientKey: ClientKeyJwk; record: Uint8Array },
  overwrite: boolean,
): Promise<void> {
  const { userToken, clientKey, record } = credential;
  const text = JSON.stringify({ userToken, clientKey, record: toBase64Url(record) }, undefined, 2);
  await writeWholeFile(path, `${text}\n`, { mode: 0o600, overwrite });
}
