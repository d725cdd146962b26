/** Looking for a fleet's trust set at several sources, of which any may lie, lag or be silent. */

import { asHoldfastError, HoldfastError } from '../../core/index.ts';
import { parseBundle, parseNote, parseTrustSet, requireLive } from '../../trust/index.ts';
import { type FleetStanding, isCode } from './standing.ts';

/** Of several failures the one that says most is reported. */
const PRECEDENCE = ['bundle_revoked', 'split_view', 'clock_fault'] as const;

/** What was found so far of one fleet, over several sources of which any may lie or lag. */
export class Search {
  standing: FleetStanding | undefined;
  #set: Uint8Array | undefined;
  readonly #failures: HoldfastError[] = [];
  /** A revocation holds for its serial and all lower ones, whatever another source shows. */
  #revokedThrough = 0;

  get isFresh(): boolean {
    return this.standing?.mode === 'fresh';
  }

  get sawSplitView(): boolean {
    return this.#failures.some((failure) => isCode(failure, 'split_view'));
  }

  get serial(): number {
    return this.standing?.manifest.serial ?? 0;
  }

  /** @throws HoldfastError `cancelled`, and what is wrong with the device and not with a source. */
  async attempt(fetch: () => Promise<Uint8Array>, verify: (set: Uint8Array) => Promise<FleetStanding>): Promise<void> {
    let serial = 0;
    try {
      const set = await fetch();
      serial = serialOf(set);
      if (serial <= this.#revokedThrough) return;
      const standing = await verify(set);
      const better = standing.mode === 'fresh' || this.standing?.mode !== 'fresh';
      if (!better || standing.manifest.serial < this.serial) return;
      this.standing = standing;
      this.#set = set;
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (isCode(error, 'cancelled', 'trust_state_damaged', 'conflict')) throw error;
      if (error.code === 'bundle_revoked') this.#revoke(serial);
      this.#failures.push(error);
    }
  }

  #revoke(serial: number): void {
    this.#revokedThrough = Math.max(this.#revokedThrough, serial);
    if (this.serial <= serial) this.standing = undefined;
  }

  /** @throws HoldfastError that says most of why nothing was found. */
  result(): { standing: FleetStanding; set: Uint8Array } {
    if (this.standing && this.#set) return { standing: this.standing, set: this.#set };
    for (const code of PRECEDENCE) {
      const found = this.#failures.find((failure) => failure.code === code);
      if (found) throw found;
    }
    const [first] = this.#failures;
    const telling = this.#failures.find((failure) => !isCode(failure, 'trust_unavailable'));
    throw telling ?? first ?? new HoldfastError('trust_unavailable', 'no source of trust sets could be asked');
  }
}

/** Unverified. @throws HoldfastError `bundle_malformed`. */
function serialOf(set: Uint8Array): number {
  return requireLive(parseBundle(parseNote(parseTrustSet(set).bundle).text)).manifest.serial;
}
