import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesToHex, equalBytes, Secret, systemRandom } from '../../src/core/index.ts';
import { type MaskedShare, type NodeOutput, newSeed, protectSeed, recoverSeed } from '../../src/crypto/index.ts';

const outputsOf = (nodes: readonly number[]): NodeOutput[] => nodes.map((node) => ({ node, output: systemRandom(32) }));
const accepting = (seed: Secret) => (candidate: Secret) => equalBytes(candidate.reveal(), seed.reveal());
const wrong = (output: NodeOutput): NodeOutput => ({ node: output.node, output: systemRandom(32) });

async function record(n: number, threshold = Math.floor(n / 2) + 1) {
  const seed = newSeed();
  const outputs = outputsOf(Array.from({ length: n }, (_, i) => 10 * i + 3));
  return { seed, threshold, outputs, shares: await protectSeed({ seed, threshold, outputs }), accept: accepting(seed) };
}

describe('protectSeed', () => {
  test('gives each node exactly its number, an x of its own and 32 masked bytes', async () => {
    for (const n of [1, 2, 3, 5, 7, 9]) {
      const { shares, outputs } = await record(n);
      expect(shares.map(({ node }) => node)).toEqual(outputs.map(({ node }) => node));
      expect(new Set(shares.map(({ x }) => x)).size).toBe(n);
      for (const share of shares) {
        expect(Object.keys(share).sort()).toEqual(['masked', 'node', 'x']);
        expect(share.x >= 1 && share.x <= 255).toBe(true);
        expect(share.masked).toHaveLength(32);
      }
    }
  });

  test('masks anew each time, and differently for nodes with equal outputs', async () => {
    const outputs = [1, 2, 3].map((node) => ({ node, output: new Uint8Array(32) }));
    const seed = new Secret(new Uint8Array(32));
    const [first, second] = [
      await protectSeed({ seed, threshold: 2, outputs }),
      await protectSeed({ seed, threshold: 2, outputs }),
    ];
    const all = [...first, ...second].map(({ masked }) => bytesToHex(masked));
    expect(new Set(all).size).toBe(6);
  });

  test('refuses numbers and sizes out of range', async () => {
    const seed = newSeed();
    const refusals: [number, NodeOutput[], Secret][] = [
      [0, outputsOf([1]), seed],
      [2, outputsOf([1]), seed],
      [1, outputsOf([1, 2]), seed],
      [1.5, outputsOf([1, 2]), seed],
      [2, outputsOf([1, 1, 2]), seed],
      [5, outputsOf([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), seed],
      [2, [...outputsOf([1, 2]), { node: 3, output: new Uint8Array(31) }], seed],
      [2, outputsOf([1, 2, 3]), new Secret(new Uint8Array(31))],
      [0, [], seed],
    ];
    for (const [threshold, outputs, badSeed] of refusals) {
      await expect(protectSeed({ seed: badSeed, threshold, outputs })).rejects.toMatchObject({ code: 'bad_input' });
    }
  });
});

describe('recoverSeed', () => {
  test('finds the seed with any threshold of the answers, in any order, whatever else answers wrongly', async () => {
    const cases = fc.constantFrom(1, 3, 5, 7, 9).chain((n) => {
      const t = Math.floor(n / 2) + 1;
      const order = fc.shuffledSubarray([...Array(n).keys()], { minLength: t, maxLength: n });
      return order.chain((answering) => fc.tuple(fc.constant(n), fc.constant(answering), fc.nat(answering.length - t)));
    });
    await fc.assert(
      fc.asyncProperty(cases, fc.nat(), async ([n, answering, liars], rotation) => {
        const { seed, shares, outputs, threshold, accept } = await record(n);
        const answers = answering.map((i, at) => (at < liars ? wrong(outputs[i]!) : outputs[i]!));
        const lying = answers
          .slice(0, liars)
          .map(({ node }) => node)
          .sort((a, b) => a - b);
        const turned = answers.map((_, i) => answers[(i + rotation) % answers.length]!);
        const found = await recoverSeed({ shares, outputs: turned, threshold, accept });
        expect(bytesToHex(found.seed.reveal())).toBe(bytesToHex(seed.reveal()));
        expect(found.lying).toEqual(lying);
      }),
      { numRuns: 60 },
    );
  });

  test('names a node whose answer spoils a single bit of its share', async () => {
    const { shares, outputs, threshold, accept } = await record(5);
    const spoilt = shares.map((share, i) =>
      i === 2 ? { ...share, masked: share.masked.map((b, j) => (j === 31 ? b ^ 1 : b)) } : share,
    );
    expect((await recoverSeed({ shares: spoilt, outputs, threshold, accept })).lying).toEqual([outputs[2]!.node]);
  });

  test('says wrong_pin when the PIN is wrong, and whether an answer was to spare', async () => {
    const { shares, outputs, threshold, accept } = await record(5);
    const all = outputs.map(wrong);
    await expect(recoverSeed({ shares, outputs: all, threshold, accept })).rejects.toMatchObject({
      code: 'wrong_pin',
      details: { spare: true },
    });
    const few = all.slice(0, threshold);
    await expect(recoverSeed({ shares, outputs: few, threshold, accept })).rejects.toMatchObject({
      code: 'wrong_pin',
      details: { spare: false },
    });
    const oneLiar = [wrong(outputs[0]!), ...outputs.slice(1, threshold)];
    await expect(recoverSeed({ shares, outputs: oneLiar, threshold, accept })).rejects.toMatchObject({
      code: 'wrong_pin',
      details: { spare: false },
    });
  });

  test('never tries more than 126 seeds, and wipes those it refuses', async () => {
    const { shares, outputs, threshold } = await record(9);
    const tried: Secret[] = [];
    const accept = async (candidate: Secret) => {
      tried.push(candidate);
      return false;
    };
    await expect(recoverSeed({ shares, outputs, threshold, accept })).rejects.toMatchObject({ code: 'wrong_pin' });
    expect(tried).toHaveLength(126);
    expect(tried.every((seed) => seed.reveal().every((byte) => byte === 0))).toBe(true);
  });

  test('needs answers of a threshold of nodes that have a share', async () => {
    const { shares, outputs, threshold, accept } = await record(5);
    const strangers = outputsOf([900, 901, 902]);
    const answers = [...outputs.slice(0, threshold - 1), ...strangers];
    await expect(recoverSeed({ shares, outputs: answers, threshold, accept })).rejects.toMatchObject({
      code: 'no_majority',
    });
    const enough = [...strangers, ...outputs.slice(0, threshold)];
    expect((await recoverSeed({ shares, outputs: enough, threshold, accept })).lying).toEqual([]);
  });

  test.each<[string, (shares: MaskedShare[]) => MaskedShare[]]>([
    ['x = 0, which would be the seed itself', ([first, ...rest]) => [{ ...first!, x: 0 }, ...rest]],
    ['x = 256', ([first, ...rest]) => [{ ...first!, x: 256 }, ...rest]],
    ['x not whole', ([first, ...rest]) => [{ ...first!, x: 1.5 }, ...rest]],
    ['one x twice', ([first, ...rest]) => [{ ...first!, x: rest[0]!.x }, ...rest]],
    ['one node twice', ([first, ...rest]) => [{ ...first!, node: rest[0]!.node }, ...rest]],
    ['a short share', ([first, ...rest]) => [{ ...first!, masked: new Uint8Array(31) }, ...rest]],
    ['a long share', ([first, ...rest]) => [{ ...first!, masked: new Uint8Array(33) }, ...rest]],
    [
      'ten shares',
      (shares) => [
        ...shares,
        ...Array.from({ length: 5 }, (_, i) => ({ node: 900 + i, x: 250 + i, masked: new Uint8Array(32) })),
      ],
    ],
    ['no shares', () => []],
  ])('refuses a document with %s', async (_, spoil) => {
    const { shares, outputs, threshold } = await record(5);
    const accept = () => true;
    const spoilt = spoil(shares.map((share, i) => ({ ...share, x: i + 1 })));
    await expect(recoverSeed({ shares: spoilt, outputs, threshold, accept })).rejects.toMatchObject({
      code: 'malformed',
    });
  });

  test('refuses two answers of one node', async () => {
    const { shares, outputs, threshold, accept } = await record(3);
    const twice = [outputs[0]!, outputs[0]!, outputs[1]!];
    await expect(recoverSeed({ shares, outputs: twice, threshold, accept })).rejects.toMatchObject({
      code: 'bad_input',
    });
  });

  test('has these bytes: a share masked by another version must still open', async () => {
    // threshold 1 splits nothing, so that the one mask shows.
    const output = { node: 7, output: new Uint8Array(32).fill(2) };
    const [share] = await protectSeed({ seed: new Secret(new Uint8Array(32)), threshold: 1, outputs: [output] });
    expect(share!.x).toBe(1);
    expect(bytesToHex(share!.masked)).toBe('aa6a84069d63b3e8ce98e49fa5292c71c4e16695fd4b113375512c77d6a63b38');
  });
});
