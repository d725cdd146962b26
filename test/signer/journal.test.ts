/** The signing journal: what it keeps through crashes, and what changes to it are found. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { bytesToHex, type Clock, sha256, systemClock, utf8 } from '../../src/core/index.ts';
import {
  compareJournal,
  type JournalEntry,
  PURPOSES,
  readJournal,
  type Signed,
  SigningJournal,
} from '../../src/signer/index.ts';
import { NOW, ORIGIN } from './texts.ts';

let folder: string;
let path: string;
let count = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-journal-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  path = join(folder, `journal-${count++}`);
});

const clock: Clock = { ...systemClock, now: () => NOW };
const digest = (text: string) => bytesToHex(sha256(utf8(text)));
const signed = (text: string): Signed => ({
  purpose: 'bundle',
  key: 'cosigner.example/bundle+01234567',
  digest: digest(text),
  about: `deploy of fleet first, serial ${text}`,
});
const damaged = { code: 'journal_damaged' };
/** Milliseconds that no test takes. */
const NEVER = 3_600_000;

async function entriesOf(file = path) {
  const entries: JournalEntry[] = [];
  const { head, torn } = await readJournal(file, { onEntry: (entry) => void entries.push(entry) });
  return { entries, head, torn };
}

async function write(...texts: string[]): Promise<void> {
  const journal = await SigningJournal.open(path, { clock });
  for (const text of texts) await journal.append(signed(text));
  await journal.close();
}

describe('a journal', () => {
  it('keeps what was written, across openings, readable by its owner only', async () => {
    await write('1', '2');
    await write('3');
    const { entries, torn, head } = await entriesOf();
    expect(entries).toEqual(['1', '2', '3'].map((text, i) => ({ ...signed(text), number: i + 1, time: NOW })));
    expect(torn).toBe(0);
    expect(head).toBe(digest(readFileSync(path, 'utf8').trimEnd().split('\n').at(-1)!));
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('gives back any entries as they were', async () => {
    const text = fc.string({ minLength: 1, maxLength: 40, unit: 'grapheme' }).filter((each) => each.isWellFormed());
    const any = fc.record({
      purpose: fc.constantFrom(...PURPOSES),
      key: text,
      digest: fc.stringMatching(/^[0-9a-f]{64}$/),
      about: text,
    });
    await fc.assert(
      fc.asyncProperty(fc.array(any, { maxLength: 8 }), async (all) => {
        rmSync(path, { force: true });
        const journal = await SigningJournal.open(path, { clock });
        await Promise.all(all.map((each) => journal.append(each)));
        await journal.close();
        const { entries } = await entriesOf();
        expect(entries).toEqual(all.map((each, i) => ({ ...each, number: i + 1, time: NOW })));
      }),
      { numRuns: 40 },
    );
  });

  it('has each entry in the file before `append` resolves', async () => {
    const journal = await SigningJournal.open(path, { clock });
    for (let i = 1; i <= 3; i++) {
      await journal.append(signed(`${i}`));
      expect((await entriesOf()).entries).toHaveLength(i);
    }
    await journal.close();
    await expect(journal.append(signed('late'))).rejects.toMatchObject(damaged);
  });

  it('numbers a hundred that come at once in their order', async () => {
    const journal = await SigningJournal.open(path, { clock });
    const made = await Promise.all(Array.from({ length: 100 }, (_, i) => journal.append(signed(`${i}`))));
    expect(made.map(({ number }) => number)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    await journal.close();
    expect((await entriesOf()).entries.map((entry) => entry.digest)).toEqual(made.map((entry) => entry.digest));
  });
});

describe('a crash', () => {
  it('at each byte of the file leaves all whole lines, and the journal goes on', async () => {
    await write('1', '2', '3');
    const whole = readFileSync(path);
    const lineEnds = [...whole.entries()].flatMap(([at, byte]) => (byte === 0x0a ? [at + 1] : []));
    for (let length = 0; length <= whole.length; length++) {
      writeFileSync(path, whole.subarray(0, length));
      const kept = lineEnds.filter((end) => end <= length).length;
      const journal = await SigningJournal.open(path, { clock });
      expect(journal.recovered).toBe(length - (lineEnds[kept - 1] ?? 0));
      expect(journal.entries).toBe(Math.max(0, kept - 1));
      const { number } = await journal.append(signed('after'));
      await journal.close();
      const { entries } = await entriesOf();
      expect(entries.map((entry) => entry.digest)).toEqual(
        [...['1', '2', '3'].slice(0, Math.max(0, kept - 1)), 'after'].map(digest),
      );
      expect(number).toBe(entries.length);
    }
  });

  it('that left a torn line is told to a reader, who changes nothing', async () => {
    await write('1', '2');
    truncateSync(path, statSync(path).size - 5);
    const before = readFileSync(path);
    expect(await entriesOf()).toMatchObject({ torn: expect.any(Number), entries: [{ number: 1 }] });
    expect((await entriesOf()).torn).toBeGreaterThan(100);
    expect(readFileSync(path)).toEqual(before);
  });
});

describe('tampering is found:', () => {
  it('any bit of any byte, unless it only cuts off the end', async () => {
    await write('1', '2', '3');
    const whole = readFileSync(path);
    const lastLine = whole.lastIndexOf(0x0a, whole.length - 2) + 1;
    for (let at = 0; at < whole.length; at++) {
      const changed = Buffer.from(whole);
      changed[at]! ^= 1 << (at % 8);
      writeFileSync(path, changed);
      const found = await entriesOf().then(
        ({ entries, torn }) => ({ entries: entries.length, torn }),
        (error: { code: string }) => error.code,
      );
      // The last newline gone is what a crash leaves; a digest in the last line has nothing after it to contradict it.
      if (at === whole.length - 1) expect(found).toMatchObject({ entries: 2 });
      else if (at < lastLine) expect(found).toBe('journal_damaged');
      else if (found !== 'journal_damaged')
        expect((await entriesOf()).head).not.toBe(digest(whole.toString().trimEnd().split('\n').at(-1)!));
    }
  });

  it.each<[string, (lines: string[]) => string[]]>([
    ['a line taken out', ([head, , ...rest]) => [head!, ...rest]],
    ['the first line taken out', ([, ...rest]) => rest],
    ['two lines exchanged', ([head, a, b, ...rest]) => [head!, b!, a!, ...rest]],
    ['a line twice', ([head, a, ...rest]) => [head!, a!, a!, ...rest]],
    ['an empty line', ([head, ...rest]) => [head!, '', ...rest]],
    ['spaces in a line', ([head, a, ...rest]) => [head!, a!.replace('{', '{ '), ...rest]],
    ['a member more', ([head, a, ...rest]) => [head!, a!.replace('{', '{"z":1,'), ...rest]],
    ['an unknown purpose', ([head, a, ...rest]) => [head!, a!.replace('"bundle"', '"other"'), ...rest]],
    ['another format', ([, ...rest]) => ['{"created":"2026-11-21T00:00:00.000Z","format":"other"}', ...rest]],
    ['a very long line', ([head, ...rest]) => [head!, 'x'.repeat(9000), ...rest]],
  ])('%s', async (_, change) => {
    await write('1', '2', '3');
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    writeFileSync(path, `${change(lines).join('\n')}\n`);
    await expect(entriesOf()).rejects.toMatchObject(damaged);
    await expect(SigningJournal.open(path)).rejects.toMatchObject(damaged);
  });

  it.each<[string, (line: string) => string]>([
    ['another form', (line) => line.replace('{', '{ ')],
    ['another number', (line) => line.replace('"number":3', '"number":4')],
    ['a time of another zone', (line) => line.replace('Z"', '+00:00"')],
    ['a digest in capitals', (line) => line.replace(/"digest":"[0-9a-f]+"/, (text) => text.toUpperCase())],
  ])('%s in the last line, which no other line is bound to', async (_, change) => {
    await write('1', '2', '3');
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    const last = change(lines.at(-1)!);
    expect(last).not.toBe(lines.at(-1));
    writeFileSync(path, `${[...lines.slice(0, -1), last].join('\n')}\n`);
    await expect(entriesOf()).rejects.toMatchObject(damaged);
  });

  it('a file that is none, and one that is not there', async () => {
    writeFileSync(path, '');
    await expect(entriesOf()).rejects.toMatchObject(damaged);
    writeFileSync(path, 'hello\n');
    await expect(entriesOf()).rejects.toMatchObject(damaged);
    await expect(entriesOf(join(folder, 'none'))).rejects.toMatchObject({ code: 'usage' });
    await expect(SigningJournal.open(join(folder, 'none', 'journal'))).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('stable storage', () => {
  it('is asked for each entry before `append` resolves, and a disk that refuses stops the journal', async () => {
    const journal = await SigningJournal.open(path, { clock });
    await using any = await open(path, 'r');
    const synced = vi.spyOn(Object.getPrototypeOf(any) as typeof any, 'datasync');
    try {
      await journal.append(signed('1'));
      expect(synced).toHaveBeenCalledTimes(1);
      await Promise.all([journal.append(signed('2')), journal.append(signed('3')), journal.append(signed('4'))]);
      expect(synced.mock.calls.length).toBeGreaterThanOrEqual(2);
      synced.mockRejectedValueOnce(new Error('EIO'));
      await expect(journal.append(signed('5'))).rejects.toMatchObject(damaged);
      await expect(journal.append(signed('6'))).rejects.toMatchObject(damaged);
    } finally {
      synced.mockRestore();
    }
    await journal.close();
  });
});

describe('a second writer', () => {
  it('waits until the first has closed the journal, and goes on after what that wrote', async () => {
    const first = await SigningJournal.open(path, { clock });
    const opening = SigningJournal.open(path, { clock, patience: NEVER });
    await first.append(signed('1'));
    await first.close();
    const second = await opening;
    expect(second.entries).toBe(1);
    await second.append(signed('2'));
    await second.close();
    expect((await entriesOf()).entries).toHaveLength(2);
  });

  it('is told where the journal stays in use, and changes nothing of it', async () => {
    const journal = await SigningJournal.open(path, { clock });
    await journal.append(signed('1'));
    const before = readFileSync(path);
    await expect(SigningJournal.open(path, { clock, patience: 0 })).rejects.toMatchObject({ code: 'not_ready' });
    expect(readFileSync(path)).toEqual(before);
    await journal.append(signed('2'));
    await journal.close();
  });

  it('can be told to give up', async () => {
    const journal = await SigningJournal.open(path, { clock });
    const opening = SigningJournal.open(path, { clock, patience: NEVER, signal: AbortSignal.timeout(50) });
    await expect(opening).rejects.toMatchObject({ code: 'cancelled' });
    await journal.close();
  });

  it('in another process has its turn when the holder is killed', async () => {
    const module = new URL('../../src/lock/index.ts', import.meta.url).href;
    const script = `import { lockFile } from ${JSON.stringify(module)};
      await lockFile(process.argv[1], 0); console.log('held'); setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['--input-type=module', '-e', script, path]);
    await once(holder.stdout, 'data');
    await expect(SigningJournal.open(path, { clock, patience: 0 })).rejects.toMatchObject({ code: 'not_ready' });
    const opening = SigningJournal.open(path, { clock, patience: NEVER });
    holder.kill('SIGKILL');
    await (await opening).close();
  });

  it('stops the journal, and with it whatever waits', async () => {
    const journal = await SigningJournal.open(path, { clock });
    await journal.append(signed('1'));
    appendFileSync(path, 'x');
    const waiting = [journal.append(signed('2')), journal.append(signed('3'))];
    for (const each of waiting) await expect(each).rejects.toMatchObject(damaged);
    await expect(journal.append(signed('4'))).rejects.toMatchObject(damaged);
    await journal.close();
  });
});

describe('a fork', () => {
  const tree = (size: number, fill: number, origin = ORIGIN): Signed => {
    const root = new Uint8Array(32).fill(fill);
    const encoded = Buffer.from(root).toString('base64');
    return {
      purpose: 'witness',
      key: 'witness.example+01234567',
      digest: digest(`${origin} ${size} ${fill}`),
      about: `cosignature of ${origin}, size ${size}, root ${encoded}`,
      tree: { origin, size, root },
    };
  };
  const refused = { code: 'signing_refused' };

  it('is refused for the same key and log, also after reopening, and the journal goes on', async () => {
    let journal = await SigningJournal.open(path, { clock });
    await journal.append(tree(3, 1));
    await expect(journal.append(tree(3, 2))).rejects.toMatchObject(refused);
    await expect(journal.append(tree(2, 1))).rejects.toMatchObject(refused);
    await journal.append(tree(3, 1));
    await journal.append({ ...tree(3, 2), key: 'another.example+01234567' });
    await journal.append(tree(1, 2, 'other.example/log'));
    await journal.close();
    journal = await SigningJournal.open(path, { clock });
    await expect(journal.append(tree(3, 2))).rejects.toMatchObject(refused);
    await expect(journal.append(tree(0, 2, 'other.example/log'))).rejects.toMatchObject(refused);
    await journal.append(tree(4, 2));
    await journal.close();
    expect((await entriesOf()).entries).toHaveLength(5);
  });

  it('is refused among those that come at once', async () => {
    const journal = await SigningJournal.open(path, { clock });
    const results = await Promise.allSettled([tree(3, 1), tree(3, 2), tree(4, 1)].map((each) => journal.append(each)));
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    await journal.close();
    expect((await entriesOf()).entries).toHaveLength(2);
  });
});

describe('compared with the log', () => {
  const entry = (purpose: JournalEntry['purpose'], text: string): JournalEntry => ({
    ...signed(text),
    purpose,
    number: 1,
    time: NOW,
  });
  const logged = (purpose: JournalEntry['purpose'], text: string) => ({ purpose, digest: digest(text) });

  it('it agrees where both have the same, however often', () => {
    const entries = [entry('bundle', 'a'), entry('bundle', 'a'), entry('roster', 'b')];
    const result = compareJournal(entries, [logged('roster', 'b'), logged('bundle', 'a')], ['bundle', 'roster']);
    expect(result).toEqual({ notLogged: [], notSigned: [] });
  });

  it('shows what only one of them has, by purpose', () => {
    const entries = [entry('bundle', 'a'), entry('bundle', 'hidden'), entry('policy', 'x')];
    const result = compareJournal(
      entries,
      [logged('bundle', 'a'), logged('bundle', 'forged'), logged('roster', 'a')],
      ['bundle', 'roster'],
    );
    expect(result.notLogged.map((each) => each.digest)).toEqual([digest('hidden')]);
    expect(result.notSigned).toEqual([logged('bundle', 'forged'), logged('roster', 'a')]);
  });
});
