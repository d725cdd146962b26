import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex, concatBytes, sha256, utf8 } from '../../../src/core/index.ts';
import {
  EMPTY_ROOT,
  Frontier,
  fromBase64,
  type HashReader,
  hashEntry,
  parseCheckpoint,
  parseNote,
  peaks,
  proveConsistency,
  proveInclusion,
  treeRoot,
  verifyConsistency,
  verifyInclusion,
} from '../../../src/trust/index.ts';
import litewitness from '../../vectors/torchwood-litewitness.json' with { type: 'json' };

const fails = (code: string) => expect.objectContaining({ code });
const leaves = Array.from({ length: 70 }, (_, i) => hashEntry(utf8(`entry ${i}`)));

/** MTH of RFC 6962 section 2.1, word for word, over leaf hashes. */
function mth(d: readonly Uint8Array[]): Uint8Array {
  if (d.length === 0) return sha256(new Uint8Array());
  if (d.length === 1) return d[0]!;
  let k = 1;
  while (k * 2 < d.length) k *= 2;
  return sha256(concatBytes(Uint8Array.of(1), mth(d.slice(0, k)), mth(d.slice(k))));
}

const reader: HashReader = {
  readHashes: async (nodes) =>
    nodes.map(({ level, index }) => {
      const below = leaves.slice(index * 2 ** level, (index + 1) * 2 ** level);
      expect(below).toHaveLength(2 ** level);
      return mth(below);
    }),
};
const roots = Array.from({ length: leaves.length + 1 }, (_, size) => mth(leaves.slice(0, size)));
const head = (size: number) => ({ size, root: roots[size]! });

describe('the right edge', () => {
  it('has the root of RFC 6962 at every size, also when stored and loaded again', () => {
    let edge = new Frontier();
    expect(edge.root()).toEqual(EMPTY_ROOT);
    for (const [i, leaf] of leaves.entries()) {
      edge.append(leaf);
      expect(bytesToHex(edge.root())).toBe(bytesToHex(roots[i + 1]!));
      edge = new Frontier(edge.size, edge.hashes);
    }
    expect(edge.size).toBe(leaves.length);
  });

  it('tells every complete subtree once', async () => {
    const edge = new Frontier();
    const seen = new Map<string, Uint8Array>();
    for (const leaf of leaves) {
      edge.append(leaf, ({ level, index }, hash) => {
        expect(seen.has(`${level}/${index}`)).toBe(false);
        seen.set(`${level}/${index}`, hash);
      });
    }
    expect(seen.size).toBe(70 + 35 + 17 + 8 + 4 + 2 + 1);
    for (const [name, hash] of seen) {
      const [level, index] = name.split('/').map(Number) as [number, number];
      expect([hash]).toEqual(await reader.readHashes([{ level, index }]));
    }
  });

  it('can be cloned, and the clone goes its own way', () => {
    const edge = new Frontier();
    for (const leaf of leaves.slice(0, 5)) edge.append(leaf);
    const clone = edge.clone();
    clone.append(leaves[5]!);
    expect(edge.root()).toEqual(roots[5]);
    expect(clone.root()).toEqual(roots[6]);
  });

  it('refuses hashes of another number or length', () => {
    expect(() => new Frontier(3, [leaves[0]!])).toThrow(fails('malformed'));
    expect(() => new Frontier(1, [new Uint8Array(31)])).toThrow(fails('malformed'));
    expect(() => new Frontier().append(new Uint8Array(33))).toThrow(fails('malformed'));
    expect(() => peaks(-1)).toThrow(fails('malformed'));
    expect(() => peaks(2 ** 53)).toThrow(fails('malformed'));
  });

  it('counts beyond 32 bits', () => {
    expect(peaks(2 ** 40 + 3)).toEqual([
      { level: 40, index: 0 },
      { level: 1, index: 2 ** 39 },
      { level: 0, index: 2 ** 40 + 2 },
    ]);
    const edge = new Frontier(2 ** 40 + 1, [leaves[0]!, leaves[1]!]);
    const completed: unknown[] = [];
    edge.append(leaves[2]!, (node) => completed.push(node));
    expect(completed).toEqual([
      { level: 0, index: 2 ** 40 + 1 },
      { level: 1, index: 2 ** 39 },
    ]);
    expect(edge.root()).toEqual(mth([leaves[0]!, mth([leaves[1]!, leaves[2]!])]));
  });
});

describe('roots and proofs from a reader of hashes', () => {
  it('verify for every leaf of every tree, and for no other leaf, index, size or root', async () => {
    for (let size = 1; size <= 20; size++) {
      expect(await treeRoot(size, reader)).toEqual(roots[size]);
      for (let index = 0; index < size; index++) {
        const proof = await proveInclusion(index, size, reader);
        expect(verifyInclusion(proof, leaves[index]!, roots[size]!)).toBe(true);
        expect(verifyInclusion(proof, leaves[index + 1]!, roots[size]!)).toBe(false);
        expect(verifyInclusion({ ...proof, index: index ^ 1 }, leaves[index]!, roots[size]!)).toBe(false);
        expect(verifyInclusion({ ...proof, size: size * 4 }, leaves[index]!, roots[size]!)).toBe(false);
        expect(verifyInclusion(proof, leaves[index]!, roots[size + 1]!)).toBe(false);
      }
    }
    expect(await treeRoot(0, reader)).toEqual(EMPTY_ROOT);
  });

  it('verify between every two sizes, and between no others', async () => {
    for (let older = 0; older <= 20; older++) {
      for (let newer = older; newer <= 20; newer++) {
        const proof = await proveConsistency(older, newer, reader);
        expect(verifyConsistency(head(older), head(newer), proof)).toBe(true);
        if (older === 0) continue;
        const forked = { size: older, root: roots[older - 1]! };
        expect(verifyConsistency(forked, head(newer), proof)).toBe(false);
        expect(verifyConsistency(head(older), { size: newer, root: roots[newer + 1]! }, proof)).toBe(false);
        expect(verifyConsistency(head(older), { size: newer + 64, root: roots[newer]! }, proof)).toBe(false);
      }
    }
  });

  it('with steps left over are refused, although their hashes lead to the roots', async () => {
    const proof = await proveConsistency(7, 8, reader);
    expect(verifyConsistency(head(7), head(8), proof)).toBe(true);
    // The last step would be above the root of 4 leaves.
    expect(verifyConsistency({ ...head(7), size: 3 }, { ...head(8), size: 4 }, proof)).toBe(false);
    const inclusion = await proveInclusion(7, 8, reader);
    expect(verifyInclusion({ ...inclusion, index: 3, size: 4 }, leaves[7]!, roots[8]!)).toBe(false);
  });

  it('are refused with any hash changed, left out or added', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(69),
        fc.integer({ min: 1, max: 70 }),
        fc.nat(),
        fc.nat(255),
        async (index, size, where, bit) => {
          fc.pre(index < size && index > 0);
          const inclusion = await proveInclusion(index, size, reader);
          const consistency = await proveConsistency(index, size, reader);
          const verdicts = [
            (hashes: readonly Uint8Array[]) => verifyInclusion({ ...inclusion, hashes }, leaves[index]!, roots[size]!),
            (hashes: readonly Uint8Array[]) => verifyConsistency(head(index), head(size), hashes),
          ];
          for (const [i, hashes] of [inclusion.hashes, consistency].entries()) {
            const at = where % hashes.length;
            const changed = hashes.map((hash) => hash.slice());
            changed[at]![bit >> 3]! ^= 1 << (bit & 7);
            expect(verdicts[i]!(hashes)).toBe(true);
            expect(verdicts[i]!(changed)).toBe(false);
            expect(verdicts[i]!(hashes.toSpliced(at, 1))).toBe(false);
            expect(verdicts[i]!(hashes.toSpliced(at, 0, leaves[0]!))).toBe(false);
            expect(verdicts[i]!([...hashes, leaves[0]!])).toBe(false);
            expect(verdicts[i]!(hashes.map((hash, j) => (j === at ? hash.slice(1) : hash)))).toBe(false);
          }
        },
      ),
    );
  });

  it('are not made for what is not in the tree', async () => {
    await expect(proveInclusion(5, 5, reader)).rejects.toThrow(fails('malformed'));
    await expect(proveInclusion(-1, 5, reader)).rejects.toThrow(fails('malformed'));
    await expect(proveInclusion(Number.NaN, 5, reader)).rejects.toThrow(fails('malformed'));
    await expect(proveConsistency(6, 5, reader)).rejects.toThrow(fails('malformed'));
    await expect(proveConsistency(-1, 5, reader)).rejects.toThrow(fails('malformed'));
    const short: HashReader = { readHashes: async () => [] };
    await expect(proveInclusion(1, 5, short)).rejects.toThrow(fails('unexpected'));
  });

  it('never verify for numbers that are none', async () => {
    const proof = await proveInclusion(1, 5, reader);
    for (const bad of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53]) {
      expect(verifyInclusion({ ...proof, index: bad }, leaves[1]!, roots[5]!)).toBe(false);
      expect(verifyInclusion({ ...proof, size: bad }, leaves[1]!, roots[5]!)).toBe(false);
      expect(verifyConsistency({ size: bad, root: roots[5]! }, head(6), [])).toBe(false);
      expect(verifyConsistency(head(5), { size: bad, root: roots[6]! }, [])).toBe(false);
    }
    expect(verifyInclusion({ index: 0, size: 0, hashes: [] }, leaves[0]!, EMPTY_ROOT)).toBe(false);
  });
});

describe('an empty tree', () => {
  it('is consistent with any tree, without a proof, if its root is that of nothing', () => {
    expect(verifyConsistency(head(0), head(7), [])).toBe(true);
    expect(verifyConsistency(head(0), head(0), [])).toBe(true);
    expect(verifyConsistency(head(0), head(7), [leaves[0]!])).toBe(false);
    expect(verifyConsistency({ size: 0, root: roots[1]! }, head(7), [])).toBe(false);
    expect(verifyConsistency({ size: 0, root: roots[1]! }, { size: 0, root: roots[1]! }, [])).toBe(false);
    expect(verifyConsistency(head(7), head(0), [])).toBe(false);
  });
});

describe('another implementation’s consistency proofs', () => {
  const heads = litewitness.checkpoints.map((note) => parseCheckpoint(parseNote(note).text));
  it.each(litewitness.consistency)('from $older to $newer: $valid', ({ older, newer, proof, valid }) => {
    const [a, b] = [older, newer].map((size) => heads.find((checkpoint) => checkpoint.size === size)!);
    expect(verifyConsistency(a!, b!, proof.map(fromBase64))).toBe(valid);
  });

  it('are of trees whose roots the right edge has too', () => {
    const edge = new Frontier();
    for (let i = 0; i < 5; i++) {
      edge.append(Uint8Array.of(0x2a, i, ...new Uint8Array(30)));
      const same = heads.find(({ size }) => size === edge.size);
      if (same) expect(edge.root()).toEqual(same.root);
    }
    expect(heads.map(({ size }) => size)).toEqual([1, 3, 5]);
  });
});
