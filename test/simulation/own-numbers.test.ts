/** What the checker makes of elements that were sent for several numbers. */

import { expect, it } from 'vitest';
import { haveOwnNumbers } from './checker.ts';

const sets = (...elements: number[][]) => elements.map((numbers) => new Set(numbers));

it.each([
  [[], true],
  [[[2], [2, 4]], true],
  [[[2, 4], [2]], true],
  [[[2], [2]], false],
  [
    [
      [1, 2],
      [2, 3],
      [1, 3],
    ],
    true,
  ],
  [
    [
      [1, 2],
      [1, 2],
      [1, 2],
    ],
    false,
  ],
  [[[1], [2], [1, 2]], false],
  [[[]], false],
] as const)('%j: a number for each is %s', (elements, expected) => {
  expect(haveOwnNumbers(sets(...elements.map((each) => [...each])))).toBe(expected);
});
