/** Holdfast's transparency log formats against Go's: what either makes, the other verifies. */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { p256 } from '@noble/curves/nist.js';
import { describe, expect, it } from 'vitest';
import { Secret, sha256, utf8 } from '../../../src/core/index.ts';
import { ed25519KeyFromSeed } from '../../../src/crypto/index.ts';
import {
  cosign,
  fromBase64,
  hashEntry,
  type NoteSigner,
  newVerifierKey,
  parseCheckpoint,
  parseNote,
  parseTlogProof,
  parseVerifierKey,
  proveConsistency,
  proveInclusion,
  provesInclusion,
  type SignatureType,
  serialiseCheckpoint,
  serialiseNote,
  serialiseTlogProof,
  signNote,
  type TileContent,
  TileWriter,
  tileHashReader,
  tilePath,
  toBase64,
  treeRoot,
  type VerifierKey,
  verifyConsistency,
  verifyInclusion,
  verifyNote,
} from '../../../src/trust/index.ts';
import { buildFormats } from '../go.ts';

const go = buildFormats();
if (go.missing !== undefined) process.stdout.write(`Skipped: ${go.missing}, so nothing is compared with Go.\n`);

const folder = mkdtempSync(join(tmpdir(), 'log-'));
let files = 0;
function file(content: string | Uint8Array): string {
  files++;
  const path = join(folder, `file-${files}`);
  writeFileSync(path, content);
  return path;
}

/** A key that both sides sign with: ours as a signer, Go's as a signer key. */
interface SharedKey {
  readonly signer: NoteSigner;
  readonly key: VerifierKey;
  readonly skey: string;
}

function sharedKey(name: string, type: SignatureType): SharedKey {
  const secret = sha256(utf8(`${type} ${name}`));
  const ed25519 = ed25519KeyFromSeed(new Secret(secret.slice()));
  const key = newVerifierKey(name, type, type === 'ecdsa' ? p256.getPublicKey(secret, false) : ed25519.publicKey);
  const typed = Uint8Array.of({ ed25519: 1, ecdsa: 2, cosignature: 4 }[type], ...secret);
  const sign = async (message: Uint8Array) =>
    type === 'ecdsa' ? p256.sign(message, secret, { format: 'der' }) : ed25519.sign(message);
  return {
    signer: { name, verifierKey: key.text, sign },
    key,
    skey: `PRIVATE+KEY+${name}+${key.id}+${toBase64(typed)}`,
  };
}

const log = sharedKey('log.example/a', 'ed25519');
const operator = sharedKey('operator.example/bundle', 'ecdsa');
const witness = sharedKey('witness.example/w1', 'cosignature');
const stranger = sharedKey('stranger.example', 'ed25519');
const checkpointText = (size: number, root: Uint8Array) => serialiseCheckpoint({ origin: log.key.name, size, root });
const text = checkpointText(9, new Uint8Array(32).fill(9));

interface GoNote {
  readonly text: string;
  readonly verified: readonly string[];
  readonly times: Readonly<Record<string, number>>;
  readonly unverified: readonly string[];
}

describe.skipIf(go.missing !== undefined)('notes', () => {
  const names = [log, operator, witness].map(({ key }) => key.name);
  const vkeys = [log, operator, witness].map(({ key }) => key.text);

  it('that Holdfast signs verify in Go, by every type of signature', async () => {
    for (const each of [text, text.replace('\n9\n', '\n9007199254740991\n')]) {
      const note = await signNote(each, [log.signer, operator.signer, stranger.signer]);
      const signatures = [...note.signatures, await cosign(each, witness.signer, 1_800_000_000)];
      const path = file(serialiseNote({ text: each, signatures }));
      const opened = go.run<GoNote>('verify-note', path, ...vkeys);
      expect(opened).toEqual({
        text: each,
        verified: names,
        times: { 'witness.example/w1': 1_800_000_000 },
        unverified: ['stranger.example'],
      });
    }
  });

  it('of empty lines and of any script verify in Go', async () => {
    const odd = '\n\nłódź \u2014 x\n\n\u2014 log.example/a AAAA\n\n\u{1f600}\ufeff\n\n';
    const path = file(serialiseNote(await signNote(odd, [log.signer, operator.signer])));
    expect(go.run<GoNote>('verify-note', path, ...vkeys)).toMatchObject({ text: odd, verified: names.slice(0, 2) });
  });

  it('that Go signs verify in Holdfast', () => {
    for (const each of [text, 'any text\n\nwith an empty line\n']) {
      const skeys = each === text ? [log, operator, witness, stranger] : [operator, log];
      const signed = go.run<string>('sign-note', file(each), ...skeys.map(({ skey }) => skey));
      const note = parseNote(signed);
      expect(note.text).toBe(each);
      const known = skeys.filter((key) => key !== stranger).map(({ key }) => key);
      expect(verifyNote(note, known).map(({ key }) => key)).toEqual(known);
    }
  });

  it('that one refuses, the other refuses', async () => {
    const note = serialiseNote(await signNote(text, [log.signer, operator.signer]));
    const other = serialiseNote(await signNote(text.replace('9', '8'), [log.signer]));
    for (const changed of [
      note.replace('\n9\n', '\n8\n'),
      note.replace('\n\n', '\n'),
      note.slice(0, -1),
      `${note}\n`,
      note.replace('\u2014', '-'),
      `\n${note}`,
      note.replace('\n', '\r\n'),
      `${text}\n${other.slice(other.lastIndexOf('\n\n') + 2)}`,
      text,
    ]) {
      expect(() => go.run('verify-note', file(changed), ...vkeys)).toThrow();
      expect(() => verifyNote(parseNote(changed), vkeys.map(parseVerifierKey))).toThrow();
    }
  });
});

/** Of lengths that make the entries differ in more than a number. */
const entries = Array.from({ length: 1030 }, (_, i) => utf8(`entry ${i}\n${'x'.repeat((i * 37) % 300)}`));
const encodedEntries = JSON.stringify(entries.map(toBase64));

function store(root: string, tiles: readonly TileContent[]): void {
  for (const { tile, data } of tiles) {
    const path = join(root, tilePath(tile));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, data);
  }
}

/** Every file under a folder with its content. */
function contents(root: string): Map<string, Uint8Array> {
  const paths = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.sort().map((path) => [path.slice(root.length), new Uint8Array(readFileSync(path))]));
}

function ourLog(size: number, old = 0) {
  const writer = new TileWriter();
  for (const entry of entries.slice(0, old)) writer.append(entry);
  if (old > 0) writer.take();
  for (const entry of entries.slice(old, size)) writer.append(entry);
  const root = mkdtempSync(join(tmpdir(), 'ours-'));
  store(root, writer.take());
  return { root, head: writer.head() };
}

const SIZES = [1, 2, 3, 255, 256, 257, 511, 512, 513, 1030];

describe.skipIf(go.missing !== undefined)('tiled logs', () => {
  it.each(SIZES)('of %i entries are the same files, byte for byte', (size) => {
    const { root, head } = ourLog(size);
    const theirs = mkdtempSync(join(tmpdir(), 'theirs-'));
    const list = file(JSON.stringify(entries.slice(0, size).map(toBase64)));
    expect(go.run('write-log', theirs, list, 0)).toEqual({ size, root: toBase64(head.root) });
    expect(contents(root)).toEqual(contents(theirs));
    expect(go.run('read-log', root, size, toBase64(head.root))).toEqual(entries.slice(0, size).map(toBase64));
  });

  it.each([
    [1, 2],
    [255, 256],
    [256, 257],
    [200, 1030],
    [512, 1024],
  ])('that grow from %i to %i entries write the same files', (old, size) => {
    const { root } = ourLog(size, old);
    const theirs = mkdtempSync(join(tmpdir(), 'theirs-'));
    go.run('write-log', theirs, file(JSON.stringify(entries.slice(0, size).map(toBase64))), old);
    expect(contents(root)).toEqual(contents(theirs));
  });

  it('give the same proofs', async () => {
    const { root, head } = ourLog(entries.length);
    const reader = tileHashReader(head.size, async (tile) => new Uint8Array(readFileSync(join(root, tilePath(tile)))));
    const words = [root, head.size, toBase64(head.root)];
    for (const index of [0, 1, 255, 256, 700, 1023, 1024, 1029]) {
      const { hashes } = await proveInclusion(index, head.size, reader);
      expect(go.run('prove-inclusion', ...words, index)).toEqual(hashes.map(toBase64));
    }
    for (const old of [1, 2, 3, 255, 256, 257, 700, 1024, 1029, 1030]) {
      const proof = (await proveConsistency(old, head.size, reader)).map(toBase64);
      expect(go.run('prove-consistency', ...words, old)).toEqual(proof);
    }
  });
});

describe.skipIf(go.missing !== undefined)('proofs', () => {
  it('have the same verdict in both, right or wrong', async () => {
    const { root, head } = ourLog(entries.length);
    const reader = tileHashReader(head.size, async (tile) => new Uint8Array(readFileSync(join(root, tilePath(tile)))));
    const roots = new Map(
      await Promise.all(Array.from({ length: 40 }, async (_, i) => [i + 1, await treeRoot(i + 1, reader)] as const)),
    );
    const headOf = (size: number) => ({ size, root: roots.get(size)! });
    const encoded = ({ size, root: hash }: { size: number; root: Uint8Array }) => ({ size, root: toBase64(hash) });
    const inclusion = [];
    const consistency = [];
    const few = Array.from({ length: 9 }, (_, i) => i + 1);
    for (const [older, newer] of few.flatMap((a) => few.filter((b) => b >= a).map((b) => [a, b] as const))) {
      const proof = await proveConsistency(older, newer, reader);
      for (const [a, b] of few.flatMap((x) => few.filter((y) => y >= x).map((y) => [x, y] as const))) {
        consistency.push({ older: { ...headOf(older), size: a }, newer: { ...headOf(newer), size: b }, proof });
      }
    }
    for (let size = 1; size <= 40; size++) {
      for (const [index, shift] of [0, 1, 2, 7, 8, 31, 38].flatMap((i) => [0, 1, -1].map((by) => [i, by] as const))) {
        if (index >= size || index + shift < 0) continue;
        const { hashes } = await proveInclusion(index, size, reader);
        const leaf = hashEntry(entries[index]!);
        inclusion.push({ index: index + shift, leaf, head: headOf(size), hashes });
        inclusion.push({ index, leaf, head: headOf(size), hashes: hashes.slice(1) });
        if (size < 40) inclusion.push({ index, leaf, head: { ...headOf(size), size: size + 1 }, hashes });
        const proof = await proveConsistency(index + 1, size, reader);
        consistency.push({ older: headOf(index + 1), newer: headOf(size), proof });
        if (proof.length > 0) {
          consistency.push({ older: headOf(index + 1), newer: headOf(size), proof: proof.slice(1) });
          consistency.push({ older: { ...headOf(index + 1), size: index + 2 }, newer: headOf(size), proof });
          consistency.push({ older: headOf(index + 1), newer: { ...headOf(size), size: size + 1 }, proof });
        }
      }
    }
    const includes = inclusion.map(({ index, leaf, head: { size, root: hash }, hashes }) =>
      verifyInclusion({ index, size, hashes }, leaf, hash),
    );
    const encodedInclusion = inclusion.map((each) => ({
      index: each.index,
      leaf: toBase64(each.leaf),
      head: encoded(each.head),
      proof: each.hashes.map(toBase64),
    }));
    expect(go.run('check-inclusion', file(JSON.stringify(encodedInclusion)))).toEqual(includes);
    expect(new Set(includes)).toEqual(new Set([true, false]));
    const consistent = consistency.map(({ older, newer, proof }) => verifyConsistency(older, newer, proof));
    const encodedConsistency = consistency.map((each) => ({
      older: encoded(each.older),
      newer: encoded(each.newer),
      proof: each.proof.map(toBase64),
    }));
    expect(go.run('check-consistency', file(JSON.stringify(encodedConsistency)))).toEqual(consistent);
    expect(new Set(consistent)).toEqual(new Set([true, false]));
  });

  it('kept as tlog-proof are the same text in both, and verify in both', async () => {
    const { root, head } = ourLog(300);
    const reader = tileHashReader(head.size, async (tile) => new Uint8Array(readFileSync(join(root, tilePath(tile)))));
    const note = await signNote(checkpointText(head.size, head.root), [log.signer]);
    const cosigned = {
      ...note,
      signatures: [...note.signatures, await cosign(note.text, witness.signer, 1_800_000_000)],
    };
    for (const [index, extra] of [[299], [7, utf8('extra')]] as const) {
      const { hashes } = await proveInclusion(index, head.size, reader);
      const proof = { index, hashes, checkpoint: cosigned, ...(extra && { extra }) };
      const written = serialiseTlogProof(proof);
      const parts = { index, hashes: hashes.map(toBase64), extra: extra ? toBase64(extra) : null };
      const checkpoint = file(serialiseNote(cosigned));
      const theirs = go.run<string>('write-proof', file(JSON.stringify(parts)), checkpoint);
      expect(theirs).toBe(written);
      expect(provesInclusion(parseTlogProof(theirs), hashEntry(entries[index]!))).toBe(true);
      const leaf = toBase64(hashEntry(entries[index]!));
      expect(go.run('check-proof', file(written), leaf, log.key.text, witness.key.text)).toMatchObject({ index });
      const wrong = toBase64(hashEntry(entries[index - 1]!));
      expect(() => go.run('check-proof', file(written), wrong, log.key.text, witness.key.text)).toThrow();
    }
  });

  it('that Go makes from its own log verify in Holdfast', () => {
    const theirs = mkdtempSync(join(tmpdir(), 'theirs-'));
    const made = go.run<{ size: number; root: string }>('write-log', theirs, file(encodedEntries), 0);
    const root = fromBase64(made.root);
    const signed = go.run<string>('sign-note', file(checkpointText(made.size, root)), log.skey, witness.skey);
    const note = parseNote(signed);
    expect(verifyNote(note, [log.key, witness.key])).toHaveLength(2);
    const head = parseCheckpoint(note.text);
    for (const index of [0, 511, 1029]) {
      const hashes = go.run<string[]>('prove-inclusion', theirs, made.size, made.root, index).map(fromBase64);
      expect(verifyInclusion({ index, size: head.size, hashes }, hashEntry(entries[index]!), head.root)).toBe(true);
    }
    for (const old of [1, 256, 1000]) {
      const proof = go.run<string[]>('prove-consistency', theirs, made.size, made.root, old).map(fromBase64);
      expect(verifyConsistency(ourLog(old).head, head, proof)).toBe(true);
    }
  });
});
