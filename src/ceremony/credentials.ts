/** PINs that a ceremony makes: random, in an alphabet that people can read out, mixed from two generators. */

import { concatBytes, HoldfastError, type Random, Secret, utf8 } from '../core/index.ts';
import { hkdf } from '../crypto/index.ts';

/** Letters and digits without those that look alike; 32 of them, so five bits each. */
const ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789';
const SOURCE_BYTES = 32;

export interface RandomSources {
  readonly system: Random;
  /** Bytes of the token's own generator; undefined where it has none, or cannot be asked yet. */
  readonly token: (length: number) => Promise<Uint8Array | undefined>;
}

export interface MadePin {
  readonly pin: Secret;
  /** What it was made of, for the transcript. */
  readonly sources: readonly ('system' | 'token')[];
}

/**
 * A PIN of `length` characters, five bits each. Whoever controls one generator only knows nothing of it: both go into
 * HKDF-SHA256 (RFC 5869). @throws HoldfastError `token_failed` for a token whose generator repeats itself.
 */
export async function makePin(sources: RandomSources, purpose: string, length: number): Promise<MadePin> {
  const system = sources.system(SOURCE_BYTES);
  const [one, other] = [await sources.token(SOURCE_BYTES), await sources.token(SOURCE_BYTES)];
  if (one && other && (one.length !== SOURCE_BYTES || one.every((byte, i) => byte === other[i]))) {
    throw new HoldfastError('token_failed', 'the token’s random generator repeats itself; do not use this token');
  }
  const parts = [system, one ?? new Uint8Array(), other ?? new Uint8Array()];
  const input = concatBytes(...parts);
  const bytes = hkdf(input, utf8(`holdfast/ceremony-pin/v1/${purpose}`), length);
  const pin = new Secret(bytes.map((byte) => ALPHABET.charCodeAt(byte & 31)));
  for (const secret of [...parts, input, bytes]) secret.fill(0);
  return { pin, sources: one ? ['system', 'token'] : ['system'] };
}

/** How long a PIN may be on a token that takes at most `maximum` bytes (0: it does not say). */
export function pinLengthFor(wanted: number, { minimum, maximum }: { minimum: number; maximum: number }): number {
  const length = maximum > 0 ? Math.min(wanted, maximum) : wanted;
  if (length >= Math.max(8, minimum)) return length;
  throw new HoldfastError(
    'token_unsuitable',
    `the token takes PINs of ${minimum} to ${maximum} characters; a ceremony makes none of under 8`,
  );
}
