/** A journal in segments: whatever stops it while another one begins, no key ever signs against what it signed before. */

import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bytesToHex, type Clock, sha256, systemClock, utf8 } from '../../src/core/index.ts';
import {
  type JournalEntry,
  type JournalFiles,
  readJournal,
  realFiles,
  type Signed,
  type SignedTree,
  SigningJournal,
} from '../../src/signer/index.ts';
import { toBase64 } from '../../src/trust/index.ts';
import { NOW } from './texts.ts';

let folder: string;
let path: string;
let count = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-rotation-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  path = join(folder, String(count++), 'journal');
  mkdirSync(join(path, '..'));
});

const clock: Clock = { ...systemClock, now: () => NOW };
const damaged = { code: 'journal_damaged' };
const refused = { code: 'signing_refused' };
/** Five or six entries. */
const SEGMENT = 2000;

/** A cosignature of a tree whose root follows from its size and `fork`. */
function tree(size: number, { key = 'w1', origin = 'log.example/a', fork = '' } = {}): Signed {
  const root = sha256(utf8(`${origin} ${size} ${fork}`));
  return {
    purpose: 'witness',
    key: `${key}+01234567`,
    digest: bytesToHex(sha256(utf8(`${key} ${origin} ${size} ${fork}`))),
    about: `cosignature of ${origin}, size ${size}, root ${toBase64(root)}`,
    tree: { origin, size, root },
  };
}

const open = (files: JournalFiles = realFiles, segmentBytes = SEGMENT) =>
  SigningJournal.open(path, { clock, segmentBytes, files });

async function write(from: number, to: number): Promise<void> {
  const journal = await open();
  for (let size = from; size <= to; size++) await journal.append(tree(size));
  await journal.close();
}

async function read() {
  const entries: JournalEntry[] = [];
  const carried: SignedTree[] = [];
  const state = await readJournal(path, {
    onEntry: (entry) => void entries.push(entry),
    onCarried: (each) => void carried.push(each),
  });
  return {
    ...state,
    numbers: entries.map(({ number }) => number),
    digests: entries.map(({ digest }) => digest),
    carried,
  };
}

/** Files of the journal's folder but for the lock. */
const names = () =>
  readdirSync(join(path, '..'))
    .filter((name) => !name.endsWith('.lock'))
    .sort();
const upTo = (last: number) => Array.from({ length: last }, (_, i) => i + 1);

describe('a journal that has grown', () => {
  it('goes on in another file, in one chain with the same numbers, and is opened by its newest alone', async () => {
    await write(1, 8);
    await write(9, 20);
    const { entries, segment, first, numbers, digests, torn } = await read();
    expect({ entries, first, torn }).toEqual({ entries: 20, first: 1, torn: 0 });
    expect(segment).toBeGreaterThan(2);
    expect(numbers).toEqual(upTo(20));
    expect(digests).toEqual(upTo(20).map((size) => tree(size).digest));
    expect(names()).toEqual(['journal', ...upTo(segment - 1).map((number) => `journal.${number}`)]);
    for (const number of upTo(segment - 1)) writeFileSync(`${path}.${number}`, 'not read to open it');
    const journal = await open();
    expect(journal.entries).toBe(20);
    await journal.close();
  });

  it('refuses against all segments what it would refuse in one, also those that were moved away', async () => {
    const journal = await open();
    await journal.append(tree(50, { origin: 'log.example/old' }));
    await journal.append(tree(7, { key: 'w2' }));
    for (let size = 1; size <= 20; size++) await journal.append(tree(size));
    await journal.close();
    const { segment } = await read();
    expect(segment).toBeGreaterThan(3);
    for (const number of upTo(segment - 1)) rmSync(`${path}.${number}`);
    const later = await open();
    for (const forbidden of [
      tree(49, { origin: 'log.example/old' }),
      tree(50, { origin: 'log.example/old', fork: 'x' }),
      tree(7, { key: 'w2', fork: 'x' }),
      tree(6, { key: 'w2' }),
      tree(19),
      tree(20, { fork: 'x' }),
    ]) {
      await expect(later.append(forbidden)).rejects.toMatchObject(refused);
    }
    await later.append(tree(50, { origin: 'log.example/old' }));
    await later.append(tree(21));
    await later.close();
    const { first, carried, entries } = await read();
    expect({ first, entries }).toEqual({ first: segment, entries: 24 });
    const old = carried.find(({ origin }) => origin === 'log.example/old');
    expect(old).toMatchObject({ key: 'w1+01234567', size: 50 });
    expect(carried.find(({ key }) => key === 'w2+01234567')).toMatchObject({ size: 7 });
  });

  it('decides every signature as one that never began another file', async () => {
    const step = fc.oneof(
      {
        weight: 6,
        arbitrary: fc.record({
          key: fc.constantFrom('w1', 'w2'),
          origin: fc.constantFrom('log.example/a', 'log.example/b'),
          size: fc.integer({ min: 1, max: 12 }),
          fork: fc.constantFrom('', '', 'x'),
        }),
      },
      { weight: 1, arbitrary: fc.constant('reopen' as const) },
    );
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const paths = [`${path}-${run}-whole`, `${path}-${run++}-parts`];
        const opened = () =>
          Promise.all(
            paths.map((each, i) => SigningJournal.open(each, { clock, segmentBytes: i === 0 ? 1e9 : SEGMENT })),
          );
        let journals = await opened();
        for (const one of steps) {
          if (one === 'reopen') {
            await Promise.all(journals.map((journal) => journal.close()));
            journals = await opened();
            continue;
          }
          const results = await Promise.all(
            journals.map((journal) =>
              journal.append(tree(one.size, one)).then(
                ({ number }) => `number ${number}`,
                ({ code }: { code: string }) => code,
              ),
            ),
          );
          expect(results[1]).toBe(results[0]);
        }
        await Promise.all(journals.map((journal) => journal.close()));
        const [whole, parts] = await Promise.all(paths.map((each) => readJournal(each, {})));
        expect(parts!.entries).toBe(whole!.entries);
      }),
      { numRuns: 15 },
    );
  });
});

/** Ends, as a machine does, at one call; `lost` calls were made, and a power cut took them back. */
class Dying implements JournalFiles {
  calls: string[] = [];
  undo: () => void = () => {};
  readonly #at: number;
  readonly #how: 'before' | 'after' | 'lost';

  constructor(at: number, how: 'before' | 'after' | 'lost') {
    this.#at = at;
    this.#how = how;
  }

  get dead(): boolean {
    return this.calls.length >= this.#at;
  }

  async #call(name: string, work: () => Promise<void>, undo: () => void): Promise<void> {
    if (this.dead) throw new Error('the machine is off');
    this.calls.push(name);
    if (this.dead && this.#how === 'before') throw new Error('the machine ends');
    await work();
    if (!this.dead) return;
    if (this.#how === 'lost') this.undo = undo;
    throw new Error('the machine ends');
  }

  create(file: string, content: Uint8Array): Promise<void> {
    const half = () => writeFileSync(file, content.subarray(0, content.length / 2));
    return this.#call('create', () => realFiles.create(file, content), half);
  }
  link(from: string, to: string): Promise<void> {
    return this.#call(
      'link',
      () => realFiles.link(from, to),
      () => rmSync(to),
    );
  }
  rename(from: string, to: string): Promise<void> {
    const restore = () => {
      renameSync(to, from);
      linkSync(`${to}.1`, to);
    };
    return this.#call('rename', () => realFiles.rename(from, to), restore);
  }
  remove(file: string): Promise<void> {
    // What is cleared away at the opening is not counted: there is nothing yet.
    return this.dead ? Promise.reject(new Error('the machine is off')) : realFiles.remove(file);
  }
  syncFolder(at: string): Promise<void> {
    return this.#call(
      'sync',
      () => realFiles.syncFolder(at),
      () => {},
    );
  }
}

/** The call of an opening, and then those of one rotation. */
const CALLS = ['sync', 'create', 'sync', 'link', 'sync', 'rename', 'sync'];
const CRASHES = CALLS.flatMap((name, i) =>
  (['before', 'after', 'lost'] as const)
    .filter((how) => i >= 1 && (how !== 'lost' || name !== 'sync'))
    .map((how) => ({ at: i + 1, how, name: `${how} call ${i + 1}, ${name}` })),
);

describe('a crash while another segment begins', () => {
  it('is looked for at every call that there is', async () => {
    const files = new Dying(Number.POSITIVE_INFINITY, 'before');
    const journal = await open(files);
    for (let size = 1; size <= 8; size++) await journal.append(tree(size));
    await journal.close();
    expect(files.calls).toEqual(CALLS);
  });

  it.each(CRASHES)('$name: all that was released is there, and nothing forbidden gets through', async ({ at, how }) => {
    const files = new Dying(at, how);
    const dying = await open(files);
    let released = 0;
    for (let size = 1; size <= 8; size++) {
      const number = await dying.append(tree(size)).then(
        (entry) => entry.number,
        () => undefined,
      );
      if (number === undefined) break;
      released = number;
    }
    expect(files.dead).toBe(true);
    expect(released).toBeGreaterThan(3);
    expect(released).toBeLessThan(8);
    await expect(dying.append(tree(100))).rejects.toMatchObject(damaged);
    await dying.close();
    files.undo();

    // Somebody who only reads sees the same before anything is put right.
    expect((await read()).numbers).toEqual(upTo(released));
    const journal = await open();
    expect(journal.entries).toBe(released);
    expect(names().filter((name) => name.endsWith('.next'))).toEqual([]);
    for (const forbidden of [tree(released - 1), tree(released, { fork: 'x' })]) {
      await expect(journal.append(forbidden)).rejects.toMatchObject(refused);
    }
    for (let size = released; size <= 20; size++) await journal.append(tree(size));
    await journal.close();
    const { entries, numbers, segment, first } = await read();
    expect(numbers).toEqual(upTo(entries));
    expect(entries).toBe(21);
    expect(first).toBe(1);
    expect(names()).toEqual(['journal', ...upTo(segment - 1).map((number) => `journal.${number}`)]);
  });

  it.each(['create', 'link'] as const)(
    'where %s fails and nothing else does, the journal goes on in one file',
    async (which) => {
      const journal = await open({ ...realFiles, [which]: () => Promise.reject(new Error('no')) });
      for (let size = 1; size <= 30; size++) await journal.append(tree(size));
      await expect(journal.append(tree(29))).rejects.toMatchObject(refused);
      await journal.close();
      expect(names()).toEqual(['journal']);
      expect((await read()).numbers).toEqual(upTo(30));
      await write(31, 31);
      expect((await read()).segment).toBe(2);
    },
  );

  it('where it cannot be known which file stands there, nothing more is signed', async () => {
    let renamed = false;
    const journal = await open({
      ...realFiles,
      rename: async (from, to) => {
        await realFiles.rename(from, to);
        renamed = true;
      },
      syncFolder: (at) => (renamed ? Promise.reject(new Error('no')) : realFiles.syncFolder(at)),
    });
    const results = [];
    for (let size = 1; size <= 9; size++)
      results.push(await journal.append(tree(size)).catch((error: unknown) => error));
    expect(results.at(-1)).toMatchObject(damaged);
    await journal.close();
  });
});

describe('what somebody does to the files', () => {
  it('is refused where the newest is gone, emptied, or an older one stands in its place', async () => {
    await write(1, 20);
    const newest = readFileSync(path);
    const { segment } = await read();
    const puts: (() => void)[] = [
      () => rmSync(path),
      () => writeFileSync(path, ''),
      () => writeFileSync(path, newest.subarray(0, 30)),
      () => copyFileSync(`${path}.${segment - 1}`, path),
      () => copyFileSync(`${path}.1`, path),
    ];
    for (const put of puts) {
      put();
      await expect(open()).rejects.toMatchObject(damaged);
      rmSync(path, { force: true });
    }
    writeFileSync(path, newest);
    const journal = await open();
    expect(journal.entries).toBe(20);
    await journal.close();
  });

  it('is found where a segment was changed, left out, cut, or forgot what it had to carry over', async () => {
    await write(1, 20);
    const { segment } = await read();
    const files = [path, ...upTo(segment - 1).map((number) => `${path}.${number}`)];
    const before = new Map(files.map((file) => [file, readFileSync(file)]));
    const restore = () => {
      for (const [file, content] of before) writeFileSync(file, content);
    };
    const changes: [string, () => void][] = [
      [
        'a tree that is forgotten',
        () =>
          writeFileSync(
            path,
            before
              .get(path)!
              .toString()
              .replace(/"trees":\[.*\]/, '"trees":[]'),
          ),
      ],
      [
        'a smaller tree',
        () =>
          writeFileSync(
            path,
            before
              .get(path)!
              .toString()
              .replace(/"size":\d+/, '"size":1'),
          ),
      ],
      [
        'a count',
        () =>
          writeFileSync(
            path,
            before
              .get(path)!
              .toString()
              .replace(/"entries":\d+/, '"entries":3'),
          ),
      ],
      ['a segment cut at a line', () => cutLine(`${path}.2`)],
      ['a segment cut in a line', () => writeFileSync(`${path}.2`, before.get(`${path}.2`)!.subarray(0, -9))],
      ['a segment twice', () => writeFileSync(`${path}.2`, before.get(`${path}.1`)!)],
    ];
    for (const [what, change] of changes) {
      change();
      const code = await read().then(
        () => 'whole',
        (error: { code: string }) => error.code,
      );
      expect([what, code]).toEqual([what, 'journal_damaged']);
      restore();
    }
    expect((await read()).entries).toBe(20);
    expect(existsSync(`${path}.${segment}`)).toBe(false);
  });
});

function cutLine(file: string): void {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  writeFileSync(file, `${lines.slice(0, -1).join('\n')}\n`);
}
