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
  /**
   * Asks only the first so many nodes at once, one more for each that fails or whose answer is not `good`, one more after so
   * many milliseconds, and all of the rest after as many again. Absent: all at once.
   */
  readonly hedge?: { readonly first: number; readonly after: number; readonly good: (answer: T) => boolean };
}

const FINISHED = 'finished';

/**
 * The answers that arrived in time. Nodes that failed or were too slow are missing; their requests run on, since a vote
 * that arrives late still keeps its node up to date.
 */
export function gather<T>(options: GatherOptions<T>): Promise<Map<number, T>> {
  const { nodes, ask, enough, grace, timeout, clock, hedge } = options;
  const answers = new Map<number, T>();
  let asked = 0;
  let open = 0;
  let waitingForRest = false;
  return new Promise((resolve) => {
    const stop = new AbortController();
    const finish = () => {
      // With a reason of its own: the default one is made anew each time, stack trace and all.
      stop.abort(FINISHED);
      resolve(new Map(answers));
    };
    const after = (milliseconds: number, what: () => void) => {
      clock.sleep(milliseconds, stop.signal).then(what, () => {});
    };
    const askMore = (count: number) => {
      for (const node of nodes.slice(asked, asked + count)) {
        asked++;
        open++;
        ask(node).then(
          (answer) => {
            answers.set(node, answer);
            settled(!hedge || hedge.good(answer));
          },
          () => settled(false),
        );
      }
    };
    const settled = (good: boolean) => {
      open--;
      if (waitingForRest || enough(answers)) {
        if (open === 0 || grace === 0) finish();
        else if (!waitingForRest) after(grace, finish);
        waitingForRest = true;
        return;
      }
      if (!good) askMore(1);
      if (open > 0) return;
      if (asked < nodes.length) askMore(nodes.length);
      else finish();
    };
    if (nodes.length === 0) return finish();
    after(timeout, finish);
    askMore(hedge?.first ?? nodes.length);
    if (!hedge || hedge.first >= nodes.length) return;
    after(hedge.after, () => {
      if (waitingForRest) return;
      askMore(1);
      after(hedge.after, () => waitingForRest || askMore(nodes.length));
    });
  });
}
