/** Asking several nodes at once, on a clock that the test owns. */

import { describe, expect, it } from 'vitest';
import { gather } from '../../src/coordinator/gather.ts';
import type { Clock } from '../../src/core/index.ts';

/** Time passes only by `run`, in order, and only as far as something waits for it. */
class VirtualClock implements Clock {
  #now = 0;
  #waiting: { at: number; wake: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const entry = { at: this.#now + milliseconds, wake: resolve };
      this.#waiting.push(entry);
      signal?.addEventListener('abort', () => {
        this.#waiting = this.#waiting.filter((one) => one !== entry);
        reject(signal.reason);
      });
    });
  }

  get pending(): number {
    return this.#waiting.length;
  }

  /** Lets time pass until the promise settles; its value and the time at which it did. */
  async run<T>(promise: Promise<T>): Promise<{ value: T; at: number }> {
    let done: { value: T; at: number } | undefined;
    void promise.then((value) => {
      done = { value, at: this.#now };
    });
    for (;;) {
      for (let i = 0; i < 10; i++) await Promise.resolve();
      if (done) return done;
      this.#waiting.sort((a, b) => a.at - b.at);
      const next = this.#waiting.shift();
      if (!next) throw new Error('nothing will ever happen');
      this.#now = next.at;
      next.wake();
    }
  }
}

/** Asks nodes that answer after so many ms, fail ('fail'), or hang ('hang'). */
function ask(
  behaviour: readonly (number | 'fail' | 'hang')[],
  options: { grace?: number; needed?: number; first?: number } = {},
) {
  const clock = new VirtualClock();
  const { grace = 20, needed = 2, first } = options;
  const asked: string[] = [];
  const nodes = behaviour.map((_, i) => i + 1);
  const gathering = gather<number>({
    nodes,
    ask: async (node) => {
      const what = behaviour[node - 1]!;
      asked.push(`${node} at ${clock.now()}`);
      if (what === 'fail') throw new Error('unreachable');
      if (what === 'hang') return new Promise(() => {});
      await clock.sleep(what);
      return node;
    },
    enough: (answers) => answers.size >= needed,
    grace,
    timeout: 1000,
    clock,
    ...(first !== undefined && { hedge: { first, after: 50, good: () => true } }),
  });
  return clock.run(gathering).then(({ value, at }) => ({
    nodes: [...value.keys()].sort(),
    at,
    pending: clock.pending,
    ...(first && { asked }),
  }));
}

describe('gather', () => {
  it('returns as soon as all have answered', async () => {
    expect(await ask([3, 5, 9])).toEqual({ nodes: [1, 2, 3], at: 9, pending: 0 });
  });

  it('waits for the rest for no longer than the grace, never for the slowest minority', async () => {
    expect(await ask([1, 5, 500])).toMatchObject({ nodes: [1, 2], at: 25 });
    expect(await ask([1, 5, 24])).toMatchObject({ nodes: [1, 2, 3], at: 24 });
    expect(await ask([1, 5, 'hang'])).toMatchObject({ nodes: [1, 2], at: 25 });
  });

  it('does not begin the grace anew with each further answer', async () => {
    expect(await ask([1, 2, 20, 40, 60], { needed: 2 })).toMatchObject({ nodes: [1, 2, 3], at: 22 });
  });

  it('returns at once when there is enough and no grace', async () => {
    expect(await ask([4, 1, 900], { grace: 0 })).toMatchObject({ nodes: [1, 2], at: 4 });
  });

  it('makes do with what there is at the timeout', async () => {
    expect(await ask([7, 'hang', 'hang'])).toEqual({ nodes: [1], at: 1000, pending: 0 });
    expect(await ask(['hang', 'hang', 2000])).toMatchObject({ nodes: [], at: 1000 });
  });

  it('counts a failure as an answer that did not come, without waiting for it', async () => {
    expect(await ask(['fail', 'fail', 'fail'])).toEqual({ nodes: [], at: 0, pending: 0 });
    expect(await ask([3, 'fail', 4])).toEqual({ nodes: [1, 3], at: 4, pending: 0 });
    expect(await ask([3, 'fail', 'hang'])).toMatchObject({ nodes: [1], at: 1000 });
  });

  it('asks few first where that is wanted, then one more, then all', async () => {
    const all = ['1 at 0', '2 at 0', '3 at 50', '4 at 100', '5 at 100'];
    const hedged = (first: number | 'hang', third: number | 'hang') =>
      ask([first, 'hang', third, 7, 8], { first: 2, needed: 2, grace: 0 });
    expect(await ask([3, 5, 1, 1, 1], { first: 2 })).toMatchObject({ nodes: [1, 2], at: 5, asked: all.slice(0, 2) });
    expect(await hedged(3, 4)).toMatchObject({ nodes: [1, 3], at: 54, asked: all.slice(0, 3) });
    expect(await hedged(3, 'hang')).toMatchObject({ nodes: [1, 4], at: 107, asked: all });
    expect(await ask(['fail', 5, 9], { first: 2 })).toMatchObject({ nodes: [2, 3], at: 9 });
  });

  it('of no nodes is empty at once', async () => {
    expect(await ask([])).toEqual({ nodes: [], at: 0, pending: 0 });
  });
});
