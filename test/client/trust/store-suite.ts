/** What every store of trust state does. Runs in browsers too, so it throws by itself instead of using a test library. */

import type { TrustStateStore } from '../../../src/client/index.ts';

function check(what: string, right: boolean): void {
  if (!right) throw new Error(`the store of trust state is wrong: ${what}`);
}

const isSame = (a: Uint8Array | undefined, b: Uint8Array | undefined) => a?.join() === b?.join();

/**
 * @param open the same store each time, as another process or page would open it.
 * @param states three different states that the store takes.
 * @returns what was checked.
 */
export async function exerciseStateStore(
  open: () => TrustStateStore,
  [first, second, third]: readonly [Uint8Array, Uint8Array, Uint8Array],
): Promise<readonly string[]> {
  const done: string[] = [];
  const step = (what: string, right: boolean) => {
    check(what, right);
    done.push(what);
  };
  step('is empty at first', (await open().load()) === undefined);
  step('swaps nothing for what it never had', !(await open().compareAndSwap(first, second)));
  step('takes a first state', await open().compareAndSwap(undefined, first));
  step('gives it to everybody', isSame(await open().load(), first));
  step('takes no other first state', !(await open().compareAndSwap(undefined, second)));
  step('keeps what it has after a refusal', isSame(await open().load(), first));
  const copy = (await open().load())!;
  copy.fill(0);
  step('is not changed through what it gave', isSame(await open().load(), first));
  step('swaps what is there', await open().compareAndSwap(first, second));
  step('swaps what was there no more', !(await open().compareAndSwap(first, third)));
  const race = await Promise.all(
    Array.from({ length: 8 }, (_, i) => open().compareAndSwap(second, i % 2 === 0 ? first : third)),
  );
  step('lets one of many at once win', race.filter((won) => won).length === 1);
  const winner = race.indexOf(true) % 2 === 0 ? first : third;
  step('has the winner’s state', isSame(await open().load(), winner));
  return done;
}
