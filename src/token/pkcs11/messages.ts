/** What travels between a token's host side and its workers. Structured-cloneable, and nothing in it is secret but the PIN. */

import { asHoldfastError, type ErrorCode, type ErrorDetails, HoldfastError } from '../../core/index.ts';
import type { FoundSigningKey, TokenDescription } from '../port.ts';
import type { KeyProfile, SigningProfile, TokenProfile } from '../profile.ts';
import type { Timing, TokenSelector } from './connection.ts';
import type { ExaminationStep, StepResult } from './examination.ts';
import type { KeySpec, LoadedKey } from './keys.ts';

export interface WorkerSetup {
  readonly module: string;
  readonly selector: TokenSelector;
  readonly pin: Uint8Array | undefined;
  readonly parameters?: string;
}

/** Each request with its answer. */
export interface Operations {
  open: { input: Record<never, never>; output: TokenDescription };
  /** Finds out the profile; `scratch` names the throwaway objects. */
  probe: { input: { scratch: string }; output: TokenProfile };
  /** The same for a token of signing keys. */
  probeSigning: { input: Record<never, never>; output: SigningProfile };
  /** One step of an examination. */
  examine: { input: { step: ExaminationStep; scratch: string }; output: StepResult };
  /** A line for every object there is. */
  objects: { input: Record<never, never>; output: readonly string[] };
  /** Destroys what an examination made, and says how much that was. */
  remove: { input: { prefix: string }; output: number };
  /** Private keys by the beginning of their label. */
  find: { input: { prefix: string }; output: readonly FoundSigningKey[] };
  /** Finds and checks keys, and works with them from then on; with anchors, where they have a prefix. */
  use: {
    input: {
      keys: readonly KeySpec[];
      profile: KeyProfile;
      anchorPrefix?: string;
      /** For a token that is a folder of files: synced after every anchor write. */
      syncFolder?: string;
    };
    output: readonly LoadedKey[];
  };
  /** Generates and checks keys; leaves none behind if one fails. `now` in milliseconds since 1970. */
  generate: {
    input: { keys: readonly KeySpec[]; profile: KeyProfile; now: number };
    output: readonly LoadedKey[];
  };
  sign: { input: { key: string; message: Uint8Array }; output: Uint8Array };
  ecdh: { input: { key: string; points: readonly Uint8Array[] }; output: readonly Uint8Array[] };
  prf: { input: { key: string; messages: readonly Uint8Array[] }; output: readonly Uint8Array[] };
  readAnchors: { input: Record<never, never>; output: Uint8Array[] };
  /** OPRF evaluation, checked (../evaluate.ts): the scalar of the record never leaves the worker. */
  evaluate: {
    input: {
      /** Names of the two keys, and the public half of the second. */
      tweak: string;
      oprf: string;
      publicKey: Uint8Array;
      tweakInput: Uint8Array;
      blindedElement: Uint8Array;
    };
    output: Uint8Array;
  };
  /** Writes the anchor durably; then signs, where there is something to sign. */
  writeAnchor: {
    input: { value: Uint8Array; sign?: { key: string; message: Uint8Array } };
    output: { readonly signature: Uint8Array } | { readonly failure: Failure } | undefined;
  };
  /** Closes the session and, for the process's last user of the module, finalizes the module. */
  close: { input: { finalize: boolean }; output: undefined };
}

export type OperationName = keyof Operations;
export type Request = { [N in OperationName]: { operation: N } & Operations[N]['input'] }[OperationName];

export interface Failure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

/** An error as it travels between threads. */
export function failureOf(thrown: unknown): Failure {
  const { code, message, details } = asHoldfastError(thrown);
  return { code, message, details };
}

export function errorOf({ code, message, details }: Failure): HoldfastError {
  return new HoldfastError(code, message, { details });
}

export type Reply = { readonly output: unknown } | { readonly failure: Failure };

/** Requests of one batch are answered together, in order. */
export interface BatchReply {
  readonly replies: readonly Reply[];
  readonly timings: readonly Timing[];
}
