/** Where a token's PIN comes from: a file, an environment variable, a systemd credential, or a person. Never a log. */

import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, Secret, utf8 } from '../core/index.ts';

export type PinSource =
  | { readonly file: string }
  | { readonly variable: string }
  /** A name below $CREDENTIALS_DIRECTORY (systemd.exec(5), LoadCredential). */
  | { readonly credential: string }
  | { readonly prompt: () => Promise<string> };

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Pin {
  readonly pin: Secret;
  /** What should be changed about the source, for people. Never the PIN. */
  readonly warnings: readonly string[];
}

/** PINs are short; a longer file is something else. */
const MAXIMUM = 255;

/**
 * Reads the PIN; one line break at the end is not part of it.
 * @throws HoldfastError `usage` if there is none, or if others than its owner could have written the file.
 */
export async function readPin(source: PinSource, environment: Environment = {}): Promise<Pin> {
  if ('file' in source) return readPinFile(source.file);
  if ('credential' in source) {
    const directory = environment.CREDENTIALS_DIRECTORY;
    if (!directory) throw wrong('CREDENTIALS_DIRECTORY is not set; start the service with LoadCredential');
    if (!/^[A-Za-z0-9._-]+$/.test(source.credential) || /^\.+$/.test(source.credential)) {
      throw wrong('a credential is a plain file name');
    }
    return readPinFile(join(directory, source.credential));
  }
  if ('variable' in source) {
    const text = environment[source.variable];
    if (text === undefined) throw wrong(`the environment variable ${source.variable} is not set`);
    return {
      pin: check(utf8(text)),
      warnings: [`${source.variable} is visible to other processes of its user; prefer a file`],
    };
  }
  return { pin: check(utf8(await source.prompt())), warnings: [] };
}

const wrong = (problem: string, cause?: unknown) => new HoldfastError('usage', `no token PIN: ${problem}`, { cause });

async function readPinFile(path: string): Promise<Pin> {
  const handle = await open(path, 'r').catch((cause: unknown) => {
    throw wrong(`${path} cannot be read; check that it exists and belongs to the service's user`, cause);
  });
  try {
    // The open file is examined, not the path: it cannot be exchanged in between.
    const status = await handle.stat();
    if (!status.isFile()) throw wrong(`${path} is no plain file`);
    if ((status.mode & 0o022) !== 0)
      throw wrong(`${path} can be written by others; chmod 600 it and check its content`);
    const warnings = (status.mode & 0o044) !== 0 ? [`${path} can be read by others; chmod 600 it`] : [];
    const buffer = Buffer.alloc(MAXIMUM + 3);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
    const pin = check(Uint8Array.from(buffer.subarray(0, bytesRead)));
    buffer.fill(0);
    return { pin, warnings };
  } finally {
    await handle.close();
  }
}

function check(bytes: Uint8Array): Secret {
  let end = bytes.length;
  if (bytes[end - 1] === 0x0a) end--;
  if (bytes[end - 1] === 0x0d) end--;
  const pin = bytes.slice(0, end);
  bytes.fill(0);
  if (pin.length === 0) throw wrong('it is empty');
  if (pin.length > MAXIMUM) throw wrong(`it has more than ${MAXIMUM} bytes`);
  if (pin.some((byte) => byte < 0x20 || byte === 0x7f)) throw wrong('it has more than one line, or control characters');
  return new Secret(pin);
}
