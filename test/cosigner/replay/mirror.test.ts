/** The copy of a log: only what gives the signed root gets in, and it stays whole whatever crashes. */

import { describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../../src/core/index.ts';
import { LogReader, MIRROR_TABLES, Mirror, type MirrorTable } from '../../../src/cosigner/replay/index.ts';
import { MemoryKeyValueStore } from '../../../src/store/index.ts';
import { encodeEntryBundle, proveConsistency, verifyConsistency } from '../../../src/trust/index.ts';
import { SampleLog } from '../sample-log.ts';

const log = new SampleLog().grow(600);
const newDisk = () => new MemoryKeyValueStore<MirrorTable>(undefined, MIRROR_TABLES);
const head = async (size: number, of = log) => ({ size, root: await of.root(size) });

describe('a mirror', () => {
  it('has the leaves and the roots of all sizes, also when it is opened again', async () => {
    const disk = newDisk();
    const first = new Mirror(disk, log.origin);
    for (const [from, to] of [
      [0, 1],
      [1, 300],
      [300, 600],
    ] as const) {
      await first.extend(log.leaves.slice(from, to), await head(to));
    }
    const mirror = new Mirror(disk, log.origin);
    expect(mirror.size).toBe(600);
    for (const size of [0, 1, 2, 255, 256, 257, 599, 600]) expect(mirror.root(size)).toEqual(await log.root(size));
    expect([...mirror.entries(298, 302)]).toEqual(log.leaves.slice(298, 302));
    const proof = await proveConsistency(123, 600, mirror);
    expect(verifyConsistency(await head(123), await head(600), proof)).toBe(true);
  });

  it('takes nothing that does not give the signed root', async () => {
    const mirror = new Mirror(newDisk(), log.origin);
    await mirror.extend(log.leaves.slice(0, 10), await head(10));
    const wrong = [...log.leaves.slice(10, 19), utf8('another')];
    for (const leaves of [wrong, log.leaves.slice(10, 19), log.leaves.slice(9, 19), []]) {
      await expect(mirror.extend(leaves, await head(20))).rejects.toMatchObject({ code: 'untrusted' });
    }
    expect(mirror.head).toEqual(await head(10));
    expect(() => mirror.entry(10)).toThrow(HoldfastError);
  });

  it('is whole after a crash before or after the commit', async () => {
    for (const point of ['before', 'after'] as const) {
      const disk = newDisk();
      const mirror = new Mirror(disk, log.origin);
      await mirror.extend(log.leaves.slice(0, 10), await head(10));
      disk.crashAtNextCommit(point);
      await expect(mirror.extend(log.leaves.slice(10, 20), await head(20))).rejects.toThrow('crashed');
      const again = new Mirror(disk.reopen(), log.origin);
      expect(again.size).toBe(point === 'before' ? 10 : 20);
      if (again.size === 10) await again.extend(log.leaves.slice(10, 20), await head(20));
      expect(again.root(20)).toEqual(await log.root(20));
    }
  });

  it('of several logs on one disk are apart, and one that is damaged is refused', async () => {
    const disk = newDisk();
    const other = new SampleLog('other.example').grow(5, 'other');
    await new Mirror(disk, log.origin).extend(log.leaves.slice(0, 10), await head(10));
    await new Mirror(disk, other.origin).extend(other.leaves, await head(5, other));
    expect(new Mirror(disk, other.origin).root(5)).toEqual(await other.root(5));
    for (const [key] of [...disk.entries('node')])
      await disk.commit([{ table: 'node', key, value: new Uint8Array(32) }]);
    expect(() => new Mirror(disk, log.origin)).toThrow(expect.objectContaining({ code: 'store_refused' }));
  });
});

describe('reading leaves', () => {
  /** A server that has only the bundles of `size` leaves, partial ones as a log of that size has them. */
  function serving(size: number, change: (path: string) => Uint8Array | undefined = () => undefined) {
    const asked: string[] = [];
    const get = async (url: URL) => {
      const path = url.pathname.slice('/prefix/'.length);
      asked.push(path);
      const body = change(path) ?? bundle(path, size);
      return { status: body ? 200 : 404, body: new Uint8Array(body ?? []) };
    };
    return { asked, reader: new LogReader(new URL('https://log.example/prefix'), { get }) };
  }
  function bundle(path: string, size: number): Uint8Array | undefined {
    const [, index, width = '256'] = /^tile\/entries\/(\d{3})(?:\.p\/(\d+))?$/.exec(path) ?? [];
    const start = Number(index) * 256;
    const exact = Math.min(size - start, 256) === Number(width);
    return index !== undefined && exact ? encodeEntryBundle(log.leaves.slice(start, start + Number(width))) : undefined;
  }

  it('asks for the bundles that have them, partial ones by their width', async () => {
    const { asked, reader } = serving(600);
    expect(await reader.leaves(250, 600)).toEqual(log.leaves.slice(250, 600));
    expect(asked).toEqual(['tile/entries/000', 'tile/entries/001', 'tile/entries/002.p/88']);
  });

  it('takes the full bundle where the partial one has gone', async () => {
    const { asked, reader } = serving(600);
    expect(await reader.leaves(0, 200)).toEqual(log.leaves.slice(0, 200));
    expect(asked).toEqual(['tile/entries/000.p/200', 'tile/entries/000']);
  });

  it('gives up where leaves are missing, malformed or too many', async () => {
    await expect(serving(100).reader.leaves(0, 200)).rejects.toMatchObject({ code: 'not_ready' });
    const short = serving(600, () => encodeEntryBundle(log.leaves.slice(0, 3)));
    await expect(short.reader.leaves(0, 200)).rejects.toMatchObject({ code: 'malformed' });
    await expect(serving(600).reader.leaves(0, 2_000_000)).rejects.toMatchObject({ code: 'too_large' });
    const get = async () => ({
      status: 200,
      body: encodeEntryBundle(Array.from({ length: 256 }, () => new Uint8Array(1000))),
    });
    const small = { timeout: 1000, maximumBytes: 1_000_000, maximumLeaves: 10_000 };
    const reader = new LogReader(new URL('https://log.example'), { get }, small);
    await expect(reader.leaves(0, 2560)).rejects.toMatchObject({ code: 'too_large' });
    const failing = new LogReader(new URL('https://log.example'), {
      get: async () => ({ status: 500, body: new Uint8Array() }),
    });
    await expect(failing.checkpoint()).rejects.toMatchObject({ code: 'not_ready' });
  });
});
