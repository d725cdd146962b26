/** What this device remembers of the fleets that it trusts: one file per vault, environment and log, and the last trust sets beside it. */

import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { TrustSetCache } from '../client/index.ts';
import { bytesToHex, equalBytes, HoldfastError, sha256, systemRandom, utf8 } from '../core/index.ts';
import { type Lock, lockFolder } from '../lock/index.ts';
import {
  MAXIMUM_TRUST_SET,
  originOf,
  parseTrustState,
  type TrustAnchor,
  type TrustStateStore,
} from '../trust/index.ts';
import { quote, requireHome, syncFolder } from './files.ts';

/** Bytes; `parseTrustState` takes no more. */
const MAXIMUM_STATE = 65_536;
/** Milliseconds to wait for another process that is in the middle of a swap, which takes a few. */
const LOCK_PATIENCE = 5000;

/** `$XDG_STATE_HOME/holdfast/trust/<SHA-256 of vault, environment, origin>.json`, or below `~/.local/state`. */
export function defaultTrustStatePath(
  anchor: TrustAnchor,
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const otherwise = 'name the file to remember with --trust-state FILE or HOLDFAST_TRUST_STATE';
  const base = environment.XDG_STATE_HOME || join(requireHome(otherwise), '.local', 'state');
  const name = [anchor.vault, anchor.environment, originOf(anchor.policy)].join('\n');
  return join(base, 'holdfast', 'trust', `${bytesToHex(sha256(utf8(name)))}.json`);
}

/**
 * Compare and swap under a lock of the folder that the system drops with its holder; the new state is durable under a
 * name of its own before it takes the old one's place.
 */
export class FileTrustStateStore implements TrustStateStore {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  /** @throws HoldfastError `trust_state_damaged` for a file that is not as it was written; `usage` if it cannot be read. */
  async load(): Promise<Uint8Array | undefined> {
    const bytes = await readBounded(this.#path, MAXIMUM_STATE);
    if (bytes === undefined) return undefined;
    try {
      if (bytes === 'too large') throw new HoldfastError('bad_input', 'it is too large');
      parseTrustState(bytes);
      return bytes;
    } catch (cause) {
      throw new HoldfastError(
        'trust_state_damaged',
        `${quote(this.#path)}, which says what this device trusts, is damaged. Restore it from a backup. Only if you know ` +
          'what damaged it, move it away: this device then starts again from the trust anchor, and could be shown old states',
        { cause },
      );
    }
  }

  async compareAndSwap(previous: Uint8Array | undefined, next: Uint8Array): Promise<boolean> {
    const lock = await this.#lock();
    try {
      const stored = await this.load();
      const same =
        stored === undefined ? previous === undefined : previous !== undefined && equalBytes(stored, previous);
      if (same) await replaceDurably(this.#path, next);
      return same;
    } finally {
      lock.release();
    }
  }

  async #lock(): Promise<Lock> {
    const folder = dirname(this.#path);
    await mkdir(folder, { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
      throw new HoldfastError('usage', `the folder ${quote(folder)} cannot be made; name another --trust-state`, {
        cause,
      });
    });
    const end = performance.now() + LOCK_PATIENCE;
    for (;;) {
      try {
        return lockFolder(folder);
      } catch (thrown) {
        const busy = thrown instanceof HoldfastError && thrown.code === 'not_ready';
        if (!busy) {
          throw new HoldfastError('usage', `nothing can be written in ${quote(folder)}; name another --trust-state`, {
            cause: thrown,
          });
        }
        if (performance.now() >= end) {
          throw new HoldfastError('conflict', `another process has been using ${quote(folder)} for 5 s; try again`, {
            cause: thrown,
          });
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }
}

/** The last set of each fleet beside the state, for when no source answers. What cannot be read or written is only missing. */
export class FileTrustSetCache implements TrustSetCache {
  readonly #base: string;

  /** @param statePath of the state that the sets belong to. */
  constructor(statePath: string) {
    this.#base = statePath.replace(/\.json$/, '');
  }

  async load(name: string): Promise<Uint8Array | undefined> {
    const bytes = await readBounded(this.#pathOf(name), MAXIMUM_TRUST_SET).catch(() => undefined);
    return bytes === 'too large' ? undefined : bytes;
  }

  async store(name: string, bytes: Uint8Array): Promise<void> {
    await replaceDurably(this.#pathOf(name), bytes).catch(() => undefined);
  }

  #pathOf(name: string): string {
    return `${this.#base}.${name}.kept`;
  }
}

async function readBounded(path: string, maximum: number): Promise<Uint8Array | 'too large' | undefined> {
  try {
    const { size } = await stat(path);
    return size > maximum ? 'too large' : Uint8Array.from(await readFile(path));
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return undefined;
    throw new HoldfastError('usage', `${quote(path)} cannot be read (${code ?? 'error'}); check its path and mode`, {
      cause,
    });
  }
}

async function replaceDurably(path: string, content: Uint8Array): Promise<void> {
  const temporary = `${path}.${bytesToHex(systemRandom(6))}.new`;
  try {
    await using file = await open(temporary, 'wx', 0o600);
    await file.writeFile(content);
    await file.sync();
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    const code = (cause as NodeJS.ErrnoException).code;
    throw new HoldfastError('usage', `${quote(path)} cannot be written (${code ?? 'error'}); nothing was sent`, {
      cause,
    });
  }
  // The new name too must survive a power cut.
  await syncFolder(dirname(path));
}
