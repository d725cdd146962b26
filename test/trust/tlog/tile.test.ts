import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../../src/core/index.ts';
import {
  encodeEntryBundle,
  Frontier,
  hashEntry,
  MAXIMUM_ENTRY_BYTES,
  parseEntryBundle,
  parseTilePath,
  proveConsistency,
  proveInclusion,
  type ReadTile,
  type Tile,
  TileWriter,
  tileAt,
  tileHashReader,
  tileOfNode,
  tilePath,
  tilesBetween,
  treeRoot,
  verifyConsistency,
  verifyInclusion,
} from '../../../src/trust/index.ts';

const fails = (code: string) => expect.objectContaining({ code });
const entryAt = (index: number) => utf8(`entry number ${index}`);

/** A log's stored files. */
class Files {
  readonly stored = new Map<string, Uint8Array>();
  readonly readTile: ReadTile = async (tile) => {
    const data = this.stored.get(tilePath(tile));
    if (data === undefined) throw new HoldfastError('not_found', `there is no ${tilePath(tile)}`);
    return data;
  };

  store(writer: TileWriter): Tile[] {
    const tiles = writer.take();
    for (const { tile, data } of tiles) this.stored.set(tilePath(tile), data);
    return tiles.map(({ tile }) => tile);
  }
}

function grow(writer: TileWriter, size: number): void {
  while (writer.size < size) writer.append(entryAt(writer.size));
}

const byPath = (tiles: Iterable<Tile>) => [...tiles].map(tilePath).sort();

describe('addresses of tiles', () => {
  it.each([
    [{ level: 0, index: 0, width: 256 }, 'tile/0/000'],
    [{ level: 0, index: 1234067, width: 256 }, 'tile/0/x001/x234/067'],
    [{ level: 1, index: 273, width: 17 }, 'tile/1/273.p/17'],
    [{ level: 63, index: 1000, width: 1 }, 'tile/63/x001/000.p/1'],
    [{ level: 'entries', index: 999, width: 255 }, 'tile/entries/999.p/255'],
    [{ level: 'entries', index: Number.MAX_SAFE_INTEGER, width: 256 }, 'tile/entries/x009/x007/x199/x254/x740/991'],
  ] as const)('%j is %s', (tile, path) => {
    expect(tilePath(tile)).toBe(path);
    expect(parseTilePath(path)).toEqual(tile);
  });

  it.each([
    '',
    'tile/0',
    'tile/0/',
    'tile/00/000',
    'tile/64/000',
    'tile/-1/000',
    'tile/0/0',
    'tile/0/0000',
    'tile/0/x000/000',
    'tile/0/001/000',
    'tile/0/x001/x000',
    'tile/0/x001/000/',
    'tile/0/000.p',
    'tile/0/000.p/',
    'tile/0/000.p/0',
    'tile/0/000.p/00',
    'tile/0/000.p/01',
    'tile/0/000.p/256',
    'tile/0/000.P/1',
    '/tile/0/000',
    'tile/0/../000',
    'tile/0/000?a',
    'tile/0/000\n',
    'tile/data/000',
    'tile/8/0/000',
    'tile/0/x009/x007/x199/x254/x740/992',
    `tile/0/${'x001/'.repeat(6)}000`,
  ])('%s is none', (path) => {
    expect(() => parseTilePath(path)).toThrow(fails('malformed'));
  });

  it('read back as they were written', () => {
    const tiles = fc.record({
      level: fc.oneof(fc.integer({ min: 0, max: 63 }), fc.constant('entries' as const)),
      index: fc.oneof(fc.nat(2000), fc.maxSafeNat()),
      width: fc.integer({ min: 1, max: 256 }),
    });
    fc.assert(
      fc.property(tiles, (tile) => {
        expect(parseTilePath(tilePath(tile))).toEqual(tile);
      }),
    );
    expect(() => tilePath({ level: 0, index: 0, width: 0 })).toThrow(fails('malformed'));
    expect(() => tilePath({ level: 0, index: -1, width: 1 })).toThrow(fails('malformed'));
    expect(() => tilePath({ level: 0, index: 0, width: 257 })).toThrow(fails('malformed'));
  });
});

describe('the tiles of a tree', () => {
  it('are those of the specification’s examples', () => {
    const tiles = [...tilesBetween(0, 70_000)];
    const count = (level: number | 'entries', full: boolean) =>
      tiles.filter((tile) => tile.level === level && (tile.width === 256) === full).length;
    expect([count(0, true), count(1, true), count(2, true), count('entries', true)]).toEqual([273, 1, 0, 273]);
    const partial = tiles.filter(({ width }) => width < 256);
    expect(partial).toEqual([
      { level: 0, index: 273, width: 112 },
      { level: 1, index: 1, width: 17 },
      { level: 2, index: 0, width: 1 },
      { level: 'entries', index: 273, width: 112 },
    ]);
    expect(byPath(tilesBetween(0, 256))).toEqual(['tile/0/000', 'tile/1/000.p/1', 'tile/entries/000']);
    expect(byPath(tilesBetween(0, 0))).toEqual([]);
    expect(byPath(tilesBetween(256, 256))).toEqual([]);
  });

  it('are never empty, nor beyond the tree', () => {
    expect(tileAt(0, 1, 256)).toBeUndefined();
    expect(tileAt(1, 0, 255)).toBeUndefined();
    expect(tileAt(1, 0, 256)).toEqual({ level: 1, index: 0, width: 1 });
    expect(tileAt('entries', 4, 1025)).toEqual({ level: 'entries', index: 4, width: 1 });
  });

  it('have every complete subtree in one place, and no other', () => {
    expect(tileOfNode({ level: 0, index: 300 }, 301)).toMatchObject({
      tile: { index: 1, width: 45 },
      first: 44,
      count: 1,
    });
    expect(tileOfNode({ level: 8, index: 1 }, 600)).toMatchObject({ tile: { level: 1, width: 2 }, first: 1, count: 1 });
    expect(tileOfNode({ level: 7, index: 1 }, 256)).toMatchObject({ tile: { level: 0 }, first: 128, count: 128 });
    expect(() => tileOfNode({ level: 0, index: 301 }, 301)).toThrow(fails('malformed'));
    expect(() => tileOfNode({ level: 1, index: 150 }, 301)).toThrow(fails('malformed'));
    expect(() => tileOfNode({ level: 8, index: 1 }, 511)).toThrow(fails('malformed'));
  });
});

describe('writing a tiled log', () => {
  it('writes just the tiles that a checkpoint needs, at any size of batch', async () => {
    const sizes = [1, 2, 255, 256, 257, 511, 512, 700, 1024, 1025];
    const files = new Files();
    const writer = new TileWriter();
    const edge = new Frontier();
    let before = 0;
    for (const size of sizes) {
      grow(writer, size);
      while (edge.size < size) edge.append(hashEntry(entryAt(edge.size)));
      expect(byPath(files.store(writer))).toEqual(byPath(tilesBetween(before, size)));
      expect(writer.head()).toEqual({ size, root: edge.root() });
      expect(await treeRoot(size, tileHashReader(size, files.readTile))).toEqual(edge.root());
      before = size;
    }
    expect(writer.take()).toEqual([]);
  });

  it('crosses the second level of tiles', async () => {
    const files = new Files();
    const writer = new TileWriter();
    grow(writer, 65_535);
    files.store(writer);
    grow(writer, 65_537);
    expect(byPath(files.store(writer))).toEqual(byPath(tilesBetween(65_535, 65_537)));
    const { size, root } = writer.head();
    const reader = tileHashReader(size, files.readTile);
    expect(await treeRoot(size, reader)).toEqual(root);
    for (const index of [0, 255, 256, 40_000, 65_535, 65_536]) {
      const proof = await proveInclusion(index, size, reader);
      expect(verifyInclusion(proof, hashEntry(entryAt(index)), root)).toBe(true);
    }
  });

  it('goes on from stored tiles as if it had never stopped', async () => {
    for (const size of [0, 1, 255, 256, 257, 600]) {
      const files = new Files();
      const writer = new TileWriter();
      grow(writer, size);
      files.store(writer);
      const loaded = await TileWriter.load(writer.head(), files.readTile);
      for (const each of [writer, loaded]) grow(each, size + 300);
      expect(loaded.head()).toEqual(writer.head());
      expect(loaded.take()).toEqual(writer.take());
    }
  });

  it('does not go on from tiles of another tree', async () => {
    const files = new Files();
    const writer = new TileWriter();
    grow(writer, 300);
    files.store(writer);
    const { size, root } = writer.head();
    const load = () => TileWriter.load({ size, root }, files.readTile);
    await expect(load()).resolves.toMatchObject({ size });
    for (const path of ['tile/0/001.p/44', 'tile/1/000.p/1', 'tile/entries/001.p/44']) {
      const data = files.stored.get(path)!;
      const changed = data.slice();
      changed[changed.length - 1]! ^= 1;
      files.stored.set(path, changed);
      await expect(load(), path).rejects.toThrow(fails('untrusted'));
      files.stored.set(path, data.slice(1));
      await expect(load(), path).rejects.toThrow(fails('malformed'));
      files.stored.delete(path);
      await expect(load(), path).rejects.toThrow(fails('not_found'));
      files.stored.set(path, data);
    }
    await expect(TileWriter.load({ size: size - 1, root }, files.readTile)).rejects.toThrow(HoldfastError);
  });

  it('takes what it gives out away from later appends', () => {
    const writer = new TileWriter();
    writer.append(entryAt(0));
    const [first] = writer.take();
    const copy = first!.data.slice();
    first!.data.fill(0);
    grow(writer, 256);
    expect(writer.take()[0]!.data.slice(0, 32)).toEqual(copy);
  });

  it('refuses an entry that no bundle can hold, and appends nothing', () => {
    const writer = new TileWriter();
    expect(() => writer.append(new Uint8Array(MAXIMUM_ENTRY_BYTES + 1))).toThrow(fails('too_large'));
    expect(writer.size).toBe(0);
    expect(writer.append(new Uint8Array(MAXIMUM_ENTRY_BYTES))).toBe(0);
    expect(writer.append(new Uint8Array())).toBe(1);
    const [, bundle] = writer.take();
    expect(parseEntryBundle(bundle!.data, 2).map(({ length }) => length)).toEqual([65_535, 0]);
  });
});

describe('proofs out of tiles', () => {
  it('verify between any two sizes of a log', async () => {
    const files = new Files();
    const writer = new TileWriter();
    const roots = new Map<number, Uint8Array>([[0, writer.head().root]]);
    for (let size = 1; size <= 1100; size++) {
      grow(writer, size);
      roots.set(size, writer.head().root);
    }
    files.store(writer);
    const reader = tileHashReader(1100, files.readTile);
    const sizes = fc.integer({ min: 0, max: 1100 });
    await fc.assert(
      fc.asyncProperty(sizes, sizes, async (a, b) => {
        const [older, newer] = [Math.min(a, b), Math.max(a, b)];
        const proof = await proveConsistency(older, newer, reader);
        const heads = [older, newer].map((size) => ({ size, root: roots.get(size)! }));
        expect(verifyConsistency(heads[0]!, heads[1]!, proof)).toBe(true);
        if (older === newer) return;
        const inclusion = await proveInclusion(older, newer, reader);
        expect(verifyInclusion(inclusion, hashEntry(entryAt(older)), roots.get(newer)!)).toBe(true);
      }),
    );
  });

  it('read each tile once, and take the full tile for a partial one', async () => {
    const files = new Files();
    const writer = new TileWriter();
    grow(writer, 300);
    files.store(writer);
    const { root } = writer.head();
    grow(writer, 512);
    files.store(writer);
    const asked: string[] = [];
    const reader = tileHashReader(300, async (tile) => {
      asked.push(tilePath(tile));
      return await files.readTile({ ...tile, width: 256 }).catch(() => files.readTile(tile));
    });
    const proof = await proveInclusion(290, 300, reader);
    expect(verifyInclusion(proof, hashEntry(entryAt(290)), root)).toBe(true);
    expect(asked.sort()).toEqual(['tile/0/001.p/44', 'tile/1/000.p/1']);
  });

  it('are not made of a tile of another length', async () => {
    const reader = tileHashReader(3, async () => new Uint8Array(64));
    await expect(proveInclusion(0, 3, reader)).rejects.toThrow(fails('malformed'));
  });
});

describe('entry bundles', () => {
  it('give back the entries', () => {
    const entries = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 256 });
    fc.assert(
      fc.property(entries, (written) => {
        expect(parseEntryBundle(encodeEntryBundle(written), written.length)).toEqual(written);
      }),
      { numRuns: 30 },
    );
    expect([...encodeEntryBundle([utf8('ab'), new Uint8Array(258)]).subarray(0, 6)]).toEqual([0, 2, 97, 98, 1, 2]);
  });

  it('have exactly as many entries as the checkpoint says, and nothing after them', () => {
    const bundle = encodeEntryBundle([utf8('one'), utf8('two')]);
    for (const width of [0, 1, 3, 256]) expect(() => parseEntryBundle(bundle, width)).toThrow(fails('malformed'));
    for (let length = 0; length < bundle.length; length++) {
      expect(() => parseEntryBundle(bundle.subarray(0, length), 2)).toThrow(fails('malformed'));
    }
    expect(() => parseEntryBundle(Uint8Array.of(...bundle, 0), 2)).toThrow(fails('malformed'));
    expect(() => parseEntryBundle(Uint8Array.of(0, 0, 0), 2)).toThrow(fails('malformed'));
    expect(() => encodeEntryBundle([])).toThrow(fails('malformed'));
    expect(() => encodeEntryBundle(Array.from({ length: 257 }, () => new Uint8Array()))).toThrow(fails('malformed'));
  });
});
