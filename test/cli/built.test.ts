/** What the program knows of the commit that it was built from. */

import { describe, expect, it } from 'vitest';
import { buildFacts } from '../../scripts/build.ts';
import { built, parseBuilt } from '../../src/cli/built.ts';

const COMMIT = 'c'.repeat(40);

describe('build facts', () => {
  it('are those of the commit that is named, and the same again', () => {
    const environment = { SOURCE_COMMIT: COMMIT, SOURCE_DATE_EPOCH: '1795219200' };
    const text = buildFacts(environment);
    expect(buildFacts(environment)).toBe(text);
    expect(parseBuilt(text)).toMatchObject({ commit: COMMIT, time: 1_795_219_200_000 });
    expect(parseBuilt(text).lockfile).toMatch(/^[0-9a-f]{64}$/);
  });

  it('claim nothing of sources of which no commit is known', () => {
    expect(parseBuilt(buildFacts({ SOURCE_COMMIT: '', SOURCE_DATE_EPOCH: '0' }))).toMatchObject({
      commit: '',
      lockfile: '',
    });
    expect(built()).toMatchObject({ commit: '', lockfile: '' });
  });

  it('never tell an earlier time than the sources', () => {
    expect(parseBuilt(buildFacts({ SOURCE_COMMIT: COMMIT, SOURCE_DATE_EPOCH: '0' })).time).toBe(built().time);
  });

  it('that are damaged end the program', () => {
    for (const text of ['', '{}', '{"commit":"x","lockfile":"","time":0}', '{"commit":"","lockfile":"","time":-1}']) {
      expect(() => parseBuilt(text)).toThrow(expect.objectContaining({ code: 'usage' }) as Error);
    }
  });
});
