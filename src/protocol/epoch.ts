/**
 * Changes of membership: which fleet may follow which, and whom an earlier epoch's certificates and shares belong to
 * (docs/protocol.md, section 7). Node numbers and the number of nodes stay; a node is the same in two epochs exactly where
 * its token is.
 */

import { codec, equalBytes, HoldfastError, sha256 } from '../core/index.ts';
import type { DocumentContent } from './document.ts';
import { checkFleet, type Fleet, type Membership, threshold } from './fleet.ts';

const { fixed, list, message, struct, text, uint } = codec;

const membership = message('holdfast/membership/v1', {
  fleet: text(64),
  epoch: uint,
  nodes: list(struct({ identity: fixed(65), session: fixed(65), oprf: fixed(65) }), 9),
  earlier: list(struct({ epoch: uint, nodes: list(struct({ identity: fixed(65), oprf: fixed(65) }), 9) }), 16),
});

/** 32 bytes that name the membership of this epoch and all earlier ones that it carries; not policy, names or addresses. */
export function membershipDigest({ fleet, epoch, nodes, earlier = [] }: Fleet): Uint8Array {
  const bare = earlier.map((one) => ({
    epoch: one.epoch,
    nodes: one.nodes.map(({ identity, oprf }) => ({ identity, oprf })),
  }));
  return sha256(membership.encode({ fleet, epoch, nodes: [...nodes], earlier: bare }));
}

/** What a successor carries of this fleet. */
export function membershipOf({ epoch, nodes }: Fleet): Membership {
  return { epoch, nodes: nodes.map(({ identity, oprf }) => ({ identity, oprf })) };
}

/** The membership of this epoch or of one that the fleet carries, or undefined. */
export function membershipAt(fleet: Fleet, epoch: number): Membership | undefined {
  return epoch === fleet.epoch ? fleet : fleet.earlier?.find((one) => one.epoch === epoch);
}

/** Whether this node has been the same token in `epoch` as it is now. */
export function isRetained(fleet: Fleet, epoch: number, node: number): boolean {
  const then = membershipAt(fleet, epoch)?.nodes[node - 1];
  const now = fleet.nodes[node - 1];
  return (
    then !== undefined &&
    now !== undefined &&
    equalBytes(then.identity, now.identity) &&
    equalBytes(then.oprf, now.oprf)
  );
}

/** The shares of a document whose nodes still have the key that they were enrolled with. */
export function liveShares(fleet: Fleet, document: DocumentContent): DocumentContent['shares'] {
  return document.shares.filter(({ node }) => isRetained(fleet, document.epoch, node));
}

/** The fleet in which `replaced` nodes have new tokens. @throws HoldfastError `bad_input` where that may not follow. */
export function successorOf(fleet: Fleet, replaced: ReadonlyMap<number, Fleet['nodes'][number]>): Fleet {
  for (const node of replaced.keys()) {
    if (!fleet.nodes[node - 1]) throw new HoldfastError('bad_input', `the fleet has no node ${node}`);
  }
  const next: Fleet = {
    ...fleet,
    epoch: fleet.epoch + 1,
    nodes: fleet.nodes.map((keys, i) => replaced.get(i + 1) ?? keys),
    earlier: [...(fleet.earlier ?? []), membershipOf(fleet)],
  };
  checkSuccessor(fleet, next);
  return next;
}

/**
 * That `next` may follow `current`: nodes that leave an epoch for another can never go back.
 * @throws HoldfastError `bad_input` naming the rule that it breaks.
 */
export function checkSuccessor(current: Fleet, next: Fleet): void {
  checkFleet(next);
  const refuse = (why: string): never => {
    throw new HoldfastError('bad_input', `epoch ${next.epoch} cannot follow epoch ${current.epoch}: ${why}`);
  };
  if (next.fleet !== current.fleet) refuse('it is of another fleet');
  if (next.epoch !== current.epoch + 1) refuse(`the next epoch is ${current.epoch + 1}`);
  if (next.nodes.length !== current.nodes.length) refuse('the number of nodes must stay');
  const carried = next.earlier ?? [];
  if (!carried.some(({ epoch }) => epoch === current.epoch)) refuse('it does not carry the epoch before it');
  for (const one of carried) {
    const known = membershipAt(current, one.epoch);
    if (!known || !sameMembership(known, one))
      refuse(`what it says of epoch ${one.epoch} is not what this fleet knows`);
  }
  const retained = next.nodes.filter((_, i) => isRetained(next, current.epoch, i + 1)).length;
  // Fewer could not leave the old epoch together.
  if (retained < threshold(current)) {
    refuse(`it keeps ${retained} nodes and ${threshold(current)} are needed; make a new fleet instead`);
  }
}

function sameMembership(a: Membership, b: Membership): boolean {
  return (
    a.nodes.length === b.nodes.length &&
    a.nodes.every(
      ({ identity, oprf }, i) => equalBytes(identity, b.nodes[i]!.identity) && equalBytes(oprf, b.nodes[i]!.oprf),
    )
  );
}

/**
 * Earlier epochs of whose records some may have fewer than `t` shares left on tokens of that time, counted for a record
 * with as few shares as the policy allows. Whoever has not used the PIN since may have lost what they enrolled then.
 */
export function endangeredEpochs(fleet: Fleet): number[] {
  return (fleet.earlier ?? []).flatMap(({ epoch, nodes }) => {
    const replaced = nodes.filter((_, i) => !isRetained(fleet, epoch, i + 1)).length;
    return fleet.policy.minimumShares - replaced < threshold(fleet) ? [epoch] : [];
  });
}
