/** The command line's words: every command has help with examples, wrong usage is exit code 2, values are checked. */

import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { RefusalReason } from '../../src/access/index.ts';
import { requireOwnKey } from '../../src/cli/commands/backup.ts';
import { readTextFile, writeWholeFile } from '../../src/cli/files.ts';
import { nodeCount, seconds, takeover, whole } from '../../src/cli/options.ts';
import { factsOf, formatDuration, formatWhen } from '../../src/cli/output.ts';
import { readProfile, writeProfile } from '../../src/cli/profile.ts';
import { createProgram, runProgram } from '../../src/cli/program.ts';
import { HoldfastError } from '../../src/core/index.ts';

const leaves = (command: Command): Command[] =>
  command.commands.length === 0 ? [command] : command.commands.flatMap(leaves);
const pathOf = (command: Command): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}`.trim() : '';

let written = '';
function capture(): void {
  written = '';
  const keep = (text: unknown) => {
    written += String(text);
    return true;
  };
  vi.spyOn(process.stdout, 'write').mockImplementation(keep);
  vi.spyOn(process.stderr, 'write').mockImplementation(keep);
}
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = 0;
});

describe('every command', () => {
  const all = leaves(createProgram());

  test('is there whole where only what a command line begins with is made', () => {
    const complete = createProgram();
    for (const command of complete.commands) {
      const alone = createProgram(command.name());
      expect(alone.commands.length).toBeLessThan(3);
      const found = alone.commands.find((one) => one.name() === command.name());
      expect(found?.helpInformation()).toBe(command.helpInformation());
      expect(leaves(found!).map(pathOf)).toEqual(leaves(command).map(pathOf));
    }
    expect(createProgram('no-such').commands.map((one) => one.name())).toEqual(
      complete.commands.map((one) => one.name()),
    );
  });

  test.each(all.map((command) => [pathOf(command)]))('%s explains itself, with an example', async (path) => {
    capture();
    await runProgram([...path.split(' '), '-h']);
    expect(process.exitCode).toBe(0);
    const short = written;
    capture();
    await runProgram([...path.split(' '), '--help']);
    expect(process.exitCode).toBe(0);
    expect(written).toBe(short);
    expect(written).toContain(`Usage: holdfast ${path}`);
    expect(written).toMatch(new RegExp(`Examples:\\n.*holdfast ${path}`, 's'));
    // Defaults as a person would give them, not as the program keeps them.
    expect(written).not.toMatch(/\(default:\s+[[{]/);
  });

  test.each(all.map((command) => [pathOf(command)]))('%s refuses an option it does not have', async (path) => {
    capture();
    await runProgram([...path.split(' '), '--no-such-option', '--json']);
    expect(process.exitCode).toBe(2);
    expect(JSON.parse(written)).toMatchObject({ code: 'usage', exitCode: 2 });
  });

  test.each([
    [['--description', 'a'.repeat(64)]],
    [['--out', 'node.keys']],
    [['--description', 'short', '--out', 'node.keys']],
  ])('node init reads keys for a whole description and into a file, else nothing is begun: %s', async (words) => {
    capture();
    await runProgram(['node', 'init', '--config', '/nonexistent', ...words, '--json']);
    expect(process.exitCode).toBe(2);
    expect(JSON.parse(written)).toMatchObject({
      error: { code: 'usage', message: expect.stringContaining('--description') },
    });
  });

  test('takes PINs from a file, standard input, a named place or a prompt, never as an argument', () => {
    const options = all.flatMap((command) => command.options.map((option) => option.flags));
    expect(options.length).toBeGreaterThan(50);
    // Without a value, as `backup add-way --pin` has it, it is none.
    const isPin = /--(\w+-)*pin(?!-file|-stdin|-environment|-credential)\b.*[<[]/;
    expect(['--pin <pin>', '--so-pin [pin]', '--pin', '--pin-file <file>'].map((flags) => isPin.test(flags))).toEqual([
      ...[true, true, false, false],
    ]);
    expect(options.filter((flags) => isPin.test(flags))).toEqual([]);
  });
});

describe('values', () => {
  test('are checked where they are parsed', () => {
    expect(['1', '9'].map(nodeCount)).toEqual([1, 9]);
    for (const bad of ['0', '2', '11', 'five', '']) expect(() => nodeCount(bad)).toThrow();
    expect(seconds('0, 0,60')).toEqual([0, 0, 60]);
    for (const bad of ['', '1,,2', '-1', '1.5']) expect(() => seconds(bad)).toThrow();
    expect([takeover('off'), takeover('60')]).toEqual([{ kind: 'off' }, { kind: 'delayed', seconds: 60 }]);
    for (const bad of ['on', '0', '-5', '']) expect(() => takeover(bad)).toThrow();
    expect(whole(1, 10)('10')).toBe(10);
    for (const bad of ['0', '11', '1e1', ' 1', '0x1']) expect(() => whole(1, 10)(bad)).toThrow();
  });
});

describe('what a failed attempt tells', () => {
  const now = Date.UTC(2030, 0, 1);
  const error = (details: Record<string, number>) => new HoldfastError('wrong_pin', 'the PIN is wrong', { details });

  test('is how many are left and when the next may be made', () => {
    expect(factsOf(error({ attemptsLeft: 3, nextAttemptAt: now - 1 }), now)).toEqual([
      'Attempts left: 3.',
      'Next attempt: now.',
    ]);
    expect(factsOf(error({ attemptsLeft: 3, nextAttemptAt: now + 60_000 }), now)[1]).toMatch(/ \(in 60 s\)\.$/);
    expect(factsOf(error({ attemptsLeft: 0, nextAttemptAt: now }), now)).toEqual(['Attempts left: 0.']);
  });

  test('is why nodes refuse a user token, in words for each reason, and nothing that is none', () => {
    const of = (reason: string) => factsOf(new HoldfastError('forbidden', 'no', { details: { reason } }), now);
    const reasons: readonly (RefusalReason | 'client_signature')[] = [
      ...(['malformed', 'issuer', 'signature', 'audience', 'too_old', 'record'] as const),
      ...(['not_yet_valid', 'expired', 'scope', 'client_signature'] as const),
    ];
    for (const reason of reasons)
      expect(of(reason)).toEqual([
        expect.stringMatching(new RegExp(`^The nodes refuse the token: .+ \\(${reason}\\).$`)),
      ]);
    for (const other of ['', 'constructor', 'something new']) expect(of(other)).toEqual([]);
  });

  test('has durations that people read, never too short', () => {
    expect([1, 119, 121, 7201, 172_801].map(formatDuration)).toEqual(['1 s', '119 s', '3 min', '3 h', '3 days']);
    expect(formatWhen(now, now)).toBe('now');
  });
});

describe('files', () => {
  const folder = () => mkdtempSync(join(tmpdir(), 'files-'));

  test('are written whole, with their mode, and replaced only on purpose', async () => {
    const path = join(folder(), 'a');
    await writeWholeFile(path, 'one', { mode: 0o600, overwrite: false });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await expect(writeWholeFile(path, 'two', { mode: 0o600, overwrite: false })).rejects.toMatchObject({
      code: 'usage',
    });
    expect(readFileSync(path, 'utf8')).toBe('one');
    await writeWholeFile(path, 'two', { mode: 0o600, overwrite: true });
    expect(readFileSync(path, 'utf8')).toBe('two');
  });

  test('are read within bounds', async () => {
    const path = join(folder(), 'a');
    writeFileSync(path, 'x'.repeat(11));
    await expect(readTextFile(path, 'the file', 10)).rejects.toMatchObject({ code: 'bad_input' });
    writeFileSync(path, Uint8Array.of(0xff));
    await expect(readTextFile(path, 'the file', 10)).rejects.toMatchObject({ code: 'bad_input' });
    await expect(readTextFile(`${path}b`, 'the file', 10)).rejects.toMatchObject({ code: 'usage' });
    writeFileSync(path, 'x'.repeat(10));
    expect(await readTextFile(path, 'the file', 10)).toBe('x'.repeat(10));
    // Says that it has no bytes, and never ends.
    await expect(readTextFile('/dev/zero', 'the file', 200_000)).rejects.toMatchObject({ code: 'bad_input' });
  });

  test('nothing is backed up to the key of a record that was enrolled without its PIN, unless this device knew it', () => {
    const untrusted = expect.objectContaining({ code: 'untrusted' });
    expect(() => requireOwnKey({ takenOver: true, recipient: 'age1b' }, undefined)).toThrowError(untrusted);
    expect(() => requireOwnKey({ takenOver: true, recipient: 'age1b' }, { recipient: 'age1a' })).toThrowError(
      untrusted,
    );
    for (const known of [{ recipient: 'age1a' }, undefined])
      expect(() => requireOwnKey({ takenOver: false, recipient: 'age1b' }, known)).not.toThrow();
    expect(() => requireOwnKey({ takenOver: true, recipient: 'age1a' }, { recipient: 'age1a' })).not.toThrow();
  });

  test('a profile is read back for its own record only', async () => {
    const path = join(folder(), 'deep', 'profile.json');
    const profile = { fleet: 'f', record: new Uint8Array(32), generation: 2, recipient: `age1${'q'.repeat(58)}` };
    expect(await readProfile(path, profile)).toBeUndefined();
    await writeProfile(path, profile);
    expect(await readProfile(path, profile)).toEqual(profile);
    expect(await readProfile(path, { ...profile, fleet: 'g' })).toBeUndefined();
    expect(await readProfile(path, { ...profile, record: new Uint8Array(32).fill(1) })).toBeUndefined();
    writeFileSync(path, '{}');
    await expect(readProfile(path, profile)).rejects.toMatchObject({ code: 'bad_input' });
  });
});
