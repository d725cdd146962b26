import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock, systemRandom } from '../../src/core/index.ts';

describe('the system clock', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: 1_000 });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('tells milliseconds since 1970', () => {
    expect(systemClock.now()).toBe(1_000);
    vi.setSystemTime(500);
    expect(systemClock.now()).toBe(500);
  });

  it('sleeps as long as it is told, no less', async () => {
    let awake = false;
    const sleep = systemClock.sleep(250).then(() => {
      awake = true;
    });
    await vi.advanceTimersByTimeAsync(249);
    expect(awake).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await sleep;
    expect(awake).toBe(true);
  });

  it('wakes with the signal’s reason, and leaves no timer', async () => {
    const abort = new AbortController();
    const sleep = systemClock.sleep(250, abort.signal);
    expect(vi.getTimerCount()).toBe(1);
    const reason = new Error('shutting down');
    abort.abort(reason);
    await expect(sleep).rejects.toBe(reason);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not begin to sleep after the signal', async () => {
    const reason = new Error('shutting down');
    await expect(systemClock.sleep(250, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('leaves no listener on a signal that outlives it', async () => {
    const abort = new AbortController();
    const remove = vi.spyOn(abort.signal, 'removeEventListener');
    const sleep = systemClock.sleep(10, abort.signal);
    await vi.advanceTimersByTimeAsync(10);
    await sleep;
    expect(remove).toHaveBeenCalledWith('abort', expect.any(Function));
  });
});

describe('the system’s chance', () => {
  it('gives as many bytes as asked, never the same', () => {
    expect(systemRandom(0)).toHaveLength(0);
    expect(systemRandom(33)).toHaveLength(33);
    expect(Buffer.from(systemRandom(32)).equals(systemRandom(32))).toBe(false);
  });
});
