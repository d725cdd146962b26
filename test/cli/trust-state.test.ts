/** The file with what this device trusts: swapped in one step by one process at a time, never silently made anew. */

import { chmodSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it } from 'vitest';
import { defaultTrustStatePath, FileTrustSetCache, FileTrustStateStore } from '../../src/cli/trust-state.ts';
import { lockFolder } from '../../src/lock/index.ts';
import { anchorOf, MAXIMUM_TRUST_SET } from '../../src/trust/index.ts';
import { STATES } from '../client/trust/states.ts';
import { exerciseStateStore } from '../client/trust/store-suite.ts';
import { signPolicy, trustPolicy } from '../trust/fixture.ts';

const newPath = () => join(mkdtempSync(join(tmpdir(), 'state-')), 'inner', 'state.json');

it('does what every store does', async () => {
  const path = newPath();
  expect(await exerciseStateStore(() => new FileTrustStateStore(path), STATES)).toHaveLength(11);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  // Nothing half-written is left beside it.
  expect(readdirSync(dirname(path)).filter((name) => name.endsWith('.new'))).toEqual([]);
});

it('waits for another process that holds the lock, and swaps then', async () => {
  const path = newPath();
  const store = new FileTrustStateStore(path);
  await store.compareAndSwap(undefined, STATES[0]);
  const lock = lockFolder(dirname(path));
  const order: string[] = [];
  const swapping = store.compareAndSwap(STATES[0], STATES[1]).then((swapped) => order.push(`swapped ${swapped}`));
  expect(await store.load()).toEqual(STATES[0]);
  order.push('released');
  lock.release();
  await swapping;
  expect(order).toEqual(['released', 'swapped true']);
});

it.each([
  ['empty', ''],
  ['not JSON', 'x'],
  ['cut short', new TextDecoder().decode(STATES[0]).slice(0, -1)],
  ['longer', `${new TextDecoder().decode(STATES[0])}\n`],
  ['huge', 'x'.repeat(65_537)],
])('that is %s is an error that names it, and stays as it is', async (_what, content) => {
  const path = newPath();
  const store = new FileTrustStateStore(path);
  await store.compareAndSwap(undefined, STATES[0]);
  writeFileSync(path, content);
  const damaged = { code: 'trust_state_damaged', message: expect.stringContaining(path) };
  await expect(store.load()).rejects.toMatchObject(damaged);
  await expect(store.compareAndSwap(undefined, STATES[1])).rejects.toMatchObject(damaged);
  expect(readFileSync(path, 'utf8')).toBe(content);
});

it('in a folder that cannot be made is wrong usage', async () => {
  const file = join(mkdtempSync(join(tmpdir(), 'state-')), 'file');
  writeFileSync(file, '');
  chmodSync(file, 0o600);
  const store = new FileTrustStateStore(join(file, 'state.json'));
  await expect(store.compareAndSwap(undefined, STATES[0])).rejects.toMatchObject({ code: 'usage' });
});

it('has a name of its own for each vault, environment and log', async () => {
  const anchor = anchorOf(await signPolicy(trustPolicy()), ['https://cosigner.example']);
  const path = defaultTrustStatePath(anchor, { XDG_STATE_HOME: '/state' });
  expect(path).toMatch(/^\/state\/holdfast\/trust\/[0-9a-f]{64}\.json$/);
  expect(defaultTrustStatePath({ ...anchor, vault: 'other' }, { XDG_STATE_HOME: '/state' })).not.toBe(path);
  expect(defaultTrustStatePath({ ...anchor, environment: 'other' }, { XDG_STATE_HOME: '/state' })).not.toBe(path);
});

it('kept sets that are missing, too large or cannot be written are only missing', async () => {
  const path = newPath();
  const cache = new FileTrustSetCache(path);
  await cache.store('first', Uint8Array.of(1));
  expect(await cache.load('first')).toBeUndefined();
  await new FileTrustStateStore(path).compareAndSwap(undefined, STATES[0]);
  await cache.store('first', Uint8Array.of(1));
  expect(await cache.load('first')).toEqual(Uint8Array.of(1));
  await cache.store('first', new Uint8Array(MAXIMUM_TRUST_SET + 1));
  expect(await cache.load('first')).toBeUndefined();
});
