/** A fleet as every party sees it: its nodes' public keys and its policy, taken from a verified bundle or trust file. */

import { HoldfastError } from '../core/index.ts';

/** What may happen when somebody enrols anew without the owner's proof (docs/protocol.md, section 6). */
export type TakeoverPolicy =
  | { readonly kind: 'off' }
  | { readonly kind: 'immediate' }
  /** Seconds during which `ownerKey` can cancel. */
  | { readonly kind: 'delayed'; readonly seconds: number };

/** Argon2id parameters (RFC 9106): memory in KiB, passes, lanes. */
export interface KeyStretching {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly parallelism: number;
}

export interface Policy {
  /** Guesses between two uses of the right PIN. */
  readonly limit: number;
  /** Attempts in a generation's whole life, right ones included. */
  readonly lifetimeLimit: number;
  /** Seconds to wait before the 1st, 2nd, ... attempt since the last success; the last entry repeats. */
  readonly waits: readonly number[];
  readonly takeover: TakeoverPolicy;
  /** Seconds between a node's last vote on a spent record and its vote to destroy it. */
  readonly destroyAfter: number;
  /** The fewest shares that a document may have; never under t + 1 for n >= 5. */
  readonly minimumShares: number;
  readonly keyStretching: KeyStretching;
}

/** Uncompressed SEC1 points on P-256, 65 bytes each. */
export interface NodeKeys {
  readonly identity: Uint8Array;
  readonly session: Uint8Array;
  readonly oprf: Uint8Array;
}

/** Who was in the fleet in an epoch before this one: what its certificates and shares are checked with. */
export interface Membership {
  readonly epoch: number;
  /** Node i's keys at index i - 1: `identity` for what it signed, `oprf` to see whether its shares still answer. */
  readonly nodes: readonly Pick<NodeKeys, 'identity' | 'oprf'>[];
}

/** Earlier epochs that a fleet's description may carry. */
export const MAXIMUM_EARLIER = 16;

export interface Fleet {
  /** Stable name: 1 to 64 of a-z, 0-9 and '-'. */
  readonly fleet: string;
  /** Counts changes of membership, from 1. */
  readonly epoch: number;
  /** Node i's keys at index i - 1. Node numbers run from 1 to n. */
  readonly nodes: readonly NodeKeys[];
  readonly policy: Policy;
  /** Earlier epochs whose records are not all enrolled anew yet, oldest first, the last one being `epoch - 1`. */
  readonly earlier?: readonly Membership[];
}

/** t = floor(n / 2) + 1. */
export function threshold(fleet: Pick<Fleet, 'nodes'>): number {
  return Math.floor(fleet.nodes.length / 2) + 1;
}

/**
 * Votes that make the certificate of what replaces or destroys (opening, staging, "spent"): t + 1, or all of a fleet that has
 * no more. A client is told of success by the receipts of t nodes; with certificates of t, one malicious node and those that
 * missed what was promised could undo it without any that knows of it (docs/protocol.md, section 6). No enrolment has
 * fewer shares than that.
 */
export function replacingThreshold(fleet: Pick<Fleet, 'nodes'>): number {
  return Math.min(fleet.nodes.length, threshold(fleet) + 1);
}

export const DEFAULT_POLICY = {
  limit: 10,
  lifetimeLimit: 50,
  waits: [0, 0, 0, 60, 300, 900, 3600, 14_400, 43_200, 86_400],
  takeover: { kind: 'off' },
  destroyAfter: 7 * 86_400,
  keyStretching: { memoryKiB: 65_536, passes: 3, parallelism: 1 },
} as const satisfies Omit<Policy, 'minimumShares'>;

/** @throws HoldfastError `bad_input` naming the first rule that the fleet's numbers break. */
export function checkFleet(fleet: Fleet): void {
  const refuse = (message: string): never => {
    throw new HoldfastError('bad_input', message);
  };
  const { policy } = fleet;
  const n = fleet.nodes.length;
  const t = threshold(fleet);
  if (!/^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/.test(fleet.fleet))
    refuse('the fleet name must be 1 to 64 of a-z, 0-9, -');
  if (n % 2 === 0 || n < 1 || n > 9) refuse('a fleet has 1, 3, 5, 7 or 9 nodes');
  if (!Number.isSafeInteger(fleet.epoch) || fleet.epoch < 1) refuse('the epoch must be a whole number from 1');
  const whole = (value: number, low: number, high: number) =>
    Number.isSafeInteger(value) && value >= low && value <= high;
  if (!whole(policy.limit, 1, 100)) refuse('limit must be from 1 to 100');
  if (!whole(policy.lifetimeLimit, policy.limit, 10_000)) refuse('lifetimeLimit must be from limit to 10000');
  if (policy.waits.length < 1 || policy.waits.length > 100) refuse('waits must have 1 to 100 entries');
  if (!policy.waits.every((seconds) => whole(seconds, 0, 31_536_000)))
    refuse('each wait must be 0 to 31536000 seconds');
  if (!whole(policy.destroyAfter, 0, 31_536_000)) refuse('destroyAfter must be 0 to 31536000 seconds');
  const fewest = n >= 5 ? t + 1 : n;
  if (!whole(policy.minimumShares, fewest, n)) refuse(`minimumShares must be from ${fewest} to ${n}`);
  if (policy.takeover.kind === 'delayed' && !whole(policy.takeover.seconds, 1, 31_536_000)) {
    refuse('a delayed takeover needs 1 to 31536000 seconds');
  }
  const { memoryKiB, passes, parallelism } = policy.keyStretching;
  if (!whole(memoryKiB, 8 * parallelism, 4_194_304) || !whole(passes, 1, 100) || !whole(parallelism, 1, 16)) {
    refuse('the key stretching parameters are out of range');
  }
  const seen = new Set<string>();
  for (const node of fleet.nodes) {
    for (const key of [node.identity, node.session, node.oprf]) {
      if (key.length !== 65 || key[0] !== 4) refuse('node keys are uncompressed P-256 points of 65 bytes');
      seen.add(key.join());
    }
  }
  if (seen.size !== 3 * n) refuse('all keys of all nodes must differ');
  checkEarlier(fleet, refuse);
}

function checkEarlier({ epoch, nodes, earlier = [] }: Fleet, refuse: (message: string) => never): void {
  if (earlier.length > MAXIMUM_EARLIER) refuse(`a fleet carries at most ${MAXIMUM_EARLIER} earlier epochs`);
  if (earlier.length > 0 && earlier.at(-1)!.epoch !== epoch - 1)
    refuse('the last earlier epoch must be the one before');
  /** The one place of each key through all epochs: a token that moved could else stand for two nodes. */
  const places = new Map<string, string>();
  const place = (key: Uint8Array, where: string) => {
    if (key.length !== 65 || key[0] !== 4) refuse('node keys are uncompressed P-256 points of 65 bytes');
    const known = places.get(key.join());
    if (known !== undefined && known !== where) refuse('a key of a node must stay at its place through all epochs');
    places.set(key.join(), where);
  };
  [...earlier, { epoch, nodes }].forEach((membership, at, all) => {
    if (!Number.isSafeInteger(membership.epoch) || membership.epoch < 1)
      refuse('an epoch must be a whole number from 1');
    if (at > 0 && membership.epoch <= all[at - 1]!.epoch) refuse('earlier epochs must be in order');
    if (membership.nodes.length !== nodes.length) refuse('the number of nodes must stay through all epochs');
    membership.nodes.forEach(({ identity, oprf }, i) => {
      place(identity, `${i} identity`);
      place(oprf, `${i} oprf`);
    });
    const keys = membership.nodes.flatMap(({ identity, oprf }) => [identity.join(), oprf.join()]);
    if (new Set(keys).size !== keys.length) refuse('all keys of all nodes must differ');
  });
}
