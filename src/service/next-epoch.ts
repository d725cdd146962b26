/**
 * The trust file of the epoch to come, laid beside a node's own by its operator (docs/hsm.md). That file is the order to
 * leave: no message of a coordinator or of anybody else can make a node leave its epoch.
 */

import { readFile } from 'node:fs/promises';
import { asHoldfastError, HoldfastError } from '../core/index.ts';
import type { Logger } from '../http/index.ts';
import type { RunningNode } from '../node/http/index.ts';
import { checkSuccessor } from '../protocol/index.ts';
import { type PinnedTrust, parseTrustFile } from '../trust/index.ts';

/** Milliseconds between two looks. */
const LOOK = 1000;

/** Where the operator lays it. */
export const nextTrustFile = (trustFile: string): string => `${trustFile}.next`;

/**
 * The trust file beside this one, or undefined where there is none, or an old one.
 * @throws HoldfastError as `requireNextTrust`.
 */
export async function readNextTrust(
  trustFile: string,
  current: PinnedTrust,
  node: number,
): Promise<PinnedTrust | undefined> {
  let text: string;
  try {
    text = await readFile(nextTrustFile(trustFile), 'utf8');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new HoldfastError('bad_input', 'the next trust file cannot be read; check its mode', { cause });
  }
  const { fleet } = parseTrustFile(text, { now: Number.NEGATIVE_INFINITY });
  return fleet.epoch <= current.fleet.epoch ? undefined : requireNextTrust(text, current, node);
}

/**
 * The next trust file in `text`, for this node.
 * @throws HoldfastError `bad_input` where it may not follow, or names this node differently: its keys are labelled so.
 */
export function requireNextTrust(text: string, current: PinnedTrust, node: number): PinnedTrust {
  const next = parseTrustFile(text, { now: Number.NEGATIVE_INFINITY });
  checkSuccessor(current.fleet, next.fleet);
  if (next.names[node - 1] === current.names[node - 1]) return next;
  throw new HoldfastError('bad_input', `the next trust file calls node ${node} by another name; keep its name`);
}

export interface WatchOptions {
  readonly running: Pick<RunningNode, 'vault' | 'phase'>;
  readonly read: () => Promise<PinnedTrust | undefined>;
  readonly log: Logger;
  /** Called once, when the node has left: end the process, to start again in the next epoch. */
  readonly onLeft: (reason: HoldfastError) => void;
}

/** Leaves the epoch once there is a next trust file and the node serves. @returns what ends the watch. */
export function watchForNextEpoch({ running, read, log, onLeft }: WatchOptions): () => void {
  let said = '';
  let timer: NodeJS.Timeout;
  let over = false;
  const look = async () => {
    try {
      const next = running.phase === 'serving' ? await read() : undefined;
      if (next && !over) {
        over = true;
        await running.vault.leave(next.fleet);
        onLeft(
          new HoldfastError('not_ready', `this node has left its epoch and starts again in epoch ${next.fleet.epoch}`),
        );
      }
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      // Half-way out it neither serves nor has left: a new start makes one of the two of it.
      if (over) onLeft(error);
      if (error.message !== said) log.error({ event: 'next epoch refused', code: error.code, reason: error.message });
      said = error.message;
    }
    if (!over) begin();
  };
  const begin = () => {
    timer = setTimeout(() => void look(), LOOK);
    timer.unref();
  };
  begin();
  return () => {
    over = true;
    clearTimeout(timer);
  };
}
