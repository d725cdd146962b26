/** Rosters: what a log says of all its fleets at the end of every batch (docs/trust.md, section 3). */

import type { JsonValue as Json } from '../../core/index.ts';
import { type Digest, readDigest, readDigestOrNull, readName } from '../fields.ts';
import { digestOf, parseDocument, requireCanonical, serialiseDocument, withCode } from '../text.ts';

export type FleetStanding = 'live' | 'retired' | 'revoked';

export interface RosterEntry {
  readonly fleet: string;
  /** Of the fleet's last accepted bundle, as are digest and index. */
  readonly serial: number;
  readonly digest: Digest;
  /** Index of the acceptance's leaf. */
  readonly index: number;
  readonly state: FleetStanding;
}

export interface Roster {
  /** The log's. */
  readonly origin: string;
  /** Counts the log's rosters, from 1. */
  readonly number: number;
  /** Digest of the roster before this one; null for the first. */
  readonly previous: Digest | null;
  /** Index of this roster's own leaf: the number of leaves before it. */
  readonly size: number;
  /** Every fleet that ever had an accepted bundle, by name. */
  readonly fleets: readonly RosterEntry[];
  /** Digest of the newest trust policy in the log; null if there is none. */
  readonly policy: Digest | null;
}

export const ROSTER_TYPE = 'holdfast/roster/v1';
/** Fleets in a log. A roster stays below the 65,535 bytes of a log's entry with as many. */
export const MAXIMUM_FLEETS = 200;
/** Bytes of a roster's text. */
export const MAXIMUM_ROSTER_TEXT = 61_440;

const STANDINGS = ['live', 'retired', 'revoked'] as const satisfies readonly FleetStanding[];

/** @throws HoldfastError `bundle_malformed` for anything that `serialiseRoster` would not have written. */
export function parseRoster(text: string): Roster & { readonly digest: Digest } {
  return withCode('bundle_malformed', () => {
    const roster = readRoster(parseDocument(ROSTER_TYPE, text, MAXIMUM_ROSTER_TEXT, 'bundle_malformed'));
    requireCanonical(text, textOf(roster), 'bundle_malformed');
    return { ...roster, digest: digestOf(text) };
  });
}

/** The text that `parseRoster` reads back. @throws HoldfastError `bundle_malformed` for what it would refuse. */
export function serialiseRoster(roster: Roster): string {
  const text = withCode('bundle_malformed', () => textOf(roster));
  parseRoster(text);
  return text;
}

function readRoster(json: Json): Roster {
  const file = json.object(['origin', 'number', 'previous', 'size', 'fleets', 'policy']);
  const fleets = file.required('fleets').array(0, MAXIMUM_FLEETS).map(readEntry);
  fleets.forEach(({ fleet }, i) => {
    if (i > 0 && fleet <= fleets[i - 1]!.fleet) file.required('fleets').fail('must be sorted by name, each once');
  });
  const number = file.required('number').integer(1);
  const previous = readDigestOrNull(file.required('previous'));
  if ((number === 1) !== (previous === null)) json.fail('must have a previous exactly from number 2 on');
  return {
    origin: file.required('origin').text(1024),
    number,
    previous,
    size: file.required('size').integer(0),
    fleets,
    policy: readDigestOrNull(file.required('policy')),
  };
}

function readEntry(item: Json): RosterEntry {
  const entry = item.object(['fleet', 'serial', 'digest', 'index', 'state']);
  return {
    fleet: readName(entry.required('fleet')),
    serial: entry.required('serial').integer(1),
    digest: readDigest(entry.required('digest')),
    index: entry.required('index').integer(0),
    state: entry.required('state').word(STANDINGS),
  };
}

function textOf({ origin, number, previous, size, fleets, policy }: Roster): string {
  const entries = fleets.map(({ fleet, serial, digest, index, state }) => ({ fleet, serial, digest, index, state }));
  return serialiseDocument(ROSTER_TYPE, { origin, number, previous, size, fleets: entries, policy });
}
