/**
 * Who in this process uses which module. A module's state (initialised, logged in) belongs to the process, and
 * C_Finalize while anything runs is a crash: so opening and closing take turns, and only the last user finalizes.
 */

import { realpathSync } from 'node:fs';
import { HoldfastError } from '../../core/index.ts';
import { loadModule } from './cryptoki.ts';

interface Usage {
  users: number;
  turn: Promise<unknown>;
}

const usages = new Map<string, Usage>();

/** @throws HoldfastError `usage` if there is no such file. */
export function resolveModule(path: string): string {
  try {
    return realpathSync(path);
  } catch (cause) {
    throw new HoldfastError('usage', `there is no PKCS#11 module ${path}; check the configured path`, { cause });
  }
}

function inTurn<T>(path: string, body: (usage: Usage) => Promise<T>): Promise<T> {
  const usage = usages.get(path) ?? { users: 0, turn: Promise.resolve() };
  usages.set(path, usage);
  const result = usage.turn.then(() => body(usage));
  usage.turn = result.catch(() => undefined);
  return result;
}

/**
 * Begins one use, unless `open` fails: then `abandon` is told whether to finalize. The module stays mapped in this
 * thread until the process ends.
 */
export function enterModule<T>(
  path: string,
  open: () => Promise<T>,
  abandon: (finalize: boolean) => Promise<void>,
): Promise<T> {
  return inTurn(path, async (usage) => {
    loadModule(path);
    try {
      const opened = await open();
      usage.users++;
      return opened;
    } catch (error) {
      await abandon(usage.users === 0);
      throw error;
    }
  });
}

/** Ends one use. `close` is told whether to finalize the module. */
export function leaveModule(path: string, close: (finalize: boolean) => Promise<void>): Promise<void> {
  return inTurn(path, async (usage) => {
    usage.users--;
    await close(usage.users === 0);
  });
}

/** A use within one thread's synchronous code: administration and inventory. */
export function useModule<T>(path: string, body: () => T, finalize: () => void): Promise<T> {
  return inTurn(path, async (usage) => {
    loadModule(path);
    try {
      return body();
    } finally {
      if (usage.users === 0) finalize();
    }
  });
}
