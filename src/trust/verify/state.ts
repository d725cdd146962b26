/** What a client remembers of what it has verified, so that nobody can take it back in time (docs/trust.md, section 5). */

import { fromUtf8, HoldfastError, parseJson, utf8 } from '../../core/index.ts';
import { canonicalJson } from '../canonical.ts';
import { type Digest, readDigest, readEnvironment, readName } from '../fields.ts';

export interface TrustedFleet {
  readonly fleet: string;
  readonly serial: number;
  readonly digest: Digest;
  /** To which fleet it has retired; null while it has not. */
  readonly successor: string | null;
}

/** Of one vault and environment. Always replaced as a whole. */
export interface TrustState {
  readonly vault: string;
  readonly environment: string;
  /** Of the newest trust policy that was used. */
  readonly policyVersion: number;
  readonly policyDigest: Digest;
  /** The newest checkpoint that was verified; the root in hexadecimal. */
  readonly origin: string;
  readonly size: number;
  readonly root: Digest;
  /** The latest time for which a quorum of witnesses vouched, in seconds since 1970. */
  readonly time: number;
  /** Every fleet that was trusted, by name. */
  readonly fleets: readonly TrustedFleet[];
}

/** Where a client keeps its state. What it loses here, it loses as protection from being taken back in time. */
export interface TrustStateStore {
  /** The bytes of the last `compareAndSwap` that returned true; undefined before the first. */
  load(): Promise<Uint8Array | undefined>;
  /**
   * Stores `next` durably if `previous` is what is stored now, as one step. Returns false, and changes nothing, if it is
   * not. Throws if it cannot tell.
   */
  compareAndSwap(previous: Uint8Array | undefined, next: Uint8Array): Promise<boolean>;
}

const FORMAT = 'holdfast/trust-state/v1';
const MEMBERS = [
  'format',
  'vault',
  'environment',
  'policyVersion',
  'policyDigest',
  'origin',
  'size',
  'root',
  'time',
  'fleets',
] as const;
/** Fleets that one state remembers; each retired to the next. */
export const MAXIMUM_TRUSTED_FLEETS = 64;
const MAXIMUM_STATE = 65_536;

/** @throws HoldfastError `bad_input` for anything that `serialiseTrustState` would not have written. */
export function parseTrustState(bytes: Uint8Array): TrustState {
  if (bytes.length > MAXIMUM_STATE) throw new HoldfastError('bad_input', 'the stored trust state is too long');
  const text = fromUtf8(bytes);
  const file = parseJson(text, 'bad_input').object(MEMBERS);
  file.required('format').word([FORMAT]);
  const state = {
    vault: readName(file.required('vault')),
    environment: readEnvironment(file.required('environment')),
    policyVersion: file.required('policyVersion').integer(1),
    policyDigest: readDigest(file.required('policyDigest')),
    origin: file.required('origin').text(1024),
    size: file.required('size').integer(1),
    root: readDigest(file.required('root')),
    time: file.required('time').integer(1),
    fleets: file
      .required('fleets')
      .array(1, MAXIMUM_TRUSTED_FLEETS)
      .map((value) => {
        const item = value.object(['fleet', 'serial', 'digest', 'successor']);
        const successor = item.required('successor');
        return {
          fleet: readName(item.required('fleet')),
          serial: item.required('serial').integer(1),
          digest: readDigest(item.required('digest')),
          successor: successor.value === null ? null : readName(successor),
        };
      }),
  };
  if (textOf(state) !== text) throw new HoldfastError('bad_input', 'the stored trust state is not as it was written');
  return state;
}

export function serialiseTrustState(state: TrustState): Uint8Array<ArrayBuffer> {
  const bytes = utf8(textOf(state));
  parseTrustState(bytes);
  return bytes;
}

function textOf(state: TrustState): string {
  const { vault, environment, policyVersion, policyDigest, origin, size, root, time } = state;
  const fleets = state.fleets.map(({ fleet, serial, digest, successor }) => ({ fleet, serial, digest, successor }));
  const members = { vault, environment, policyVersion, policyDigest, origin, size, root, time, fleets };
  return `${canonicalJson({ format: FORMAT, ...members })}\n`;
}
