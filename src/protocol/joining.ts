/**
 * Whom a node that joins an epoch may learn the epoch before from (docs/protocol.md, section 7): nodes that left that one
 * whole, `t` of them, whose `leave` statements agree by their fences. Anything that epoch ever certified is then known to
 * one of them, and it can certify nothing any more.
 */

import { equalBytes, HoldfastError } from '../core/index.ts';
import { fencesAgree, type StatementVerifier } from './certificate.ts';
import { isRetained, membershipDigest } from './epoch.ts';
import { decodeSignedStatement, type Signer } from './statement.ts';

/**
 * Who signed this `leave` of the epoch before: a node whose token is still the same.
 * @throws HoldfastError `untrusted` or `malformed`.
 */
export function openLeave(verifier: StatementVerifier, encoded: Uint8Array): Signer {
  const { fleet } = verifier;
  const statement = decodeSignedStatement(encoded);
  const body = verifier.at(fleet.epoch - 1).body(statement, 'leave');
  const { signer } = statement;
  if (!equalBytes(body.next, membershipDigest(fleet)) || !isRetained(fleet, fleet.epoch - 1, signer.node)) {
    throw new HoldfastError('untrusted', 'a node left for another membership than this one');
  }
  return signer;
}

/**
 * The largest set of these leavers whose fences agree. A node that was put back to before it left, and served there
 * again, was fenced off by one of any `t` leavers: so it is in no set of `t`.
 */
export function agreeingLeavers(leavers: readonly Signer[]): readonly Signer[] {
  let best: readonly Signer[] = [];
  const extend = (chosen: readonly Signer[], from: number): void => {
    if (chosen.length > best.length) best = chosen;
    for (let i = from; i < leavers.length; i++) {
      const together = [...chosen, leavers[i]!];
      if (fencesAgree(together)) extend(together, i + 1);
    }
  };
  extend([], 0);
  return best;
}
