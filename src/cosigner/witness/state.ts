/** The stored form of what a witness knows of one log. */

import { codec, HoldfastError } from '../../core/index.ts';
import { MAXIMUM_CHECKPOINT } from './request.ts';

const { fixed, message, optional, struct, text, uint } = codec;

const STATE = message('holdfast/witness-state/v1', {
  origin: text(4096),
  size: uint,
  root: fixed(32),
  checkpoint: text(MAXIMUM_CHECKPOINT),
  cosigned: optional(struct({ note: text(MAXIMUM_CHECKPOINT), time: uint })),
});

export interface WitnessState {
  /** Of the newest checkpoint that was verified, whether or not its cosignature ever left. */
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
  /** That checkpoint as a note with the log's own signatures and no others: what strangers append is not kept. */
  readonly checkpoint: string;
  /** The newest cosigned checkpoint as a note with the log's line and this witness's; its time in seconds since 1970. */
  readonly cosigned: { readonly note: string; readonly time: number } | undefined;
}

export function encodeState(origin: string, state: WitnessState): Uint8Array<ArrayBuffer> {
  return STATE.encode({ origin, ...state });
}

/** @throws HoldfastError `store_refused` for anything that {@link encodeState} does not write for `origin`. */
export function decodeState(origin: string, bytes: Uint8Array): WitnessState {
  let stored: ReturnType<typeof STATE.decode>;
  try {
    stored = STATE.decode(bytes);
  } catch (cause) {
    throw refused(origin, cause);
  }
  const { origin: whose, ...state } = stored;
  if (whose !== origin) throw refused(origin);
  return state;
}

function refused(origin: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    'store_refused',
    `the stored state of ${JSON.stringify(origin)} is damaged; nothing is cosigned for it until it is restored`,
    { cause },
  );
}
