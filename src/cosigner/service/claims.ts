/**
 * Who has proposed what is not accepted yet. The log's rules let anybody whose proposals the cosigner signs take a fleet's name,
 * its next serial and, for a while, its keys; so nobody with an operator's certificate may take them from another, or use
 * them up.
 */

import { type Clock, HoldfastError, parseJson } from '../../core/index.ts';
import { type Bundle, canonicalJson, type FleetState, type LiveManifest, type LogState } from '../../trust/index.ts';
import type { LogWrite } from '../log/index.ts';
import { viewRow } from './ledger.ts';

export interface ClaimRules {
  /** Milliseconds for which a proposal holds its fleet's turn and its keys against other operators. */
  readonly pendingFor: number;
  /** Fleets that one operator may have proposed without one of their bundles accepted. */
  readonly newFleets: number;
}

/** The last proposal of a fleet, and who sent it. */
interface Claim {
  /** Name of the operator's certificate. */
  readonly operator: string;
  /** Of the proposal's text. */
  readonly digest: string;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** Names that all operators together may hold without a bundle accepted: as many again stay free for the others. */
const MAXIMUM_NEW_FLEETS = 100;

export class Claims {
  readonly #read: (key: string) => string | undefined;
  readonly #clock: Clock;
  readonly #rules: ClaimRules;

  constructor(read: (key: string) => string | undefined, clock: Clock, rules: ClaimRules) {
    this.#read = read;
    this.#clock = clock;
    this.#rules = rules;
  }

  /** What is stored with the text that is going to be signed. */
  rowOf({ manifest, digest }: Bundle<LiveManifest>, operator: string): LogWrite {
    return viewRow(claimKey(manifest.fleet), canonicalJson({ operator, digest, time: this.#clock.now() }));
  }

  /**
   * Whether `operator` may propose this bundle now, the log's rules left aside.
   * @throws HoldfastError `conflict` while another operator's proposal waits, `overloaded` for too many fleets without a
   * bundle accepted, `bad_input` for keys that another fleet's proposal has.
   */
  check(state: LogState, { manifest }: Bundle<LiveManifest>, operator: string): void {
    const own = state.fleets.get(manifest.fleet);
    const held = own && this.#held(manifest.fleet, own);
    if (held && held.operator !== operator) {
      throw new HoldfastError(
        'conflict',
        `another operator’s proposal for ${manifest.fleet} waits to be accepted, until ${new Date(held.time + this.#rules.pendingFor).toISOString()}`,
        { details: { fleet: manifest.fleet } },
      );
    }
    if (!own) this.#checkNumber(state, operator);
    this.#checkKeys(state, manifest);
  }

  #checkNumber(state: LogState, operator: string): void {
    const fresh = [...state.fleets].filter(([, { accepted }]) => accepted === undefined);
    const mine = fresh.filter(([fleet]) => this.#claimOf(fleet)?.operator === operator);
    if (mine.length >= this.#rules.newFleets || fresh.length >= MAXIMUM_NEW_FLEETS) {
      throw new HoldfastError(
        'overloaded',
        'too many fleets were proposed of which no bundle was ever accepted; have those accepted, or go on with their names',
        { details: { fleets: mine.map(([fleet]) => fleet) } },
      );
    }
  }

  /** Were such a proposal revoked, the other fleet's keys could never serve again. */
  #checkKeys(state: LogState, manifest: LiveManifest): void {
    const keys = new Set(keysOf(manifest));
    for (const [fleet, other] of state.fleets) {
      if (fleet === manifest.fleet || !this.#held(fleet, other)) continue;
      if (!keysOf(other.proposal.manifest).some((key) => keys.has(key))) continue;
      throw new HoldfastError('bad_input', `a node’s key is in a proposal of the fleet ${fleet}, which waits`, {
        details: { rule: 'key_of_other_fleet', fleet },
      });
    }
  }

  /** The claim on a fleet whose last proposal waits still. */
  #held(fleet: string, { proposal, accepted, revokedThrough }: FleetState): Claim | undefined {
    if (proposal.digest === accepted?.digest || proposal.manifest.serial <= revokedThrough) return undefined;
    const claim = this.#claimOf(fleet);
    const age = claim && this.#clock.now() - claim.time;
    // A clock that stepped back holds nothing for longer.
    const fresh = age !== undefined && age < this.#rules.pendingFor && age > -this.#rules.pendingFor;
    return fresh && claim?.digest === proposal.digest ? claim : undefined;
  }

  #claimOf(fleet: string): Claim | undefined {
    const row = this.#read(claimKey(fleet));
    if (row === undefined) return undefined;
    const file = parseJson(row, 'bad_input').object(['operator', 'digest', 'time']);
    return {
      operator: file.required('operator').text(256),
      digest: file.required('digest').text(64),
      time: file.required('time').integer(0),
    };
  }
}

const claimKey = (fleet: string) => `claim/${fleet}`;

function keysOf({ nodes }: LiveManifest): string[] {
  return nodes.flatMap(({ keys }) => [keys.identity, keys.session, keys.oprf].map((key) => key.join()));
}
