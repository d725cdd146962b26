/** For test files that share a process: whatever one of them changes in the environment, it puts right before the next. */

import { afterAll, expect } from 'vitest';

const before = { ...process.env };

afterAll(() => {
  // Only names: a value may be somebody's secret. Tests of tokens set SOFTHSM2_CONF: they want a process of their own.
  const names = new Set([...Object.keys(before), ...Object.keys(process.env)]);
  expect([...names].filter((name) => process.env[name] !== before[name])).toEqual([]);
});
