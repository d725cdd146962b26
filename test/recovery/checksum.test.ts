/** The checksum of BIP-93: the BIP's own strings, everything within the promise put right, nothing beyond it believed. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ALPHABET, checkSymbols, correct, prefixState, verifies } from '../../src/recovery/checksum.ts';

const symbolsOf = (text: string) => [...text.toUpperCase()].map((character) => ALPHABET.indexOf(character));
const MS = prefixState('ms');
const STATE = prefixState('holdfast');

describe('the checksum', () => {
  it.each([
    'ms10testsxxxxxxxxxxxxxxxxxxxxxxxxxx4nzvca9cmczlw',
    'MS12NAMEA320ZYXWVUTSRQPNMLKJHGFEDCAXRPP870HKKQRM',
    'ms13cashsllhdmn9m42vcsamx24zrxgs3qqjzqud4m0d6nln',
    'ms10leetsllhdmn9m42vcsamx24zrxgs3qrl7ahwvhw4fnzrhve25gvezzyqqtum9pgv99ycma',
  ])('is that of the BIP’s test vector %s', (vector) => {
    const symbols = symbolsOf(vector.slice(3));
    expect(verifies(MS, symbols)).toBe(true);
    expect(checkSymbols(MS, symbols.slice(0, -13))).toEqual(symbols.slice(-13));
    expect(verifies(STATE, symbols)).toBe(false);
  });
});

/** A valid string of 64 symbols, places to damage and what to put there. */
const damaged = (unreadable: number, wrong: number) =>
  fc.record({
    data: fc.array(fc.integer({ min: 0, max: 31 }), { minLength: 51, maxLength: 51 }),
    places: fc.uniqueArray(fc.integer({ min: 0, max: 63 }), {
      minLength: unreadable + wrong,
      maxLength: unreadable + wrong,
    }),
    changes: fc.array(fc.integer({ min: 1, max: 31 }), { minLength: wrong, maxLength: wrong }),
  });

describe('correction', () => {
  const promised = Array.from({ length: 9 }, (_, unreadable) =>
    Array.from({ length: ((8 - unreadable) >> 1) + 1 }, (__, wrong) => [unreadable, wrong] as const),
  ).flat();

  it.each(promised)('puts right %i unreadable and %i wrong symbols anywhere', (unreadable, wrong) => {
    fc.assert(
      fc.property(damaged(unreadable, wrong), ({ data, places, changes }) => {
        const valid = [...data, ...checkSymbols(STATE, data)];
        const lost = places.slice(0, unreadable);
        const bad = places.slice(unreadable);
        const received = [...valid];
        for (const place of lost) received[place] = 17;
        for (const [index, place] of bad.entries()) received[place] = valid[place]! ^ changes[index]!;
        const found = correct(STATE, received, lost);
        expect(found?.symbols).toEqual(valid);
        expect(found?.wrong).toEqual(bad.toSorted((a, b) => a - b));
      }),
      { numRuns: 200 },
    );
  });

  it('puts right every single wrong symbol', () => {
    const data = Array.from({ length: 51 }, (_, i) => (i * 7) & 31);
    const valid = [...data, ...checkSymbols(STATE, data)];
    for (let place = 0; place < 64; place++) {
      for (let change = 1; change < 32; change++) {
        const found = correct(STATE, valid.with(place, valid[place]! ^ change));
        expect(found?.symbols).toEqual(valid);
      }
    }
  });

  it('never corrects 5 to 8 mistakes to the same string, and hardly ever to another', () => {
    // Distance 9: five mistakes may by bad luck lie within four of another valid string. The rate is measured here, and
    // computed below for random input.
    let believed = 0;
    const runs = 4000;
    fc.assert(
      fc.property(
        fc.integer({ min: 5, max: 8 }).chain((wrong) => damaged(0, wrong)),
        ({ data, places, changes }) => {
          const valid = [...data, ...checkSymbols(STATE, data)];
          const received = [...valid];
          for (const [index, place] of places.entries()) received[place] = valid[place]! ^ changes[index]!;
          expect(verifies(STATE, received)).toBe(false);
          const found = correct(STATE, received);
          if (!found) return;
          believed++;
          expect(verifies(STATE, found.symbols)).toBe(true);
          expect(found.symbols).not.toEqual(valid);
        },
      ),
      // The same draws each time: about one such run in some thousands would believe a string.
      { numRuns: runs, seed: 1 },
    );
    console.log(`of ${runs} strings with 5 to 8 mistakes, ${believed} were corrected to a wrong one`);
    expect(believed).toBe(0);
  });

  it('believes random strings less often than 6 in 10^8, by counting, for every mixture of unreadable and wrong', () => {
    const choose = (n: number, k: number): number => (k === 0 ? 1 : (choose(n - 1, k - 1) * n) / k);
    const rates = promised.map(([unreadable, most]) => {
      // Strings within `most` of a valid one in the readable places, over all strings: a union bound.
      const near = Array.from({ length: most + 1 }, (_, wrong) => choose(64 - unreadable, wrong) * 31 ** wrong);
      return (near.reduce((sum, one) => sum + one, 0) * 32 ** unreadable) / 32 ** 13;
    });
    expect(Math.max(...rates)).toBeLessThan(6e-8);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 31 }), { minLength: 64, maxLength: 64 }), (symbols) => {
        expect(correct(STATE, symbols)).toBeUndefined();
      }),
      // The same draws each time: by the rate above, one such run in four thousand would believe a string.
      { numRuns: 4000, seed: 1 },
    );
  });

  it('may be fooled by mistakes that somebody chose, which is why a code counts only when it opens something', () => {
    // Two valid strings that differ in their last data symbol and twelve check symbols: after nine steps from one towards
    // the other, the other is the nearer one.
    const first = new Array<number>(51).fill(0);
    const second = first.with(50, 1);
    const here = [...first, ...checkSymbols(STATE, first)];
    const there = [...second, ...checkSymbols(STATE, second)];
    const steps = here.flatMap((symbol, place) => (symbol === there[place] ? [] : [place]));
    expect(steps).toHaveLength(13);
    const received = here.map((symbol, place) => (steps.slice(0, 9).includes(place) ? there[place]! : symbol));
    expect(correct(STATE, received)?.symbols).toEqual(there);
  });

  it('gives up on more than eight unreadable symbols and on strings longer than the code', () => {
    const data = new Array<number>(51).fill(3);
    const valid = [...data, ...checkSymbols(STATE, data)];
    expect(correct(STATE, valid, [0, 1, 2, 3, 4, 5, 6, 7, 8])).toBeUndefined();
    expect(correct(STATE, new Array<number>(94).fill(0))).toBeUndefined();
  });
});
