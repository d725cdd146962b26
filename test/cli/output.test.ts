/** What reaches a terminal: nothing that a name, a message or a token's label holds drives it, hides in it or ends its line. */

import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, it, vi } from 'vitest';
import { type ApprovalStreams, approverOf } from '../../src/cli/approval.ts';
import { printResult, reportError, say, shellWord, warn } from '../../src/cli/output.ts';
import { askHidden, type TerminalInput } from '../../src/cli/prompt.ts';
import { HoldfastError } from '../../src/core/index.ts';

/** A control sequence of seven bits and of eight, a line's end, text turned round, a space of no width, a tag. */
const HOSTILE = 'a\u001b[2J\u009b31m\rb\nc\u202ed\u200be\u200ff\u{e0041}';
const SHOWN = 'a\\u{1b}[2J\\u{9b}31m\\u{d}b\\u{a}c\\u{202e}d\\u{200b}e\\u{200f}f\\u{e0041}';

class Stream {
  text = '';
  write(text: string): boolean {
    this.text += text;
    return true;
  }
}

function streams() {
  return { stdout: new Stream(), stderr: new Stream() };
}

describe('what a command prints', () => {
  it('shows what people do not see, in results and in errors', () => {
    const both = streams();
    printResult({ json: false, value: {}, lines: [HOSTILE] }, both);
    reportError(new HoldfastError('bad_input', HOSTILE), { json: false }, both);
    expect(both.stdout.text).toBe(`${SHOWN}\n`);
    expect(both.stderr.text.split('\n')[0]).toBe(`holdfast: ${SHOWN}`);
  });

  it('gives programs the same texts, without a character that drives a terminal', () => {
    const both = streams();
    printResult({ json: true, value: { name: HOSTILE }, lines: [] }, both);
    reportError(new HoldfastError('bad_input', HOSTILE), { json: true }, both);
    const [result, error] = both.stdout.text.trimEnd().split('\n');
    expect(JSON.parse(result!).name).toBe(HOSTILE);
    expect(JSON.parse(error!).error.message).toBe(HOSTILE);
    expect(both.stdout.text.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  });

  it('does so beside the results too', () => {
    const stderr = new Stream();
    const write = vi.spyOn(process.stderr, 'write').mockImplementation((text) => stderr.write(String(text)));
    try {
      say(HOSTILE, 'and more');
      warn([HOSTILE]);
    } finally {
      write.mockRestore();
    }
    expect(stderr.text).toBe(`${SHOWN}\nand more\nwarning: ${SHOWN}\n`);
  });

  it('does so where a person is asked to approve, or for a PIN', async () => {
    const output = Object.assign(new PassThrough(), new Stream());
    output.write = Stream.prototype.write;
    const input = Object.assign(new PassThrough(), { isTTY: true });
    const shown = approverOf({}, AbortSignal.abort(), { input, output } as unknown as ApprovalStreams);
    const request = { purpose: 'bundle', key: 'k', digest: '0'.repeat(64), lines: [HOSTILE] } as const;
    await expect(shown.approve(request)).rejects.toMatchObject({ code: 'cancelled' });
    expect(output.text).toContain(`${SHOWN}\n`);
    const terminal = { isTTY: true, setRawMode() {}, on() {}, off() {}, pause() {}, resume() {} };
    const asked = new Stream();
    const ended = { ...terminal, on: (event: string, listener: () => void) => event === 'end' && listener() };
    await expect(
      askHidden(`PIN of ${HOSTILE.replace('\n', '')}: `, { input: ended as unknown as TerminalInput, output: asked }),
    ).rejects.toMatchObject({ code: 'cancelled' });
    expect(asked.text).toBe(`PIN of ${SHOWN.replace('\\u{a}', '')}: \n`);
  });

  it('has words that a shell takes as they are', () => {
    for (const word of ['./fleet', "it's; rm -rf /", 'my fleet', '$(reboot)', '', 'Größe', '~/x']) {
      const { stdout } = spawnSync('sh', ['-c', `printf %s ${shellWord(word)}`], { encoding: 'utf8' });
      expect(stdout).toBe(word);
    }
    expect(shellWord('../fleets/one-2.1')).toBe('../fleets/one-2.1');
  });

  it('is written in these places, and by no other', () => {
    const root = join(import.meta.dirname, '../../src');
    const writers = readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .filter((name) =>
        /std(?:out|err)\.write\(|console\.(?:log|error|warn)\(/.test(readFileSync(join(root, name), 'utf8')),
      );
    // audit: a title out of our own texts. secret: the secret itself, to whom it belongs.
    expect(writers.toSorted()).toEqual(['cli/commands/audit.ts', 'cli/commands/secret.ts', 'cli/output.ts']);
  });
});
