/** How the coordinator reaches the nodes. */

import type { NodeAnswer, NodeRequest } from '../protocol/index.ts';

export interface NodeTransport {
  /**
   * Sends one request to node `node` (1 to n). Rejects with HoldfastError `no_majority` where the node cannot be reached
   * in time; an answer of whatever code resolves.
   */
  send(node: number, request: NodeRequest): Promise<NodeAnswer>;
}

export interface CoordinatorObserver {
  count(name: 'requests' | 'unreachable' | 'carried' | 'repair_rounds' | 'destroyed', label?: string): void;
  event(level: 'info' | 'warn' | 'error', event: string, fields?: Readonly<Record<string, string | number>>): void;
}

export const silentCoordinatorObserver: CoordinatorObserver = { count() {}, event() {} };
