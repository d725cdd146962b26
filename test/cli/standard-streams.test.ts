/** What a command does where its standard output or standard error cannot take what it writes. */

import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { builtCommand } from '../built-command.ts';

const entry = await builtCommand();

/** Runs the command in a shell that redirects its streams. */
function run(words: string, redirection: string) {
  const script = `set -o pipefail; "$0" "$1" ${words} ${redirection}`;
  return spawnSync('bash', ['-c', script, process.execPath, entry], { encoding: 'utf8' });
}

describe('standard output', () => {
  it('on a full disk ends the command with 1, and says why in one line', () => {
    expect(run('--version', '>/dev/full')).toMatchObject({
      status: 1,
      stderr: 'holdfast: standard output cannot be written: the disk is full (ENOSPC)\n',
    });
  });

  it('that is closed early, or from the start, is no error', () => {
    expect(run('--help', '| head -n 1')).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^Usage: holdfast/),
    });
    expect(run('--version', '>&-')).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('standard error', () => {
  it.each(['2>/dev/full', '2>&-', '2>&1 | true'])('with %s leaves the exit code what it is', (how) => {
    expect(run('nonsense', how)).toMatchObject({ status: 2 });
  });
});
