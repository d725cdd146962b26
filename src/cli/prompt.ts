/** Asks for a PIN without showing it, or takes it from a file or standard input. Nothing here prints, keeps or logs it. */

import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { StringDecoder } from 'node:string_decoder';
import { HoldfastError, Secret, utf8 } from '../core/index.ts';
import { withoutControls } from './output.ts';

/** What a terminal to type at must offer: `process.stdin` does. */
export interface TerminalInput extends AsyncIterable<Uint8Array | string> {
  readonly isTTY?: boolean | undefined;
  readonly isRaw?: boolean | undefined;
  setRawMode?(raw: boolean): unknown;
  on(event: 'data', listener: (chunk: Uint8Array | string) => void): unknown;
  on(event: 'end' | 'close', listener: () => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  off(event: 'data', listener: (chunk: Uint8Array | string) => void): unknown;
  off(event: 'end' | 'close', listener: () => void): unknown;
  off(event: 'error', listener: (error: Error) => void): unknown;
  pause(): unknown;
  resume(): unknown;
}

/** Where questions are shown: `process.stderr`, so that standard output stays for results. */
export interface TerminalOutput {
  write(text: string): unknown;
}

export interface AskOptions {
  readonly input?: TerminalInput;
  readonly output?: TerminalOutput;
  readonly signal?: AbortSignal | undefined;
}

/** More than any PIN, password or recovery code; also the most that is read from a file or standard input. */
const MAXIMUM_BYTES = 4096;
const ATTEMPTS_TO_REPEAT = 3;

/** What some editors put before a text in UTF-8 (RFC 3629, section 6). It is in no PIN: none may have it. */
const BYTE_ORDER_MARK: readonly number[] = [0xef, 0xbb, 0xbf];

/** How terminals bracket pasted text when asked to, and how a key such as an arrow arrives (ECMA-48 control sequences). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is being removed
const CONTROL_SEQUENCE = /\u001b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[^[O])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same
const UNFINISHED_SEQUENCE = /\u001b(?:\[[0-?]*[ -/]*|O)?$/;

/**
 * Asks for one line without echo. Backspace takes back one character, Ctrl-U all; Enter or Ctrl-D ends the line.
 * The terminal is restored however it ends. After a pasted line the rest of the paste is dropped.
 * @throws HoldfastError `usage` without a terminal; `cancelled` for Ctrl-C, a closed terminal or an aborted signal.
 */
export async function askHidden(question: string, options: AskOptions = {}): Promise<Secret> {
  const input: TerminalInput = options.input ?? process.stdin;
  const output: TerminalOutput = options.output ?? process.stderr;
  if (!input.isTTY || !input.setRawMode) {
    throw new HoldfastError('usage', 'there is no terminal to ask for the PIN; use --pin-file FILE or --pin-stdin');
  }
  if (options.signal?.aborted) throw cancelled();
  const wasRaw = input.isRaw ?? false;
  // Raw mode goes on before the question is out, so that nothing typed in answer to it is ever echoed.
  input.setRawMode(true);
  try {
    output.write(shown(question));
    return await readLine(input, options.signal);
  } finally {
    input.setRawMode(wasRaw);
    input.pause();
    output.write('\n');
  }
}

function readLine(input: TerminalInput, signal: AbortSignal | undefined): Promise<Secret> {
  return new Promise((resolve, reject) => {
    const line = new HiddenLine();
    const settle = (action: () => void) => {
      input.off('data', onData);
      input.off('end', onEnd);
      input.off('close', onEnd);
      input.off('error', onError);
      signal?.removeEventListener('abort', onEnd);
      action();
    };
    const onEnd = () => settle(() => reject(cancelled()));
    const onError = (cause: Error) =>
      settle(() => reject(new HoldfastError('cancelled', 'the terminal could not be read', { cause })));
    const onData = (chunk: Uint8Array | string) => {
      const end = line.type(chunk);
      if (end === 'cancelled') onEnd();
      else if (end === 'too_long') {
        settle(() => reject(new HoldfastError('usage', `a PIN has at most ${MAXIMUM_BYTES} bytes`)));
      } else if (end === 'done') settle(() => resolve(line.secret()));
    };
    input.on('data', onData);
    input.on('end', onEnd);
    input.on('close', onEnd);
    input.on('error', onError);
    signal?.addEventListener('abort', onEnd, { once: true });
    input.resume();
  });
}

/**
 * Asks for one line that may be seen; what comes after it stays for the next question.
 * @throws HoldfastError `usage` without a terminal; `cancelled` for Ctrl-C, a closed terminal or an aborted signal.
 */
export async function askLine(question: string, signal?: AbortSignal): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new HoldfastError('usage', 'there is no terminal to ask at; bring the answers in a file: --answers FILE');
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const closed = new Promise<never>((_resolve, reject) => {
      lines.once('close', () => reject(new HoldfastError('cancelled', 'cancelled at a question')));
      lines.once('SIGINT', () => lines.close());
    });
    const answer = lines.question(shown(question), signal ? { signal } : {});
    // The one that loses is answered for.
    for (const each of [closed, answer]) each.catch(() => undefined);
    return await Promise.race([answer, closed]);
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError('cancelled', 'cancelled at a question', { cause });
  } finally {
    lines.close();
  }
}

/** A question may quote what a token or a file says: nothing of it drives the terminal. */
const shown = (question: string): string => question.split('\n').map(withoutControls).join('\n');

/** A line being typed, by the keys a terminal in raw mode sends. */
class HiddenLine {
  readonly #decoder = new StringDecoder('utf8');
  #characters: string[] = [];
  #rest = '';

  /** Takes what the terminal sent; undefined while the line goes on. */
  type(chunk: Uint8Array | string): 'done' | 'cancelled' | 'too_long' | undefined {
    const text = this.#rest + (typeof chunk === 'string' ? chunk : this.#decoder.write(Buffer.from(chunk)));
    this.#rest = UNFINISHED_SEQUENCE.exec(text)?.[0] ?? '';
    const complete = text.slice(0, text.length - this.#rest.length).replace(CONTROL_SEQUENCE, '');
    for (const character of complete) {
      const code = character.codePointAt(0) ?? 0;
      if (code === 0x03) return 'cancelled';
      if (code === 0x0d || code === 0x0a || code === 0x04) return 'done';
      if (code === 0x7f || code === 0x08) this.#characters.pop();
      else if (code === 0x15) this.#characters = [];
      else if (code >= 0x20) this.#characters.push(character);
      if (this.#characters.length > MAXIMUM_BYTES) return 'too_long';
    }
    return undefined;
  }

  secret(): Secret {
    const secret = new Secret(utf8(this.#characters.join('')));
    this.#characters = [];
    return secret;
  }
}

/**
 * Asks for a new PIN twice, up to three times over when the two differ.
 * @throws HoldfastError `usage` if they never agree or the PIN is empty, and whatever `askHidden` throws.
 */
export async function askNewPin(options: AskOptions & { readonly question?: string } = {}): Promise<Secret> {
  const output: TerminalOutput = options.output ?? process.stderr;
  for (let attempt = 1; attempt <= ATTEMPTS_TO_REPEAT; attempt++) {
    const first = notEmpty(await askHidden(options.question ?? 'New PIN: ', options));
    const second = await askHidden('The same again: ', options);
    const agree = Buffer.compare(first.reveal(), second.reveal()) === 0;
    second.wipe();
    if (agree) return first;
    first.wipe();
    output.write('The two differ.\n');
  }
  throw new HoldfastError('usage', 'the two PINs differed three times; nothing was changed');
}

export interface PinSource extends AskOptions {
  /** A file whose first line is the PIN. */
  readonly pinFile?: string | undefined;
  /** Whether the PIN is the first line of standard input. */
  readonly pinStdin?: boolean | undefined;
  /** The question, where the PIN is asked for. */
  readonly prompt: string;
  /** Whether it is a new PIN, to be typed twice. */
  readonly confirm?: boolean;
}

/**
 * The PIN from the one source that was named, else from the person. Of a file or standard input the first line counts,
 * without its line end; spaces are kept.
 * @throws HoldfastError `usage` if two sources are named, if the source cannot be read or is empty; `cancelled`.
 */
export async function readPinSource(source: PinSource): Promise<Secret> {
  if (source.pinFile !== undefined && source.pinStdin) {
    throw new HoldfastError('usage', 'use one of --pin-file and --pin-stdin, not both');
  }
  if (source.pinFile !== undefined) return notEmpty(await firstLineOfFile(source.pinFile));
  if (source.pinStdin) return notEmpty(await firstLine(source.input ?? process.stdin, 'standard input'));
  if (source.confirm) return askNewPin({ ...source, question: source.prompt });
  return notEmpty(await askHidden(source.prompt, source));
}

function notEmpty(pin: Secret): Secret {
  if (pin.reveal().length === 0) throw new HoldfastError('usage', 'the PIN is empty; nothing was sent');
  return pin;
}

async function firstLineOfFile(path: string): Promise<Secret> {
  try {
    await using file = await open(path, 'r');
    return await firstLine(file.createReadStream({ autoClose: false, highWaterMark: MAXIMUM_BYTES }), 'the PIN file');
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError('usage', `cannot read the PIN file ${JSON.stringify(path)}; check --pin-file`, { cause });
  }
}

async function firstLine(chunks: AsyncIterable<Uint8Array | string>, what: string): Promise<Secret> {
  const buffer = new Uint8Array(MAXIMUM_BYTES + 2);
  let length = 0;
  for await (const chunk of chunks) {
    const bytes = typeof chunk === 'string' ? utf8(chunk) : chunk;
    const end = bytes.indexOf(0x0a);
    const piece = end === -1 ? bytes : bytes.subarray(0, end);
    if (length + piece.length > MAXIMUM_BYTES + 1) {
      buffer.fill(0);
      throw new HoldfastError('usage', `the first line of ${what} has more than ${MAXIMUM_BYTES} bytes`);
    }
    buffer.set(piece, length);
    length += piece.length;
    if (end !== -1) break;
  }
  if (length > 0 && buffer[length - 1] === 0x0d) length--;
  const start = BYTE_ORDER_MARK.every((byte, i) => buffer[i] === byte) ? BYTE_ORDER_MARK.length : 0;
  const line = new Secret(buffer.slice(start, length));
  buffer.fill(0);
  return line;
}

function cancelled(): HoldfastError {
  return new HoldfastError('cancelled', 'cancelled before a PIN was entered; nothing was sent');
}
