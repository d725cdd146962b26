/**
 * Remembers in a process's own folder which PIN its token has refused, so that a supervisor that starts the process again
 * and again does not lock the token: tokens take three to ten wrong PINs (PKCS#11 v2.40, CKR_PIN_LOCKED).
 *
 * What is kept is scrypt (RFC 7914) of the PIN and of the names of the token: another PIN, or the same one for another token,
 * is tried. A PIN that was refused is not the token's, but may be nearly that, or another token's.
 */

import { type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, parseJson, type Secret, systemRandom, toBase64Url } from '../core/index.ts';
import type { TokenSelector } from './pkcs11/connection.ts';

/** The file in the process's folder. */
export const REFUSED_PIN_FILE = 'refused-pin.json';

export interface PinMemory {
  /** The process's own, which survives a restart; it is made where it is missing. */
  readonly folder: string;
  readonly token: TokenSelector & { readonly module: string };
}

const FORMAT = 'holdfast/refused-pin/v1';
/** 32 MiB and about 0.1 s, and only once a PIN was refused. */
const COST: ScryptOptions = { N: 2 ** 15, r: 8, p: 1, maxmem: 2 ** 26 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/**
 * Opens a token with a PIN, unless that one was refused already: then the token is not asked at all. A PIN that it takes
 * ends the memory.
 * @throws HoldfastError `token_pin_incorrect` for a PIN that is, or was, refused; what `login` throws.
 */
export async function openUnlessRefused<T>(memory: PinMemory, pin: Secret, login: () => Promise<T>): Promise<T> {
  const path = join(memory.folder, REFUSED_PIN_FILE);
  const refused = await read(path);
  if (refused && timingSafeEqual(await hashOf(memory, pin, refused.salt), refused.hash)) {
    throw new HoldfastError(
      'token_pin_incorrect',
      `the token has refused this PIN before, and is not asked again lest it locks: correct the PIN; where the token has been given this one since, delete ${path}`,
      { details: { operation: 'login', asked: false } },
    );
  }
  try {
    const opened = await login();
    if (refused) await rm(path, { force: true });
    return opened;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'token_pin_incorrect') await remember(path, memory, pin);
    throw error;
  }
}

async function read(path: string): Promise<{ readonly salt: Uint8Array; readonly hash: Uint8Array } | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new HoldfastError('usage', `${path} cannot be read: ${error.code}; check whose it is`, { cause: error });
  });
  if (text === undefined) return undefined;
  try {
    const file = parseJson(text, 'bad_input').object(['format', 'salt', 'hash']);
    file.required('format').word([FORMAT]);
    return {
      salt: file.required('salt').bytes(SALT_BYTES, SALT_BYTES),
      hash: file.required('hash').bytes(HASH_BYTES, HASH_BYTES),
    };
  } catch (cause) {
    throw new HoldfastError('usage', `${path} is damaged: check that the PIN is right, then delete the file`, {
      cause,
    });
  }
}

/** Whole or not at all, and on the disk before anybody is told. */
async function remember(path: string, memory: PinMemory, pin: Secret): Promise<void> {
  const salt = systemRandom(SALT_BYTES);
  const content = { format: FORMAT, salt: toBase64Url(salt), hash: toBase64Url(await hashOf(memory, pin, salt)) };
  try {
    await mkdir(memory.folder, { recursive: true, mode: 0o700 });
    const file = await open(`${path}.new`, 'w', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(content, undefined, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(`${path}.new`, path);
    await using folder = await open(memory.folder, 'r');
    // Its new name too: a power cut would else cost the token another try.
    await folder.sync();
  } catch (cause) {
    throw new HoldfastError(
      'token_pin_incorrect',
      `the token has refused the PIN, and that cannot be noted in ${memory.folder}: do not start this again before the PIN is right, tokens lock after a few wrong ones`,
      { cause, details: { operation: 'login', asked: true } },
    );
  }
}

function hashOf({ token }: PinMemory, pin: Secret, salt: Uint8Array): Promise<Uint8Array> {
  const { module, slot = null, label = null, serial = null } = token;
  const names = Buffer.from(`${JSON.stringify([module, slot, label, serial])}\n`, 'utf8');
  const password = Buffer.concat([names, pin.reveal()]);
  return new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_BYTES, COST, (error, key) => {
      password.fill(0);
      if (error) reject(error);
      else resolve(key);
    });
  });
}
