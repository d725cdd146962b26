/** The root of trust for a node's store: what is written to the token, and what a start makes of it (section 7). */

import { codec, equalBytes } from '../core/index.ts';
import type { AuthenticatedDictionary, BatchHead } from '../store/port.ts';
import type { Token } from '../token/port.ts';

const { fixed, message, text, uint } = codec;

const head = { sequence: uint, parent: fixed(32), root: fixed(32) };
const anchorInput = message('holdfast/anchor/v1', { fleet: text(64), node: uint, ...head });
const anchorValue = message('holdfast/anchor-value/v1', { ...head, mac: fixed(32) });

/** Names the node whose store is anchored: two nodes on one token cannot swap their anchors. */
export interface AnchorOwner {
  readonly fleet: string;
  readonly node: number;
}

/** The MAC that ties a batch of the store to this node's token, 32 bytes. */
export function anchorMac(token: Token, owner: AnchorOwner, batch: BatchHead): Promise<Uint8Array> {
  const { sequence, parent, root } = batch;
  return token.anchorMac(anchorInput.encode({ fleet: owner.fleet, node: owner.node, sequence, parent, root }));
}

export function encodeAnchor(batch: BatchHead, mac: Uint8Array): Uint8Array {
  const { sequence, parent, root } = batch;
  return anchorValue.encode({ sequence, parent, root, mac });
}

/** The newest anchor whose MAC is right, or undefined. Torn or foreign values are passed over. */
export async function readAnchor(token: Token, owner: AnchorOwner): Promise<BatchHead | undefined> {
  let newest: BatchHead | undefined;
  for (const value of await token.readAnchors()) {
    let anchor: ReturnType<typeof anchorValue.decode>;
    try {
      anchor = anchorValue.decode(value);
    } catch {
      continue;
    }
    if (!equalBytes(await anchorMac(token, owner, anchor), anchor.mac)) continue;
    if (!newest || anchor.sequence > newest.sequence) newest = anchor;
  }
  return newest;
}

/**
 * `matches`: the store is what the token says. `ahead`: exactly one batch newer, stored before a crash kept its anchor
 * from being written; nothing of it was acknowledged, and it is taken over. `behind`: an older state of this very node,
 * to be repaired. `foreign`: not a state that this token ever vouched for; nothing of it may be used.
 */
export type StartVerdict = 'matches' | 'ahead' | 'behind' | 'foreign';

export async function judgeStart(
  token: Token,
  owner: AnchorOwner,
  anchor: BatchHead,
  dictionary: Pick<AuthenticatedDictionary, 'head' | 'mac'>,
): Promise<StartVerdict> {
  if (!dictionary.mac) return 'foreign';
  const stored = dictionary.head;
  if (!equalBytes(await anchorMac(token, owner, stored), dictionary.mac)) return 'foreign';
  if (stored.sequence === anchor.sequence && equalBytes(stored.root, anchor.root)) return 'matches';
  const next = stored.sequence === anchor.sequence + 1 && equalBytes(stored.parent, anchor.root);
  return next ? 'ahead' : 'behind';
}
