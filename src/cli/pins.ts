/** The PIN of a command, as the client takes it, from the sources that its flags name. */

import type { PinKind } from '../client/index.ts';
import { fromUtf8, HoldfastError } from '../core/index.ts';
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
    return fromUtf8(pin.reveal());
  } catch {
    throw new HoldfastError('usage', 'the PIN is not text in UTF-8; nothing was sent');
  } finally {
    pin.wipe();
  }
}

export function kindOf(flags: PinFlags): PinKind {
  return flags.recoveryCode ? 'recovery-code' : 'pin';
}
