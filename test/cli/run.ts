/** Runs a command of the command line in this process. */

import { vi } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';

/** Runs a command; what it wrote and its exit code. */
export async function run(...words: string[]): Promise<{ code: number; out: string; error: string }> {
  const written = { out: '', error: '' };
  const into = (name: 'out' | 'error') => (text: string | Uint8Array) => {
    written[name] += String(text);
    return true;
  };
  const spies = [
    vi.spyOn(process.stdout, 'write').mockImplementation(into('out')),
    vi.spyOn(process.stderr, 'write').mockImplementation(into('error')),
  ];
  process.exitCode = 0;
  await runProgram(words);
  for (const spy of spies) spy.mockRestore();
  const code = Number(process.exitCode);
  process.exitCode = 0;
  return { code, ...written };
}
