/**
 * What fewer than the threshold of nodes hold tells no PIN from another.
 *
 * The adversary owns t-1 nodes with their OPRF keys and reads the whole public document. For each candidate PIN it
 * computes its own nodes' outputs and unmasks their shares, and then applies every test it can think of. A test that
 * some candidates pass and others do not is an offline oracle. The same adversary is let loose on records that are
 * broken on purpose, to show that it would find one.
 */

import { p256_oprf } from '@noble/curves/nist.js';
import { combine } from 'shamir-secret-sharing';
import { beforeAll, describe, expect, test } from 'vitest';
import { bytesToHex, codec, concatBytes, Secret, sha256, utf8 } from '../../src/core/index.ts';
import {
  blind,
  deriveKeys,
  finalize,
  hkdf,
  openEnvelope,
  protectSeed,
  type SeedKeys,
  sealEnvelope,
} from '../../src/crypto/index.ts';
import { maskShare } from '../../src/crypto/shares.ts';

const NODES = [1, 2, 3, 4, 5];
const THRESHOLD = 3;
const CANDIDATES = 64;
const RIGHT = 41;
const binding = utf8('fleet, record, generation');

/** The public document, as far as it depends on secrets; `more` is what a broken variant adds for a node. */
interface Document {
  readonly shares: readonly {
    readonly node: number;
    readonly x?: number;
    readonly masked: Uint8Array;
    readonly more?: Uint8Array;
  }[];
  readonly envelope: Uint8Array;
  readonly confirmKey: Uint8Array;
  readonly ownerKey: Uint8Array;
}

/** outputs[candidate][node index]: what the nodes' keys give for each PIN. */
let outputs: Uint8Array[][];
const rightOutputs = () => NODES.map((node, i) => ({ node, output: outputs[RIGHT]![i]! }));
const seed = () => new Secret(sha256(utf8('seed')));

beforeAll(() => {
  const keys = NODES.map((node) => p256_oprf.oprf.deriveKeyPair(sha256(Uint8Array.of(node)), utf8('node')).secretKey);
  outputs = Array.from({ length: CANDIDATES }, (_, pin) => {
    const input = utf8(String(pin).padStart(4, '0'));
    const blinded = blind(input);
    return keys.map((key) => finalize(input, blinded.blind, p256_oprf.oprf.blindEvaluate(key, blinded.blindedElement)));
  });
});

function publicPart(keys: SeedKeys) {
  const envelope = sealEnvelope(keys.encryptionKey, binding, utf8('the backup key'));
  return { envelope, confirmKey: keys.confirmKey.publicKey, ownerKey: keys.ownerKey.publicKey };
}

async function honest(threshold = THRESHOLD): Promise<Document> {
  return {
    shares: await protectSeed({ seed: seed(), threshold, outputs: rightOutputs() }),
    ...publicPart(deriveKeys(seed())),
  };
}

/** Broken on purpose: the x coordinate, which is the node's number, goes under the mask with the share. */
async function withMaskedX(): Promise<Document> {
  const document = await honest();
  const shares = document.shares.map(({ node, masked }, i) => {
    const output = { node, output: outputs[RIGHT]![i]! };
    return { node, masked: maskShare(concatBytes(maskShare(masked, output), Uint8Array.of(node)), output) };
  });
  return { ...document, shares };
}

/** Broken on purpose: a tag of each node's output, by which a client would know at once which node lied. */
async function withTags(): Promise<Document> {
  const document = await honest();
  const shares = document.shares.map((share, i) => ({ ...share, more: hkdf(outputs[RIGHT]![i]!, utf8('tag'), 16) }));
  return { ...document, shares };
}

/** Broken on purpose: a commitment to each share. */
async function withCommitments(): Promise<Document> {
  const document = await honest();
  const shares = document.shares.map((share, i) => {
    const plain = maskShare(share.masked, { node: share.node, output: outputs[RIGHT]![i]! });
    return { ...share, more: sha256(plain) };
  });
  return { ...document, shares };
}

/** Broken on purpose: bytes of the share that are always the same, such as a version or a checksum. */
async function withPrefix(): Promise<Document> {
  const document = await honest();
  const shares = document.shares.map((share, i) => {
    const output = { node: share.node, output: outputs[RIGHT]![i]! };
    const plain = maskShare(share.masked, output);
    return { ...share, masked: maskShare(plain.fill(0, 0, 6), output) };
  });
  return { ...document, shares };
}

/** All shares of one more record, as the right PIN unmasks them. */
async function rightShares(): Promise<Uint8Array[]> {
  const document = await honest();
  return document.shares.map((share, i) => maskShare(share.masked, { node: share.node, output: outputs[RIGHT]![i]! }));
}

/** What a candidate PIN would mean for node `i`. */
function unmaskOne(document: Document, candidate: number, i: number) {
  const share = document.shares[i]!;
  const output = outputs[candidate]![i]!;
  const plain = maskShare(share.masked, { node: share.node, output });
  const infos = ['tag', 'share tag', 'commitment'].flatMap((name) => [
    utf8(name),
    codec.message(`holdfast v1 ${name}`, {}).encode({}),
  ]);
  /** What a client might have made of this one output or share, to store it. */
  const made = [output, plain, sha256(output), sha256(plain), ...infos.map((info) => hkdf(output, info, 16))];
  return { ...share, output, plain, made };
}
type Unmasked = ReturnType<typeof unmaskOne>;

const unmasked = new WeakMap<Document, Unmasked[][]>();
/** The shares of `subset` (indices of nodes) that a candidate PIN would mean. */
function unmask(document: Document, candidate: number, subset: readonly number[]): Unmasked[] {
  const all = unmasked.get(document) ?? outputs.map((_, pin) => NODES.map((_, i) => unmaskOne(document, pin, i)));
  unmasked.set(document, all);
  return subset.map((i) => all[candidate]![i]!);
}

const contains = (haystack: string, needle: Uint8Array) => haystack.includes(bytesToHex(needle));
const documentText = (document: Document) =>
  [
    ...document.shares.flatMap(({ masked, more }) => [masked, more ?? new Uint8Array(0)]),
    document.envelope,
    document.confirmKey,
    document.ownerKey,
  ]
    .map(bytesToHex)
    .join('|');

/** A seed, if these values were all that is needed for one, made from the plain shares in each way that comes to mind. */
async function possibleSeeds(unmasked: readonly Unmasked[]): Promise<Uint8Array[]> {
  const points = unmasked.map(({ plain, x }) => concatBytes(plain.slice(0, 32), Uint8Array.of(x ?? plain[32]!)));
  const distinct = new Set(points.map((point) => point[32])).size === points.length;
  const joined = points.length > 1 && distinct ? [await combine(points)] : [];
  return [...unmasked.flatMap(({ plain, output }) => [plain.slice(0, 32), output]), ...joined];
}

/** Verdicts on seeds already tried on a document: the subsets overlap. */
const tried = new WeakMap<Document, Map<string, boolean>>();

function fits(document: Document, bytes: Uint8Array): boolean {
  const verdicts = tried.get(document) ?? new Map<string, boolean>();
  tried.set(document, verdicts);
  const name = bytesToHex(bytes);
  if (!verdicts.has(name)) verdicts.set(name, fitsUntried(document, bytes));
  return verdicts.get(name)!;
}

function fitsUntried(document: Document, bytes: Uint8Array): boolean {
  const keys = deriveKeys(new Secret(bytes));
  if (bytesToHex(keys.confirmKey.publicKey) === bytesToHex(document.confirmKey)) return true;
  if (bytesToHex(keys.ownerKey.publicKey) === bytesToHex(document.ownerKey)) return true;
  try {
    openEnvelope(keys.encryptionKey, binding, document.envelope);
    return true;
  } catch {
    return false;
  }
}

/** The adversary's tests of one candidate: what its nodes' unmasked values say about the document. */
const TESTS: Record<string, (document: Document, unmasked: readonly Unmasked[]) => boolean | Promise<boolean>> = {
  'an x coordinate is possible': (_, unmasked) => unmasked.every(({ x, plain }) => (x ?? plain[32]!) !== 0),
  'the x coordinates are distinct': (_, unmasked) =>
    new Set(unmasked.map(({ x, plain }) => x ?? plain[32])).size === unmasked.length,
  'a masked byte is the node’s number': (_, unmasked) =>
    unmasked.every(({ plain, node }) => plain.length === 32 || plain[32] === node),
  'the shares begin alike': (_, unmasked) =>
    new Set(unmasked.map(({ plain }) => bytesToHex(plain.slice(0, 6)))).size === 1,
  'something made from an output or a share stands in the document': (document, unmasked) => {
    const text = documentText(document);
    return unmasked.some(({ made }) => made.some((bytes) => contains(text, bytes.subarray(0, 8))));
  },
  'a seed made of them has the public keys or opens the envelope': async (document, unmasked) =>
    (await possibleSeeds(unmasked)).some((bytes) => fits(document, bytes)),
};

function* subsets(size: number, from = 0): Generator<number[]> {
  if (size === 0) yield [];
  else for (let i = from; i < NODES.length; i++) for (const rest of subsets(size - 1, i + 1)) yield [i, ...rest];
}

/** For each test that tells candidates apart: the fewest that pass or fail, and whether the right one is among them. */
async function oracles(
  document: Document,
  names: readonly string[] = Object.keys(TESTS),
): Promise<Map<string, { survivors: number; right: boolean }>> {
  const found = new Map<string, { survivors: number; right: boolean }>();
  for (const name of names) {
    const passes = TESTS[name]!;
    for (const subset of [...subsets(1), ...subsets(THRESHOLD - 1)]) {
      const passing: number[] = [];
      for (let pin = 0; pin < CANDIDATES; pin++)
        if (await passes(document, unmask(document, pin, subset))) passing.push(pin);
      const tellsApart = passing.length > 0 && passing.length < CANDIDATES;
      const fewest = found.get(name)?.survivors ?? CANDIDATES;
      if (tellsApart && passing.length < fewest)
        found.set(name, { survivors: passing.length, right: passing.includes(RIGHT) });
    }
  }
  return found;
}

/** What one test alone tells: the others take their time. */
const oracle = async (document: Document, name: string) => (await oracles(document, [name])).get(name);

/** Whether values from 0 to `kinds - 1` look uniform: Pearson's statistic is at most 10 standard deviations too large. */
function looksUniform(values: readonly number[], kinds: number): boolean {
  const counts = new Array<number>(kinds).fill(0);
  for (const value of values) counts[value]!++;
  const expected = values.length / kinds;
  const statistic = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  const degrees = kinds - 1;
  return statistic < degrees + 10 * Math.sqrt(2 * degrees);
}
const bytesLookUniform = (values: readonly Uint8Array[]) =>
  looksUniform(
    values.flatMap((value) => [...value]),
    256,
  );
/** Fewer samples: the upper halves of the bytes at one position. */
const positionLooksUniform = (values: readonly Uint8Array[], at: number) =>
  looksUniform(
    values.map((value) => value[at]! >> 4),
    16,
  );

describe('a record', () => {
  test('has nothing of a node but its number, x and 32 masked bytes', async () => {
    for (const share of (await honest()).shares) {
      expect(Object.keys(share).sort()).toEqual(['masked', 'node', 'x']);
      expect(share.masked).toHaveLength(32);
    }
  });

  test('passes or fails every test of the adversary for all candidates alike', async () => {
    expect([...(await oracles(await honest()))]).toEqual([]);
  });

  test('leaves each candidate’s shares consistent with every seed', async () => {
    const document = await honest();
    const target = sha256(utf8('any seed at all'));
    // In GF(256), shifting all x by a constant moves the value at that constant to 0, where the library evaluates.
    const shifted = (points: readonly Uint8Array[], by: number) =>
      points.map((p) => p.map((v, i) => (i === 32 ? v ^ by : v)));
    for (const subset of subsets(THRESHOLD - 1)) {
      const honestNode = NODES.findIndex((_, i) => !subset.includes(i));
      const x = document.shares[honestNode]!.x!;
      for (const pin of [RIGHT, 0, 1, CANDIDATES - 1]) {
        const points = unmask(document, pin, subset).map((share) => concatBytes(share.plain, Uint8Array.of(share.x!)));
        for (const wanted of [target, seed().reveal()]) {
          const y = await combine(shifted([...points, concatBytes(wanted, Uint8Array.of(0))], x));
          const completed = await combine([...points, concatBytes(y, Uint8Array.of(x))]);
          expect(bytesToHex(completed)).toBe(bytesToHex(wanted));
        }
      }
    }
  });

  test('unmasks to uniform bytes under all PINs, by node and by position', async () => {
    const document = await honest();
    const all = NODES.map((_, i) =>
      Array.from({ length: CANDIDATES }, (_, pin) => unmask(document, pin, [i])[0]!.plain),
    );
    for (const ofNode of all) expect(bytesLookUniform(ofNode)).toBe(true);
    for (let at = 0; at < 32; at++) expect(positionLooksUniform(all.flat(), at)).toBe(true);
    // Over many records the right PIN's shares are as uniform as the wrong ones'.
    const right: Uint8Array[] = [];
    for (let i = 0; i < 60; i++) right.push(...(await rightShares()));
    expect(bytesLookUniform(right)).toBe(true);
    for (let at = 0; at < 32; at++) expect(positionLooksUniform(right, at)).toBe(true);
  });

  test('is no oracle for its envelope and public keys, which the threshold of shares alone reaches', async () => {
    const document = await honest();
    const right = await possibleSeeds(unmask(document, RIGHT, [0, 2, 4]));
    expect(right.some((bytes) => fits(document, bytes))).toBe(true);
    const wrong = await possibleSeeds(unmask(document, RIGHT + 1, [0, 2, 4]));
    expect(wrong.some((bytes) => fits(document, bytes))).toBe(false);
  });
});

describe('the adversary finds the right PIN in a record that', () => {
  test('masks the x coordinate with the share', async () => {
    const found = await oracle(await withMaskedX(), 'a masked byte is the node’s number');
    expect(found).toMatchObject({ right: true });
    expect(found!.survivors).toBeLessThan(CANDIDATES / 8);
  });

  test('has a tag for each node', async () => {
    const found = await oracle(await withTags(), 'something made from an output or a share stands in the document');
    expect(found).toEqual({ survivors: 1, right: true });
  });

  test('has a commitment to each share', async () => {
    const found = await oracle(
      await withCommitments(),
      'something made from an output or a share stands in the document',
    );
    expect(found).toEqual({ survivors: 1, right: true });
  });

  test('masks predictable bytes', async () => {
    const found = await oracle(await withPrefix(), 'the shares begin alike');
    expect(found).toMatchObject({ right: true });
    expect(found!.survivors).toBeLessThan(4);
  });

  test('was split with too low a threshold', async () => {
    const found = await oracle(
      await honest(THRESHOLD - 1),
      'a seed made of them has the public keys or opens the envelope',
    );
    expect(found).toEqual({ survivors: 1, right: true });
  });
});

test('the statistics see bytes that are not uniform', () => {
  const bytes = Array.from({ length: CANDIDATES }, (_, i) => sha256(Uint8Array.of(i)));
  expect(bytesLookUniform(bytes)).toBe(true);
  expect(positionLooksUniform(bytes, 0)).toBe(true);
  const prefixed = bytes.map((value) => value.map((byte, i) => (i === 0 ? 1 : byte)));
  expect(bytesLookUniform(prefixed)).toBe(false);
  expect(positionLooksUniform(prefixed, 0)).toBe(false);
  expect(bytesLookUniform(bytes.map((value) => value.map((byte) => byte & 0x7f)))).toBe(false);
});
