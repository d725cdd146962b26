/** The PIN of a command, as the client takes it, from the sources that its flags name. */

import type { PinKind } from '../client/index.ts';
import { fromUtf8, HoldfastError } from '../core/index.ts';
import { normalisePin, normaliseRecoveryCode } from '../crypto/index.ts';
import { say } from './output.ts';
import { readPinSource } from './prompt.ts';

export interface PinFlags {
  readonly pinFile?: string | undefined;
  readonly pinStdin?: boolean | undefined;
  /** The PIN is a recovery code. */
  readonly recoveryCode?: boolean | undefined;
}

export interface PinQuestion {
  readonly prompt: string;
  /** Whether it is a new PIN, to be typed twice. */
  readonly confirm?: boolean;
  readonly signal: AbortSignal;
}

/** @throws HoldfastError `usage` for a source that cannot be used, `cancelled`. */
export async function askPin(flags: PinFlags, { prompt, confirm, signal }: PinQuestion): Promise<string> {
  const { pinFile, pinStdin } = flags;
  const pin = await readPinSource({ pinFile, pinStdin, prompt, confirm: confirm ?? false, signal });
  try {
    const text = textOf(pin.reveal());
    check(text, kindOf(flags));
    if (confirm && kindOf(flags) === 'pin' && [...text].length < FEW_CHARACTERS) {
      say(`warning: a PIN of fewer than ${FEW_CHARACTERS} characters may be guessed before its attempts are used up`);
    }
    return text;
  } finally {
    pin.wipe();
  }
}

/** PINs on paper and on telephones have at least as many. */
const FEW_CHARACTERS = 4;

function textOf(pin: Uint8Array): string {
  try {
    return fromUtf8(pin);
  } catch {
    throw new HoldfastError('usage', 'the PIN is not text in UTF-8; nothing was sent');
  }
}

/** As the client reads it, so that what is wrong is said of the PIN and before anything else is done. */
function check(text: string, kind: PinKind): void {
  try {
    if (kind === 'pin') normalisePin(text);
    else normaliseRecoveryCode(text);
  } catch (cause) {
    if (!(cause instanceof HoldfastError)) throw cause;
    const what = kind === 'pin' ? 'PIN' : 'recovery code';
    throw new HoldfastError('usage', `this ${what} cannot be used: ${cause.message}; nothing was sent`, { cause });
  }
}

export function kindOf(flags: PinFlags): PinKind {
  return flags.recoveryCode ? 'recovery-code' : 'pin';
}
