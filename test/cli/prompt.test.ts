/**
 * What commands ask and show. Asking for a PIN: on a real pseudo-terminal nothing is shown and the terminal is restored;
 * without one, the way out is named. Progress, results and errors: for people, or one JSON object, and never a secret.
 */

import { spawnSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { printResult, reportError } from '../../src/cli/output.ts';
import { formatBytes, ProgressLine } from '../../src/cli/progress.ts';
import { askHidden, askNewPin, readPinSource, type TerminalInput } from '../../src/cli/prompt.ts';
import { ERROR_KINDS, type ErrorCode, fromUtf8, HoldfastError, Secret, utf8 } from '../../src/core/index.ts';

const made: string[] = [];
afterEach(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true });
});

/** A terminal that types each of `keys` when it is next listened to, and remembers every change of its mode. */
class FakeTerminal extends EventEmitter implements TerminalInput {
  readonly isTTY = true;
  isRaw = false;
  readonly modes: boolean[] = [];
  readonly #keys: (string | Uint8Array)[];
  #isPaused = true;

  constructor(...keys: (string | Uint8Array)[]) {
    super();
    this.#keys = keys;
  }

  setRawMode(raw: boolean): void {
    this.isRaw = raw;
    this.modes.push(raw);
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    queueMicrotask(() => this.#deliver());
  }

  #deliver(): void {
    while (!this.#isPaused && this.listenerCount('data') > 0) {
      const keys = this.#keys.shift();
      if (keys === undefined) return;
      this.emit('data', keys);
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    throw new Error('a terminal is not read as a stream');
  }
}

class Screen {
  shown = '';
  write(text: string): void {
    this.shown += text;
  }
}

const textOf = (secret: Secret) => fromUtf8(secret.reveal());

async function failureOf(promise: Promise<unknown>): Promise<HoldfastError> {
  const error = await promise.catch((thrown: unknown) => thrown);
  if (error instanceof HoldfastError) return error;
  throw new Error('expected a HoldfastError', { cause: error });
}

describe('askHidden', () => {
  test.each<[string, (string | Uint8Array)[], string]>([
    ['keys one by one', ['1', '2', '3', '\r'], '123'],
    ['a paste with its line end', ['p4ss word\n'], 'p4ss word'],
    ['a bracketed paste', ['\u001b[200~1234\u001b[201~', '\r'], '1234'],
    ['Ctrl-D at the end', ['12', '\u0004'], '12'],
    ['backspace', ['12x', '\u007f', '3\u0008', '3\r'], '123'],
    ['backspace on nothing', ['\u007f\u007f1\r'], '1'],
    ['backspace over a character of several bytes', ['a😀\u007fé\u007fb\r'], 'ab'],
    ['Ctrl-U', ['wrong\u0015right\r'], 'right'],
    ['arrow keys, which do nothing', ['1\u001b[D2\u001bOA3\r'], '123'],
    ['an arrow key in two pieces', ['1\u001b', '[D2\r'], '12'],
    ['a character in two pieces', [utf8('é').subarray(0, 1), utf8('é').subarray(1), '\r'], 'é'],
    ['nothing', ['\r'], ''],
    ['what follows the line, dropped', ['1234\nrm -rf\n'], '1234'],
  ])('takes %s', async (_, keys, expected) => {
    const input = new FakeTerminal(...keys);
    const output = new Screen();
    expect(textOf(await askHidden('PIN: ', { input, output }))).toBe(expected);
    expect(output.shown).toBe('PIN: \n');
    expect(input.modes).toEqual([true, false]);
    expect(input.eventNames()).toEqual([]);
  });

  test('Ctrl-C cancels, and the terminal is restored', async () => {
    const input = new FakeTerminal('12\u0003');
    const error = await failureOf(askHidden('PIN: ', { input, output: new Screen() }));
    expect(error.code).toBe('cancelled');
    expect(error.message).not.toContain('12');
    expect(input.modes).toEqual([true, false]);
    expect(input.eventNames()).toEqual([]);
  });

  test.each(['end', 'close', 'error'])('a terminal that goes away (%s) cancels', async (event) => {
    const input = new FakeTerminal('12');
    const asked = failureOf(askHidden('PIN: ', { input, output: new Screen() }));
    input.emit(event, new Error('gone'));
    expect((await asked).code).toBe('cancelled');
    expect(input.modes).toEqual([true, false]);
  });

  test('an aborted signal cancels, before and during', async () => {
    const input = new FakeTerminal();
    const controller = new AbortController();
    const asked = failureOf(askHidden('PIN: ', { input, output: new Screen(), signal: controller.signal }));
    controller.abort();
    expect((await asked).code).toBe('cancelled');
    const again = failureOf(askHidden('PIN: ', { input, output: new Screen(), signal: controller.signal }));
    expect((await again).code).toBe('cancelled');
    expect(input.modes).toEqual([true, false]);
  });

  test('the terminal is restored when the question cannot be shown', async () => {
    const input = new FakeTerminal('1\r');
    const output = {
      write(text: string) {
        if (text !== '\n') throw new Error('broken pipe');
      },
    };
    await expect(askHidden('PIN: ', { input, output })).rejects.toThrow('broken pipe');
    expect(input.modes).toEqual([true, false]);
  });

  test('an endless line is refused', async () => {
    const input = new FakeTerminal('x'.repeat(5000));
    const error = await failureOf(askHidden('PIN: ', { input, output: new Screen() }));
    expect(error.code).toBe('usage');
  });

  test('without a terminal it names the other ways', async () => {
    const input = Object.assign(Readable.from(['1234\n']), { isTTY: false });
    const error = await failureOf(askHidden('PIN: ', { input, output: new Screen() }));
    expect(error).toMatchObject({ code: 'usage', message: expect.stringMatching(/--pin-file.*--pin-stdin/) });
  });
});

describe('askNewPin', () => {
  test('asks twice', async () => {
    const input = new FakeTerminal('1234\r', '1234\r');
    expect(textOf(await askNewPin({ input, output: new Screen() }))).toBe('1234');
  });

  test('asks again when the two differ, and shows neither', async () => {
    const input = new FakeTerminal('1234\r', '1235\r', '5678\r', '5678\r');
    const output = new Screen();
    expect(textOf(await askNewPin({ input, output }))).toBe('5678');
    expect(output.shown).toBe('New PIN: \nThe same again: \nThe two differ.\nNew PIN: \nThe same again: \n');
  });

  test('gives up after three times', async () => {
    const input = new FakeTerminal(...['1', '2', '1', '2', '1', '2', '3', '3'].map((key) => `${key}\r`));
    expect((await failureOf(askNewPin({ input, output: new Screen() }))).code).toBe('usage');
  });

  test('takes no empty PIN', async () => {
    const input = new FakeTerminal('\r', '\r');
    expect((await failureOf(askNewPin({ input, output: new Screen() }))).code).toBe('usage');
  });
});

describe('readPinSource', () => {
  function pinFile(content: string | Uint8Array): string {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-prompt-'));
    made.push(folder);
    writeFileSync(join(folder, 'pin'), content);
    return join(folder, 'pin');
  }

  test.each([
    ['1234', '1234'],
    ['1234\n', '1234'],
    ['1234\r\n', '1234'],
    [' spaces stay \n', ' spaces stay '],
    ['first\nsecond\n', 'first'],
    ['pässwörd\n', 'pässwörd'],
    ['\ufeffby an editor that marks texts\r\n', 'by an editor that marks texts'],
  ])('takes the first line of %j, from a file and from standard input', async (content, expected) => {
    expect(textOf(await readPinSource({ pinFile: pinFile(content), prompt: 'PIN: ' }))).toBe(expected);
    const bytes = [...utf8(content)].map((byte) => Uint8Array.of(byte));
    for (const pieces of [[utf8(content)], bytes, [content]]) {
      const input = Readable.from(pieces);
      expect(textOf(await readPinSource({ pinStdin: true, prompt: 'PIN: ', input }))).toBe(expected);
    }
  });

  test.each(['', '\n', '\r\n', '\nsecond\n', '\ufeff', '\ufeff\r\n'])(
    'refuses an empty first line (%j)',
    async (content) => {
      expect((await failureOf(readPinSource({ pinFile: pinFile(content), prompt: 'PIN: ' }))).code).toBe('usage');
      const input = Readable.from([utf8(content)]);
      expect((await failureOf(readPinSource({ pinStdin: true, prompt: 'PIN: ', input }))).code).toBe('usage');
    },
  );

  test('refuses a line without an end, and does not read on', async () => {
    let pieces = 0;
    function* endless() {
      for (;;) {
        pieces++;
        yield new Uint8Array(1024).fill(0x31);
      }
    }
    const input = Readable.from(endless(), { objectMode: false });
    expect((await failureOf(readPinSource({ pinStdin: true, prompt: 'PIN: ', input }))).code).toBe('usage');
    expect(pieces).toBeLessThan(200);
  });

  test('refuses a file that does not exist, and two sources at once', async () => {
    const missing = await failureOf(readPinSource({ pinFile: '/nonexistent/pin', prompt: 'PIN: ' }));
    expect(missing).toMatchObject({ code: 'usage', message: expect.stringMatching(/--pin-file/) });
    const both = await failureOf(readPinSource({ pinFile: pinFile('1'), pinStdin: true, prompt: 'PIN: ' }));
    expect(both.code).toBe('usage');
  });

  test('asks where no source is named, twice for a new PIN', async () => {
    const once = new FakeTerminal('1234\r');
    expect(textOf(await readPinSource({ prompt: 'PIN: ', input: once, output: new Screen() }))).toBe('1234');
    const twice = new FakeTerminal('1234\r', '1234\r');
    const output = new Screen();
    expect(textOf(await readPinSource({ prompt: 'Choose: ', confirm: true, input: twice, output }))).toBe('1234');
    expect(output.shown).toBe('Choose: \nThe same again: \n');
  });
});

/** Runs a program on a real pseudo-terminal, waits for its question, types `keys`, and gives what the screen showed. */
function onTerminal(body: string, keys: string): string {
  const prompt = new URL('../../src/cli/prompt.ts', import.meta.url).pathname;
  const program = `import { askHidden } from ${JSON.stringify(prompt)}; ${body}`;
  const driver = `
import os, pty, sys, termios
looked, go = os.pipe()
pid, fd = pty.fork()
if pid == 0:
    os.read(looked, 1)
    os.execv(sys.argv[1], [sys.argv[1], '--input-type=module', '-e', sys.argv[2]])
before = termios.tcgetattr(fd)
os.write(go, b'x')
seen, typed = b'', False
while True:
    try:
        data = os.read(fd, 4096)
    except OSError:
        break
    if not data:
        break
    seen += data
    if not typed and b'PIN: ' in seen:
        os.write(fd, sys.argv[3].encode().decode('unicode_escape').encode('latin-1'))
        typed = True
    if typed and b'ended' in seen and not seen.endswith(b'|'):
        seen += b'|echo ' + (b'on' if termios.tcgetattr(fd)[3] == before[3] else b'off') + b'|'
        os.write(fd, b'\\n')
os.waitpid(pid, 0)
sys.stdout.buffer.write(seen)
`;
  const child = spawnSync('python3', ['-c', driver, process.execPath, program, keys], {
    encoding: 'utf8',
    timeout: 60_000,
  });
  expect(child.stderr).toBe('');
  return child.stdout;
}

describe('on a real pseudo-terminal', () => {
  // Ends only after a line from the driver, which has then looked at the terminal's mode.
  const ask = `
    const outcome = await askHidden('PIN: ').then((pin) => pin.reveal().length, (error) => error.code);
    process.stderr.write('ended with ' + outcome);
    process.stdin.once('data', () => process.exit(0)).resume();
  `;

  test('what is typed is not shown, and echo is on again afterwards', () => {
    const shown = onTerminal(ask, '73x\\x7f1946\\r');
    expect(shown).toMatch(/PIN: \r\nended with 6/);
    expect(shown).toContain('|echo on|');
    expect(shown).not.toMatch(/7|1946|x/);
  });

  test('Ctrl-C ends it as cancelled, and echo is on again afterwards', () => {
    const shown = onTerminal(ask, '73\\x03');
    expect(shown).toMatch(/PIN: \r\nended with cancelled/);
    expect(shown).toContain('|echo on|');
    expect(shown).not.toMatch(/73/);
  });
});

describe('the progress line', () => {
  /** A terminal, and a clock that stands still until it is moved. */
  function setUp(isTTY: boolean) {
    const screen = Object.assign(new Screen(), { isTTY, columns: 60 });
    const clock = { milliseconds: 0 };
    return { screen, clock, line: new ProgressLine('Writing', screen, () => clock.milliseconds) };
  }

  test('shows bytes, percentage and rate', () => {
    const { screen, clock, line } = setUp(true);
    clock.milliseconds = 2000;
    line.update(5 * 1024 * 1024, 20 * 1024 * 1024);
    expect(screen.shown).toBe('\r\u001b[KWriting: 5.0 MiB of 20.0 MiB (25 %) 2.5 MiB/s');
  });

  test('shows no percentage where the total is not known, and never 100 before the end', () => {
    const { screen, clock, line } = setUp(true);
    clock.milliseconds = 1000;
    line.update(10);
    expect(screen.shown).not.toContain('%');
    clock.milliseconds = 2000;
    line.update(30, 20);
    expect(screen.shown).toContain('(99 %)');
  });

  test('is drawn at most ten times a second', () => {
    const { screen, clock, line } = setUp(true);
    for (; clock.milliseconds < 1000; clock.milliseconds++) line.update(clock.milliseconds);
    expect(screen.shown.split('\r').length - 1).toBe(10);
  });

  test('is cleared at the end, and silent where nobody watches', () => {
    const { screen, line } = setUp(true);
    line.update(1);
    line[Symbol.dispose]();
    expect(screen.shown.endsWith('\r\u001b[K')).toBe(true);
    const silent = setUp(false);
    silent.line.update(1);
    silent.line[Symbol.dispose]();
    expect(silent.screen.shown).toBe('');
  });

  test.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1024 * 1024 - 1, '1.0 MiB'],
    [3.25 * 2 ** 40, '3.3 TiB'],
  ])('%i bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});

describe('results and errors', () => {
  const streams = () => ({ stdout: new Screen(), stderr: new Screen() });

  test('a result is lines for a person, one JSON object for a program', () => {
    const forPerson = streams();
    expect(printResult({ json: false, value: { files: 2 }, lines: ['2 files', 'done'] }, forPerson)).toBe(0);
    expect(forPerson.stdout.shown).toBe('2 files\ndone\n');
    const forProgram = streams();
    expect(printResult({ json: true, value: { files: 2 }, lines: ['2 files'] }, forProgram)).toBe(0);
    expect(JSON.parse(forProgram.stdout.shown)).toEqual({ files: 2, code: 'ok', exitCode: 0 });
    expect(forProgram.stdout.shown.trimEnd()).not.toContain('\n');
    expect(forProgram.stderr.shown).toBe('');
  });

  test('a secret or raw bytes in a result are not printed', () => {
    const { stdout, stderr } = streams();
    const value = { pin: new Secret(utf8('1946')), key: utf8('1946'), buffer: Buffer.from('1946'), size: 7n };
    printResult({ json: true, value, lines: [] }, { stdout, stderr });
    const hidden = '[redacted]';
    expect(JSON.parse(stdout.shown)).toEqual({
      pin: hidden,
      key: hidden,
      buffer: hidden,
      size: '7',
      code: 'ok',
      exitCode: 0,
    });
  });

  test.each(Object.keys(ERROR_KINDS) as ErrorCode[])(
    '%s ends with its exit code, for people and for programs',
    (code) => {
      const error = new HoldfastError(code, 'try this', { details: { left: 3 }, cause: new Error('PIN 1946') });
      const forPerson = streams();
      expect(reportError(error, { json: false }, forPerson)).toBe(ERROR_KINDS[code].exit);
      expect(forPerson.stderr.shown).toMatch(/^holdfast: try this\n/);
      expect(forPerson.stdout.shown).toBe('');
      const forProgram = streams();
      expect(reportError(error, { json: true }, forProgram)).toBe(ERROR_KINDS[code].exit);
      expect(JSON.parse(forProgram.stdout.shown)).toEqual({
        error: { code, title: ERROR_KINDS[code].title, message: 'try this', details: { left: 3 } },
        code,
        exitCode: ERROR_KINDS[code].exit,
      });
      expect(forProgram.stderr.shown).toBe('');
      expect(forPerson.stderr.shown + forProgram.stdout.shown).not.toContain('1946');
    },
  );

  test('what a message quotes cannot drive the terminal', () => {
    const { stdout, stderr } = streams();
    reportError(new HoldfastError('bad_input', 'bad \u001b[2J\u202e name'), { json: false }, { stdout, stderr });
    expect(stderr.shown).toBe('holdfast: bad \\u{1b}[2J\\u{202e} name\n');
  });

  test('anything else thrown is reported as unexpected', () => {
    const { stdout, stderr } = streams();
    expect(reportError(new TypeError('x is not a function'), { json: true }, { stdout, stderr })).toBe(1);
    expect(JSON.parse(stdout.shown)).toMatchObject({ code: 'unexpected', error: { message: 'x is not a function' } });
  });

  test('what the system explains is nothing to report, a mistake of ours is', () => {
    const saidOf = (code: string) => {
      const { stdout, stderr } = streams();
      const cause = Object.assign(new Error('a cause'), { code });
      reportError(new HoldfastError('unexpected', 'it failed', { cause }), { json: false }, { stdout, stderr });
      return stderr.shown;
    };
    expect(saidOf('ENOSPC')).toBe('holdfast: it failed\n');
    expect(saidOf('ERR_INVALID_ARG_TYPE')).toMatch(/^holdfast: it failed\n.*please report it/);
  });
});
