/** Opening a node's store against its token's anchor, and making both for a new node (docs/protocol.md, section 7). */

import { equalBytes, HoldfastError } from '../core/index.ts';
import {
  decodeNodeState,
  emptyNodeState,
  encodeNodeState,
  enterEpoch,
  type Fleet,
  NODE_STATE_KEY,
  NOT_COMPARED,
  type NodeState,
  newNodeState,
  threshold,
} from '../protocol/index.ts';
import type { AuthenticatedDictionary } from '../store/port.ts';
import type { Token } from '../token/port.ts';
import { type AnchorOwner, anchorMac, encodeAnchor, judgeStart, readAnchor, type StartVerdict } from './anchor.ts';
import { signLeave } from './leave.ts';
import type { DictionarySource } from './ports.ts';
import { VaultNode } from './vault-node.ts';
import type { VaultNodeOptions } from './vault-options.ts';

/**
 * An operator's decision to let one named node serve without the heads of the others, where too few can be reached. The
 * guess bound then counts this node as malicious until the epoch ends (docs/protocol.md, section 7).
 */
export interface RepairOverride {
  readonly node: number;
  readonly epoch: number;
  /** For the log. */
  readonly reason: string;
}

export type StartOptions = Omit<VaultNodeOptions, 'dictionary' | 'intact' | 'anchorSequence' | 'headsNeeded'> & {
  readonly dictionaries: DictionarySource;
  readonly repairOverride?: RepairOverride | undefined;
};

/**
 * Writes the first batch and anchor of a new node. Done once, when the fleet is created: a node without an anchor is
 * afterwards one whose token was lost, and is refused. Where the power was cut between the two, it goes on with the anchor.
 * @throws HoldfastError `conflict` where the token already has an anchor or the store an entry of anything else.
 */
export async function initialiseNode(
  options: Pick<StartOptions, 'fleet' | 'node' | 'token' | 'dictionaries'>,
): Promise<void> {
  const { fleet, node, token, dictionaries } = options;
  const dictionary = await dictionaries.open();
  const owner = { fleet: fleet.fleet, node };
  const value = encodeNodeState(newNodeState(fleet));
  if (
    (await readAnchor(token, owner)) ||
    (dictionary.size > 0 && !(await isFirstBatch(token, owner, dictionary, value)))
  ) {
    throw new HoldfastError('conflict', 'this node has been initialised before');
  }
  if (dictionary.size === 0) {
    const prepared = dictionary.prepare([{ key: NODE_STATE_KEY, value, syncHash: NOT_COMPARED }]);
    await dictionary.commit(prepared, await anchorMac(token, owner, prepared.head));
  }
  await token.writeAnchor(encodeAnchor(dictionary.head, dictionary.mac!));
}

/** Whether the store is what a new node's first batch makes of it, by this very token: so nothing was ever acknowledged. */
async function isFirstBatch(
  token: Token,
  owner: AnchorOwner,
  dictionary: AuthenticatedDictionary,
  value: Uint8Array,
): Promise<boolean> {
  const { head, mac, size } = dictionary;
  const stored = dictionary.get(NODE_STATE_KEY);
  if (head.sequence !== 1 || size !== 1 || !mac || !stored || !equalBytes(stored, value)) return false;
  return equalBytes(await anchorMac(token, owner, head), mac);
}

/**
 * A node ready to repair. A store that is not what the anchor says is never served: what is internally sound of it is
 * kept as a base, else it is emptied, and the node fetches everything from `t` others.
 * @throws HoldfastError `store_refused` where the token has no anchor, or the node's keys are not the fleet's.
 */
export async function openVaultNode(options: StartOptions): Promise<VaultNode> {
  const { fleet, node, token, dictionaries, observer } = options;
  checkKeys(options);
  const owner = { fleet: fleet.fleet, node };
  const anchor = await readAnchor(token, owner);
  if (!anchor) {
    throw new HoldfastError(
      'store_refused',
      'the token has no anchor of this node; replace a lost token with holdfast fleet replace-node',
    );
  }
  let dictionary: AuthenticatedDictionary | undefined;
  let verdict: StartVerdict = 'foreign';
  try {
    dictionary = await dictionaries.open();
    verdict = await judgeStart(token, owner, anchor, dictionary);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'store_refused') throw error;
    observer.event('error', 'store does not match its own root', { reason: error.message });
  }
  if (!dictionary || verdict === 'foreign') {
    observer.event('error', 'store refused: not of this token; emptied, to be repaired from the other nodes');
    await dictionaries.wipe();
    dictionary = await dictionaries.open();
  } else if (verdict === 'behind') {
    const { sequence } = dictionary.head;
    observer.event('error', 'store refused: older than its anchor; to be repaired from the other nodes', {
      storeSequence: sequence,
      anchorSequence: anchor.sequence,
    });
  }
  if (verdict === 'ahead') await token.writeAnchor(encodeAnchor(dictionary.head, dictionary.mac!));
  const state = storedState(dictionary, fleet);
  // Refuses a node that has left this epoch, or is beyond it, before anything is written.
  enterEpoch(state, fleet);
  const intact = (verdict === 'matches' || verdict === 'ahead') && state.sound;
  const alone = fleet.nodes.length === 1;
  if (alone && !intact) {
    throw new HoldfastError(
      'store_refused',
      'the only node’s store does not match its anchor; there is nobody to repair it from',
    );
  }
  const trusted = alone || (intact && token.rollbackResistant);
  const leave = intact ? await signLeave(options, state, dictionary.head.sequence) : undefined;
  return new VaultNode({
    ...options,
    ...(leave && { leave }),
    dictionary,
    intact,
    anchorSequence: anchor.sequence,
    headsNeeded: trusted || overridden(options) ? 0 : threshold(fleet),
  });
}

/** @throws HoldfastError `usage` where the override names another node or epoch: it must not outlive its occasion. */
function overridden({ fleet, node, observer, repairOverride }: StartOptions): boolean {
  if (!repairOverride) return false;
  if (repairOverride.node !== node || repairOverride.epoch !== fleet.epoch) {
    throw new HoldfastError('usage', 'the repair override is for another node or epoch; remove it');
  }
  const { reason } = repairOverride;
  observer.event('error', 'OPERATOR OVERRIDE: serving without the other nodes; counts as malicious', { reason });
  observer.count('overrides');
  return true;
}

function storedState(dictionary: AuthenticatedDictionary, fleet: Fleet): NodeState {
  const stored = dictionary.get(NODE_STATE_KEY);
  try {
    return stored ? decodeNodeState(stored) : emptyNodeState(fleet.nodes.length);
  } catch (cause) {
    // The store is the one that its own root vouches for, so that this is no damage.
    throw new HoldfastError(
      'bad_input',
      'this store was written by another version of Holdfast, in a form that this one does not read: run that version, or make a new fleet and enrol there (before 1.0 forms may change)',
      { cause },
    );
  }
}

function checkKeys({ fleet, node, token }: StartOptions): void {
  const keys = fleet.nodes[node - 1];
  if (!keys) throw new HoldfastError('usage', `the fleet has no node ${node}`);
  for (const name of ['identity', 'session', 'oprf'] as const) {
    if (!equalBytes(keys[name], token.publicKeys[name])) {
      throw new HoldfastError('untrusted', `the token’s ${name} key is not the one in the fleet description`);
    }
  }
}
