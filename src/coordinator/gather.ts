/** Asking several nodes at once without ever waiting for the slowest minority. */

import type { Clock } from '../core/index.ts';

export interface GatherOptions<T> {
  readonly nodes: readonly number[];
  readonly ask: (node: number) => Promise<T>;
  /** Whether what has arrived suffices. */
  readonly enough: (answers: ReadonlyMap<number, T>) => boolean;
  /** Milliseconds to wait for the rest once there is enough. */
  readonly grace: number;
  /** Milliseconds after which what there is must do. */
  readonly timeout: number;
  readonly clock: Clock;
}

/**
 * The answers that arrived in time. Nodes that failed or were too slow are missing; their requests run on, since a vote
 * that arrives late still keeps its node up to date.
 */
export function gather<T>(options: GatherOptions<T>): Promise<Map<number, T>> {
  const { nodes, ask, enough, grace, timeout, clock } = options;
  const answers = new Map<number, T>();
  let open = nodes.length;
  let waitingForRest = false;
  return new Promise((resolve) => {
    const stop = new AbortController();
    const finish = () => {
      stop.abort();
      resolve(new Map(answers));
    };
    const finishAfter = (milliseconds: number) => {
      clock.sleep(milliseconds, stop.signal).then(finish, () => {});
    };
    if (open === 0) return finish();
    finishAfter(timeout);
    const settled = () => {
      if (--open === 0) return finish();
      if (waitingForRest || !enough(answers)) return;
      waitingForRest = true;
      if (grace === 0) finish();
      else finishAfter(grace);
    };
    for (const node of nodes) {
      ask(node).then(
        (answer) => {
          answers.set(node, answer);
          settled();
        },
        () => settled(),
      );
    }
  });
}
