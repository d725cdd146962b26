import { expect, it } from 'vitest';
import { MemoryTrustSetCache, MemoryTrustStore } from '../../../src/client/index.ts';
import { STATES } from './states.ts';
import { exerciseStateStore } from './store-suite.ts';

it('the store in memory does what every store does', async () => {
  const store = new MemoryTrustStore();
  expect(await exerciseStateStore(() => store, STATES)).toHaveLength(11);
});

it('what every store does is noticed where it is not done', async () => {
  class Forgetful extends MemoryTrustStore {
    override async compareAndSwap(_previous: Uint8Array | undefined, next: Uint8Array) {
      return super.compareAndSwap(await this.load(), next);
    }
  }
  const store = new Forgetful();
  await expect(exerciseStateStore(() => store, STATES)).rejects.toThrow(/swaps nothing for what it never had/);
});

it('kept sets are copies', async () => {
  const cache = new MemoryTrustSetCache();
  const set = Uint8Array.of(1, 2);
  await cache.store('first', set);
  set.fill(0);
  expect(await cache.load('first')).toEqual(Uint8Array.of(1, 2));
  expect(await cache.load('second')).toBeUndefined();
});
