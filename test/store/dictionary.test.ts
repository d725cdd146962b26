import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesToHex, hexToBytes, sha256, utf8 } from '../../src/core/index.ts';
import { bucketOf } from '../../src/store/bucket.ts';
import {
  type AuthenticatedDictionary,
  type DictionaryChange,
  emptyRoot,
  MemoryKeyValueStore,
  openDictionary,
  type Table,
  wipeStore,
} from '../../src/store/index.ts';

const TABLES: readonly Table[] = ['record', 'bucket', 'meta'];
const MAC = new Uint8Array(32).fill(9);
const keyOf = (number: number) => sha256(utf8(`key ${number}`));
/** Where the dictionary keeps the value of `keyOf(number)`. */
const recordKey = (number: number) => {
  const bucket = bucketOf(keyOf(number));
  return Uint8Array.of(bucket >> 8, bucket & 255, ...keyOf(number));
};
const hex = (bytes: Uint8Array) => bytesToHex(bytes);
const refused = expect.objectContaining({ code: 'store_refused' });

const change = (number: number, value: string, fact = value): DictionaryChange => ({
  key: keyOf(number),
  value: utf8(value),
  syncHash: sha256(utf8(fact)),
});

async function write(dictionary: AuthenticatedDictionary, ...changes: DictionaryChange[]): Promise<void> {
  await dictionary.commit(dictionary.prepare(changes), MAC);
}

const changesArbitrary = fc.array(
  fc.record({ number: fc.nat(40), value: fc.string({ maxLength: 12 }), fact: fc.nat(3) }),
  { maxLength: 12 },
);
const toChanges = (list: readonly { number: number; value: string; fact: number }[]) =>
  list.map(({ number, value, fact }) => change(number, value, String(fact)));

function contents(dictionary: AuthenticatedDictionary): Map<string, string> {
  return new Map([...dictionary.keys()].map((key) => [hex(key), hex(dictionary.get(key)!)]));
}

describe('an authenticated dictionary', () => {
  test('is empty at first, with the constant root', async () => {
    const dictionary = await openDictionary(new MemoryKeyValueStore());
    expect(dictionary.size).toBe(0);
    expect(dictionary.head).toEqual({ sequence: 0, parent: emptyRoot, root: emptyRoot });
    expect(dictionary.mac).toBeUndefined();
    expect(dictionary.get(keyOf(1))).toBeUndefined();
    expect([...dictionary.keys()]).toEqual([]);
    // A changed encoding would make every existing store refuse to open.
    expect(hex(emptyRoot)).toBe('7a598f9278a84f7cdc05b36ea23331eb295e92c21722e8994facd945cc0c87a3');
  });

  test('has a root that depends on nothing but its encoding', async () => {
    const dictionary = await openDictionary(new MemoryKeyValueStore());
    const batch = dictionary.prepare([change(1, 'one'), change(2, 'two')]);
    expect(hex(batch.head.root)).toBe('ba2d4f9bc490798c6bb4ac8af5e50a51a5beb5e3857173cee0c9cf423603e417');
    await dictionary.commit(batch, MAC);
    expect(hex(dictionary.syncRoot())).toBe('8075962a49a55bd46ebc0eb6fa01a57fc42bd426ae4368abb85b4cf4fa506c86');
  });

  test('links each batch to the one before', async () => {
    const dictionary = await openDictionary(new MemoryKeyValueStore());
    await write(dictionary, change(1, 'one'));
    const first = dictionary.head;
    expect(first).toMatchObject({ sequence: 1, parent: emptyRoot });
    await write(dictionary, change(1, 'two'));
    expect(dictionary.head).toMatchObject({ sequence: 2, parent: first.root });
    expect(dictionary.head.root).not.toEqual(first.root);
    expect(dictionary.mac).toEqual(MAC);
  });

  test('prepare changes nothing, and copies what it is given', async () => {
    const dictionary = await openDictionary(new MemoryKeyValueStore());
    const given = change(1, 'one');
    const batch = dictionary.prepare([given]);
    given.value.fill(0);
    expect(dictionary.head.sequence).toBe(0);
    expect(dictionary.get(keyOf(1))).toBeUndefined();
    await dictionary.commit(batch, MAC);
    expect(dictionary.get(keyOf(1))).toEqual(utf8('one'));
  });

  test('of several changes of one key in a batch the last counts', async () => {
    const dictionary = await openDictionary(new MemoryKeyValueStore());
    await write(dictionary, change(1, 'one'), change(1, 'two'));
    expect(dictionary.get(keyOf(1))).toEqual(utf8('two'));
    expect(dictionary.size).toBe(1);
  });

  test('refuses a batch that was not prepared on its current head, or twice at once', async () => {
    const dictionary = await openDictionary(new MemoryKeyValueStore());
    const other = await openDictionary(new MemoryKeyValueStore());
    const conflict = { code: 'conflict' };
    const [first, second] = [dictionary.prepare([change(1, 'a')]), dictionary.prepare([change(1, 'b')])];
    await expect(other.commit(first, MAC)).rejects.toMatchObject(conflict);
    const running = dictionary.commit(first, MAC);
    await expect(dictionary.commit(second, MAC)).rejects.toMatchObject(conflict);
    await running;
    await expect(dictionary.commit(second, MAC)).rejects.toMatchObject(conflict);
    await expect(dictionary.commit(first, MAC)).rejects.toMatchObject(conflict);
    expect(dictionary.get(keyOf(1))).toEqual(utf8('a'));
  });

  test('refuses keys, digests and prefixes of another length', async () => {
    const dictionary = await openDictionary(new MemoryKeyValueStore());
    const malformed = expect.objectContaining({ code: 'malformed' });
    const good = change(1, 'a');
    expect(() => dictionary.get(new Uint8Array(31))).toThrow(malformed);
    expect(() => dictionary.prepare([{ ...good, key: new Uint8Array(33) }])).toThrow(malformed);
    expect(() => dictionary.prepare([{ ...good, syncHash: new Uint8Array(0) }])).toThrow(malformed);
    expect(() => dictionary.syncChildren(new Uint8Array(32))).toThrow(malformed);
    expect(() => dictionary.syncBucket(new Uint8Array(33))).toThrow(malformed);
    expect(() => dictionary.syncHash(new Uint8Array(31))).toThrow(malformed);
    expect(() => dictionary.syncBucket(new Uint8Array(1))).toThrow(malformed);
  });

  test('shows the old state until a commit has resolved, though the store already holds the new one', async () => {
    const dictionary = await openDictionary(new MemoryKeyValueStore());
    await write(dictionary, change(1, 'old'));
    const commit = dictionary.commit(dictionary.prepare([change(1, 'new'), change(2, 'new')]), MAC);
    expect(dictionary.get(keyOf(1))).toEqual(utf8('old'));
    expect(dictionary.get(keyOf(2))).toBeUndefined();
    expect(dictionary.size).toBe(1);
    expect(dictionary.head.sequence).toBe(1);
    await commit;
    expect(dictionary.get(keyOf(1))).toEqual(utf8('new'));
    expect(dictionary.get(keyOf(2))).toEqual(utf8('new'));
  });

  test('stays on the old head when the store cannot commit, and goes on afterwards', async () => {
    const store = new MemoryKeyValueStore();
    const dictionary = await openDictionary(store);
    await write(dictionary, change(1, 'one'));
    const before = [dictionary.head, dictionary.syncRoot(), dictionary.size];
    store.failNextCommit();
    const batch = dictionary.prepare([change(1, 'two'), change(2, 'two')]);
    await expect(dictionary.commit(batch, MAC)).rejects.toMatchObject({ code: 'unexpected' });
    expect([dictionary.head, dictionary.syncRoot(), dictionary.size]).toEqual(before);
    expect(dictionary.get(keyOf(1))).toEqual(utf8('one'));
    await dictionary.commit(batch, MAC);
    expect(dictionary.get(keyOf(2))).toEqual(utf8('two'));
  });

  test('follows a plain map through random batches, reopening, failures, crashes and rollbacks', async () => {
    const step = fc.record({
      changes: changesArbitrary,
      event: fc.constantFrom('commit', 'commit', 'commit', 'fail', 'before', 'after', 'reopen', 'rollback'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        let store = new MemoryKeyValueStore();
        let dictionary = await openDictionary(store);
        let model = new Map<string, string>();
        let [image, imageModel] = [store.snapshot(), model];
        for (const { changes, event } of steps) {
          const batch = dictionary.prepare(toChanges(changes));
          const after = new Map(model);
          for (const { key, value } of batch.changes) after.set(hex(key), hex(value));
          if (event === 'fail') store.failNextCommit();
          if (event === 'before' || event === 'after') store.crashAtNextCommit(event);
          const done = await dictionary.commit(batch, MAC).then(
            () => true,
            () => false,
          );
          expect(done).toBe(!['fail', 'before', 'after'].includes(event));
          if (done || event === 'after') model = after;
          if (event === 'rollback') {
            store.restore(image);
            model = imageModel;
          }
          if (['before', 'after', 'reopen', 'rollback'].includes(event)) {
            store = store.reopen();
            dictionary = await openDictionary(store);
          }
          if (event === 'reopen') [image, imageModel] = [store.snapshot(), model];
          if (done && event !== 'rollback') expect(dictionary.head).toEqual(batch.head);
          expect(dictionary.size).toBe(model.size);
          expect(contents(dictionary)).toEqual(model);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('the store under a dictionary is not trusted', () => {
  async function filled(): Promise<MemoryKeyValueStore> {
    const store = new MemoryKeyValueStore();
    const dictionary = await openDictionary(store);
    for (let i = 0; i < 8; i++) await write(dictionary, change(i, `value ${i}`), change(i + 1, `later ${i}`));
    return store;
  }

  /** Refused when opening or reading, or as if nothing had happened; `live` was opened before the tampering. */
  async function expectNoWrongAnswer(
    store: MemoryKeyValueStore,
    live: AuthenticatedDictionary,
    truth: Map<string, string>,
  ) {
    const [head, mac] = [live.head, live.mac];
    const opened = await openDictionary(store).catch((error) => {
      expect(error).toEqual(refused);
    });
    for (const dictionary of [live, ...(opened ? [opened] : [])]) {
      expect(dictionary.head).toEqual(head);
      expect(dictionary.mac).toEqual(mac);
      for (const [key, value] of truth) {
        try {
          expect(hex(dictionary.get(hexToBytes(key))!)).toBe(value);
        } catch (error) {
          expect(error).toEqual(refused);
        }
      }
      for (let i = 100; i < 110; i++) expect(dictionary.get(keyOf(i))).toBeUndefined();
    }
    return opened !== undefined;
  }

  test('any byte changed, anywhere, is refused or without effect', async () => {
    const store = await filled();
    const live = await openDictionary(store);
    const truth = contents(live);
    const image = store.snapshot();
    const places = TABLES.flatMap((table) => [...store.entries(table)].map(([key, value]) => ({ table, key, value })));
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...places),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async ({ table, key, value }, at, mask) => {
          const changed = value.slice();
          changed[at % changed.length]! ^= mask;
          await store.commit([{ table, key, value: changed }]);
          const opened = await expectNoWrongAnswer(store, live, truth);
          // Heads and buckets are found at the start, values when read.
          expect(opened).toBe(table === 'record');
          if (table === 'record') expect(() => live.get(key.subarray(2))).toThrow(refused);
          store.restore(image);
        },
      ),
      { numRuns: 300 },
    );
  });

  test('any two entries of a table swapped, any entry removed, cut short or lengthened', async () => {
    const store = await filled();
    const live = await openDictionary(store);
    const truth = contents(live);
    const image = store.snapshot();
    for (const table of TABLES) {
      const entries = [...store.entries(table)];
      for (const [i, [key, value]] of entries.entries()) {
        const [otherKey, other] = entries[(i + 1) % entries.length]!;
        const tamperings = [[undefined], [value.subarray(1)], [value.subarray(0, -1)], [new Uint8Array([...value, 0])]];
        if (entries.length > 1) tamperings.push([other, value]);
        for (const [mine, others] of tamperings) {
          await store.commit([{ table, key, value: mine }]);
          if (others) await store.commit([{ table, key: otherKey, value: others }]);
          if (table === 'record') expect(() => live.get(key.subarray(2))).toThrow(refused);
          else await expect(openDictionary(store)).rejects.toEqual(refused);
          await expectNoWrongAnswer(store, live, truth);
          store.restore(image);
        }
      }
    }
  });

  test('an older value, bucket or head brought back alone is refused', async () => {
    const store = new MemoryKeyValueStore();
    const dictionary = await openDictionary(store);
    await write(dictionary, change(1, 'old'));
    const old = store.snapshot();
    await write(dictionary, change(1, 'new'));
    const now = store.snapshot();
    for (const table of TABLES) {
      store.restore({ tables: { ...now.tables, [table]: old.tables[table] } });
      if (table === 'record') expect(() => dictionary.get(keyOf(1))).toThrow(refused);
      else await expect(openDictionary(store)).rejects.toEqual(refused);
    }
    // All of them together are a rollback: consistent, and for the anchor to find by the head.
    store.restore(old);
    expect((await openDictionary(store)).head.sequence).toBe(1);
  });

  test('buckets and records that no head covers are refused or not seen', async () => {
    const store = await filled();
    await store.commit([{ table: 'record', key: recordKey(100), value: utf8('planted') }]);
    const dictionary = await openDictionary(store);
    expect(store.get('record', recordKey(1))).toEqual(dictionary.get(keyOf(1)));
    expect(dictionary.get(keyOf(100))).toBeUndefined();
    const image = store.snapshot();
    const [[, bucket]] = [...store.entries('bucket')] as [[Uint8Array, Uint8Array]];
    for (const key of [Uint8Array.of(1), Uint8Array.of(1, 2, 3), Uint8Array.of(0xab, 0xcd)]) {
      await store.commit([{ table: 'bucket', key, value: bucket }]);
      await expect(openDictionary(store)).rejects.toEqual(refused);
      store.restore(image);
    }
  });

  test('a new batch is not built on a damaged bucket', async () => {
    const store = await filled();
    const dictionary = await openDictionary(store);
    for (const [key, value] of [...store.entries('bucket')]) {
      value[0]! ^= 1;
      await store.commit([{ table: 'bucket', key, value }]);
    }
    expect(() => dictionary.prepare([change(1, 'x')])).toThrow(refused);
  });

  test('wiping leaves nothing and allows a new start', async () => {
    const store = await filled();
    await store.commit([{ table: 'meta', key: utf8('head'), value: utf8('damaged') }]);
    await wipeStore(store);
    expect(TABLES.flatMap((table) => [...store.entries(table)])).toEqual([]);
    expect((await openDictionary(store)).head.root).toEqual(emptyRoot);
  });

  test('wiping that a crash cuts short is refused, not taken for an empty store', async () => {
    for (const point of ['before', 'after'] as const) {
      const store = await filled();
      // Commits of a wipe here: head, records, buckets.
      for (let commits = 0; commits < 3; commits++) {
        const broken = new MemoryKeyValueStore(store.snapshot());
        let seen = 0;
        const commit = broken.commit.bind(broken);
        broken.commit = (writes) => {
          if (seen++ === commits) broken.crashAtNextCommit(point);
          return commit(writes);
        };
        await expect(wipeStore(broken)).rejects.toMatchObject({ code: 'unexpected' });
        const left = broken.reopen();
        const whole = (point === 'before' && commits === 0) || (point === 'after' && commits === 2);
        if (whole) await openDictionary(left);
        else await expect(openDictionary(left)).rejects.toEqual(refused);
        await wipeStore(left);
        expect((await openDictionary(left)).size).toBe(0);
      }
    }
  });
});

describe('comparing two nodes', () => {
  test('facts alone decide the sync root: neither order, nor batches, nor values', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.record({ number: fc.nat(60), fact: fc.nat(2) }), { selector: (item) => item.number }),
        fc.array(fc.nat(1000), { minLength: 61, maxLength: 61 }),
        fc.integer({ min: 1, max: 7 }),
        async (facts, order, batch) => {
          const one = await openDictionary(new MemoryKeyValueStore());
          const two = await openDictionary(new MemoryKeyValueStore());
          await write(one, ...facts.map(({ number, fact }) => change(number, 'one', `fact ${fact}`)));
          const shuffled = facts.toSorted((a, b) => order[a.number]! - order[b.number]!);
          for (let i = 0; i < shuffled.length; i += batch) {
            const part = shuffled.slice(i, i + batch);
            await write(two, ...part.map(({ number }) => change(number, 'earlier', 'earlier fact')));
            await write(two, ...part.map(({ number, fact }) => change(number, 'two', `fact ${fact}`)));
          }
          expect(two.syncRoot()).toEqual(one.syncRoot());
          if (facts.length === 0) return;
          expect(two.head.root).not.toEqual(one.head.root);
          await write(two, change(facts[0]!.number, 'one', 'another fact'));
          expect(two.syncRoot()).not.toEqual(one.syncRoot());
        },
      ),
      { numRuns: 40 },
    );
  });

  test('descending through differing children finds exactly the keys whose facts differ', async () => {
    const one = await openDictionary(new MemoryKeyValueStore());
    const two = await openDictionary(new MemoryKeyValueStore());
    const shared = Array.from({ length: 300 }, (_, i) => change(i, 'same'));
    await write(one, ...shared);
    await write(two, ...shared.map((item) => ({ ...item, value: utf8('other value, same fact') })));
    await write(two, change(7, 'differs'), change(1000, 'only two'));
    await write(one, change(2000, 'only one'));
    const differing = (prefix: Uint8Array) => {
      const [mine, theirs] = [one.syncChildren(prefix), two.syncChildren(prefix)];
      expect([mine.length, theirs.length]).toEqual([256, 256]);
      return mine.flatMap((hash, i) => (hex(hash) === hex(theirs[i]!) ? [] : [Uint8Array.of(...prefix, i)]));
    };
    const found = new Set<string>();
    // Deeper than the tree that is kept: buckets are taken apart when that is asked for.
    for (const bucket of differing(new Uint8Array(0)).flatMap(differing).flatMap(differing).flatMap(differing)) {
      const lines = [one, two].map((side) =>
        side.syncBucket(bucket).map(({ key, syncHash }) => hex(key) + hex(syncHash)),
      );
      const [mine, theirs] = lines.map((side) => new Set(side)) as [Set<string>, Set<string>];
      for (const line of [...mine, ...theirs]) if (!mine.has(line) || !theirs.has(line)) found.add(line.slice(0, 64));
    }
    expect(found).toEqual(new Set([7, 1000, 2000].map((number) => hex(keyOf(number)))));
  });

  test('keys that share a bucket are kept and found', async () => {
    const store = new MemoryKeyValueStore();
    const dictionary = await openDictionary(store);
    const changes = Array.from({ length: 3000 }, (_, i) => change(i, `value ${i}`));
    for (let i = 0; i < 3000; i += 500) await write(dictionary, ...changes.slice(i, i + 500));
    // Among 3000 keys in 65,536 buckets some share one.
    expect([...store.entries('bucket')].length).toBeLessThan(3000);
    expect(contents(await openDictionary(store))).toEqual(
      new Map(changes.map(({ key, value }) => [hex(key), hex(value)])),
    );
  });
});
