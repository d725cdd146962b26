/** The statement with which a node that left an epoch whole enters the next one (docs/protocol.md, section 7). */

import { type Clock, equalBytes } from '../core/index.ts';
import {
  batchToSign,
  encodeBody,
  encodeSignedStatement,
  type Fleet,
  isRetained,
  membershipDigest,
  merkleTree,
  type NodeState,
  type Signer,
  statementHash,
} from '../protocol/index.ts';
import type { Token } from '../token/port.ts';

export interface LeaveOptions {
  /** The fleet that is entered. */
  readonly fleet: Fleet;
  readonly node: number;
  readonly token: Pick<Token, 'sign'>;
  readonly clock: Clock;
}

/**
 * This node's `leave` of the epoch before, or undefined where it has not left that one for this membership. It speaks for
 * the incarnation and the fences with which the node left: were it put back to before that and served there again, one of
 * any `t` leavers has fenced this incarnation off, and the statement counts with none of them.
 * @param state what the node's store, which must be what its anchor says, holds of the node itself.
 * @param sequence of the newest batch in that store.
 */
export async function signLeave(
  { fleet, node, token, clock }: LeaveOptions,
  state: NodeState,
  sequence: number,
): Promise<Uint8Array | undefined> {
  const { left, epoch, incarnation, fences } = state;
  const whole = left && epoch === fleet.epoch - 1 && equalBytes(left.next, membershipDigest(fleet));
  if (!whole || !isRetained(fleet, epoch, node)) return undefined;
  const before = { fleet: fleet.fleet, epoch };
  const body = encodeBody({ kind: 'leave', ...before, next: left.next, root: left.root });
  const signer: Signer = { node, incarnation, sequence, time: clock.now(), fences };
  const { root, paths } = merkleTree([statementHash(body, signer)]);
  const signature = await token.sign(batchToSign(before, node, root));
  return encodeSignedStatement({ body, signer, batch: { index: 0, size: 1, path: paths[0]!, signature } });
}
