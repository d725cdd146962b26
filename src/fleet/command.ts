/** Running `holdfast` commands as child processes: one token's library per process (docs/protocol.md, section 3). */

import { spawn } from 'node:child_process';
import { HoldfastError, isErrorCode } from '../core/index.ts';
import type { ProcessRole } from './folder.ts';

/** A service, the process that keeps a fleet's services running, or a command that ends by itself. */
export type ProcessPurpose = ProcessRole | 'supervisor' | 'command';

/** How to start `holdfast` again, and in which environment. */
export interface HoldfastCommand {
  readonly executable: string;
  /** What comes before the command's own arguments: options of the runtime, by what the process is for, and the entry file. */
  readonly prefix: (purpose: ProcessPurpose) => readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/**
 * Runs a command that prints one JSON object and waits for it.
 * @throws HoldfastError what the command reported, or `unexpected`.
 */
export async function runJson(
  command: HoldfastCommand,
  words: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Readonly<Record<string, unknown>>> {
  const child = spawn(command.executable, [...command.prefix('command'), ...words, '--json'], {
    env: { ...command.environment },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal && { signal }),
  });
  const output: Buffer[] = [];
  const errors: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
  let failure: unknown;
  child.on('error', (cause) => {
    failure = cause;
  });
  // Also when it is cancelled: only when the child is gone does nobody write any more.
  const code = child.pid === undefined ? null : await new Promise<number | null>((done) => child.once('close', done));
  if (signal?.aborted) throw new HoldfastError('cancelled', 'cancelled', { cause: signal.reason });
  if (failure) throw new HoldfastError('unexpected', `cannot run ${words.slice(0, 2).join(' ')}`, { cause: failure });
  const result = parse(Buffer.concat(output).toString('utf8'));
  if (code === 0 && result) return result;
  const error = result?.error as { code?: unknown; message?: unknown } | undefined;
  const known = typeof error?.code === 'string' && isErrorCode(error.code) ? error.code : 'unexpected';
  const said = typeof error?.message === 'string' ? error.message : Buffer.concat(errors).toString('utf8').slice(-500);
  throw new HoldfastError(known, `holdfast ${words.slice(0, 2).join(' ')}: ${said || `exit code ${code}`}`);
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
