/** A new recovery code at a terminal: shown once, then asked for in parts, as somebody copies it to paper. */

import { type ChildProcess, spawn } from 'node:child_process';
import { resolve } from 'node:path';
import { afterEach, expect, test } from 'vitest';

const entry = resolve(import.meta.dirname, '../../src/cli/main.ts');
let child: ChildProcess | undefined;

afterEach(() => {
  child?.kill('SIGKILL');
});

/** Runs the command at a terminal of `script` (util-linux); `answer` gives the group to type when one is asked for. */
async function atTerminal(answer: (groups: readonly string[], asked: number) => string) {
  const command = `'${process.execPath}' '${entry}' recovery-code new`;
  child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const running = child;
  let shown = '';
  let questions = 0;
  const code = await new Promise<number | null>((done, fail) => {
    running.once('error', fail);
    running.once('close', done);
    running.stdout!.on('data', (chunk: Buffer) => {
      shown += chunk.toString('utf8');
      const asked = [...shown.matchAll(/Group (\d+) of 16, from your paper: /g)];
      if (asked.length === questions) return;
      questions = asked.length;
      const groups = [...shown.matchAll(/^ +\d+ {2}(.{4}) {3}(.{4}) {3}(.{4}) {3}(.{4})/gm)].flatMap((row) =>
        row.slice(1),
      );
      running.stdin!.write(`${answer(groups, Number(asked.at(-1)![1]) - 1)}\r`);
    });
  });
  return { code, shown, questions };
}

test('is confirmed by two of its groups, in either case', async () => {
  const { code, shown, questions } = await atTerminal((groups, asked) => {
    expect(groups).toHaveLength(16);
    expect(asked).toBeGreaterThan(0);
    return groups[asked]!.toLowerCase();
  });
  expect({ code, questions }).toEqual({ code: 0, questions: 2 });
  expect(shown).toContain('Your paper is right.');
});

test('is of no use when the paper is wrong three times', async () => {
  const { code, shown, questions } = await atTerminal(() => 'QQQQ');
  expect({ code, questions }).toEqual({ code: 2, questions: 3 });
  expect(shown).toContain('the code was not confirmed');
});
