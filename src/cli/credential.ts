/** The credential file: what the tenant gave this user (a user token) and the client key that it is bound to. */

import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ClientKeyJwk, clientKeyFromJwk, readUserToken } from '../access/index.ts';
import type { Credential } from '../client/index.ts';
import { equalBytes, HoldfastError, parseJson, toBase64Url } from '../core/index.ts';
import { readParsed, writeWholeFile } from './files.ts';

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
  return await readParsed(path, 'the credential file', MAXIMUM_BYTES, parseCredential);
}

function parseCredential(text: string): CredentialFile {
  const file = parseJson(text, 'bad_input').object(['userToken', 'clientKey', 'record']);
  const userToken = file.required('userToken').text(4096);
  const clientKey = clientKeyFromJwk(file.required('clientKey').value);
  const record = file.required('record').bytes(32, 32);
  const claims = readUserToken(userToken);
  if (!equalBytes(claims.record, record) || !equalBytes(claims.clientKey, clientKey.publicKey)) {
    throw new HoldfastError('bad_input', 'its token, key and record do not belong together');
  }
  return { userToken, clientKey, record, fleet: claims.audience };
}

/**
 * The credentials in these files, and in folders all files `*.json`: at most one for each fleet.
 * @throws HoldfastError as `readCredential`; `usage` where a fleet has two.
 */
export async function readCredentials(paths: readonly string[]): Promise<readonly CredentialFile[]> {
  const files = (await Promise.all(paths.map(filesAt))).flat();
  const credentials = await Promise.all(files.map(readCredential));
  const fleets = credentials.map(({ fleet }) => fleet);
  const twice = fleets.find((fleet, i) => fleets.indexOf(fleet) !== i);
  if (twice === undefined) return credentials;
  throw new HoldfastError(
    'usage',
    `there are two credentials for the fleet ${JSON.stringify(twice)}; name one of them`,
  );
}

async function filesAt(path: string): Promise<readonly string[]> {
  const folder = await stat(path).then(
    (stats) => stats.isDirectory(),
    () => false,
  );
  if (!folder) return [path];
  const names = (await readdir(path)).filter((name) => name.endsWith('.json') && !name.startsWith('.')).sort();
  if (names.length > 0) return names.map((name) => join(path, name));
  throw new HoldfastError('usage', `there is no credential file (*.json) in the folder ${JSON.stringify(path)}`);
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
