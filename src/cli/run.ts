/** How every command runs: one signal for Ctrl-C, one place for results and errors, and the exit codes. */

import { type ErrorCode, HoldfastError } from '../core/index.ts';
import { printResult, reportError } from './output.ts';

/** What an interrupted command exits with, as shells expect it: 128 and the number of SIGINT. */
export const INTERRUPTED = 130;

/** What a command gives for printing. */
export interface CommandResult {
  /** For programs; secrets in it are refused. */
  readonly value: Readonly<Record<string, unknown>>;
  /** For people. */
  readonly lines: readonly string[];
  /** Where the command did its work and what it found is bad: decides the exit code. */
  readonly code?: ErrorCode;
}

/**
 * Ends this process although a call into a PKCS#11 module has not returned: every other way to end waits for the thread
 * that made it, for ever. Whoever supervises the process sees SIGKILL and starts it anew.
 */
async function endAtOnce(): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) await new Promise((done) => stream.write('', done));
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => {});
}

/**
 * Runs a command to its end and sets the process's exit code. The first Ctrl-C (or SIGTERM) aborts `signal`, the second
 * ends the process at once.
 */
export async function runCommand(
  options: { readonly json?: boolean | undefined },
  command: (signal: AbortSignal) => Promise<CommandResult | undefined>,
): Promise<void> {
  const json = options.json ?? false;
  const interruption = new AbortController();
  const onSignal = () => {
    if (interruption.signal.aborted) process.exit(INTERRUPTED);
    interruption.abort(new HoldfastError('cancelled', 'cancelled'));
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    const result = await command(interruption.signal);
    process.exitCode = result ? printResult({ json, ...result }) : 0;
  } catch (thrown) {
    const isCancelled = interruption.signal.aborted || (thrown instanceof HoldfastError && thrown.code === 'cancelled');
    const error =
      isCancelled && !(thrown instanceof HoldfastError && thrown.code === 'cancelled')
        ? new HoldfastError('cancelled', 'cancelled', { cause: thrown })
        : thrown;
    process.exitCode = reportError(error, { json, ...(isCancelled && { exitCode: INTERRUPTED }) });
    if (error instanceof HoldfastError && error.details.hung === true) await endAtOnce();
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}
