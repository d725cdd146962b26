/** Argon2id version 1.3 (RFC 9106) over a normalised PIN: the runtime's own where it has one, else hash-wasm. */

import { argon2id } from 'hash-wasm';
import { HoldfastError, nativeCrypto } from '../core/index.ts';

/** Cost of one guess, for the attacker and the person alike. They come from the fleet's verified policy. */
export interface StretchParameters {
  /** Memory in KiB: at least 8 for each lane, at most 1,048,576 (1 GiB). */
  readonly memoryKiB: number;
  /** Passes over the memory, 1 to 100. */
  readonly passes: number;
  /** Lanes, 1 to 16. */
  readonly parallelism: number;
}

export type Argon2id = (pin: Uint8Array, salt: Uint8Array, parameters: StretchParameters) => Promise<Uint8Array>;

const SALT_BYTES = 32;
const OUTPUT_BYTES = 32;

const isIntegerBetween = (value: number, least: number, most: number) =>
  Number.isInteger(value) && value >= least && value <= most;

/** About 230 ms for 64 MiB and 3 passes. */
export const portableArgon2id: Argon2id = (pin, salt, { memoryKiB, passes, parallelism }) =>
  argon2id({
    password: pin,
    salt,
    memorySize: memoryKiB,
    iterations: passes,
    parallelism,
    hashLength: OUTPUT_BYTES,
    outputType: 'binary',
  });

/** About 160 ms for 64 MiB and 3 passes, outside the main thread. Node has it from 24.7 on. */
export const nativeArgon2id: Argon2id | undefined = nativeCrypto?.argon2
  ? (pin, salt, { memoryKiB, passes, parallelism }) =>
      new Promise((resolve, reject) => {
        nativeCrypto!.argon2(
          'argon2id',
          { message: pin, nonce: salt, memory: memoryKiB, passes, parallelism, tagLength: OUTPUT_BYTES },
          (error, output) => (error ? reject(error) : resolve(new Uint8Array(output))),
        );
      })
  : undefined;

/**
 * Stretches a normalised PIN with a salt of 32 bytes.
 * @returns 32 bytes.
 * @throws HoldfastError `bad_input` for an empty PIN, a salt of another length, or parameters outside what every
 *   platform can run. Whether they are costly enough is the policy's to say, not checked here.
 */
export async function stretchPin(
  normalisedPin: Uint8Array,
  salt: Uint8Array,
  parameters: StretchParameters,
): Promise<Uint8Array> {
  const { memoryKiB, passes, parallelism } = parameters;
  if (normalisedPin.length === 0) throw new HoldfastError('bad_input', 'the PIN is empty; enter one');
  if (salt.length !== SALT_BYTES) throw new HoldfastError('bad_input', `the salt must have ${SALT_BYTES} bytes`);
  if (
    !isIntegerBetween(parallelism, 1, 16) ||
    !isIntegerBetween(memoryKiB, 8 * parallelism, 2 ** 20) ||
    !isIntegerBetween(passes, 1, 100)
  ) {
    throw new HoldfastError('bad_input', 'the Argon2id parameters are out of range; check the fleet’s policy');
  }
  return (nativeArgon2id ?? portableArgon2id)(normalisedPin, salt, parameters);
}
