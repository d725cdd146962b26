/** Parts of the transparency page that need no browser: which site, and what changed in plain words. */

import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { changesOf } from '../../src/pages/transparency/changes.ts';
import { recall, remember } from '../../src/pages/transparency/memory.ts';
import { siteOf } from '../../src/pages/transparency/site.ts';
import { TEXTS } from '../../src/pages/transparency/texts.ts';
import type { LiveManifest } from '../../src/trust/index.ts';
import { DAY, deployment, nextEpoch, retirement } from '../trust/manifests.ts';

describe('the site that is checked', () => {
  test.each([
    ['https://log.example/', undefined, 'https://log.example', true],
    ['https://log.example/about/index.html', undefined, 'https://log.example/about', true],
    ['http://127.0.0.1:8444/', undefined, 'http://127.0.0.1:8444', true],
    ['https://witness.example/page/?site=https://log.example', undefined, 'https://log.example', false],
    ['https://witness.example/page/', 'https://log.example/vault/', 'https://log.example/vault', false],
    [
      'https://witness.example/?site=https://log.example/x%20y',
      'https://other.example',
      'https://log.example/x%20y',
      false,
    ],
  ])('of %s, named %s, is %s', (page, named, address, own) => {
    expect(siteOf(page, named)).toEqual({ address, own });
  });

  test.each([
    'javascript:alert(1)',
    'http://log.example',
    'data:text/plain,x',
    'https://user:word@log.example',
    'https://',
    'file:///etc',
  ])('is never %s', (site) => {
    const page = `https://witness.example/?site=${encodeURIComponent(site)}`;
    expect(() => siteOf(page)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  test('of any query is an address of https, the page’s own, or refused', () => {
    fc.assert(
      fc.property(fc.string(), (site) => {
        try {
          const { address, own } = siteOf(`http://127.0.0.1:1/?site=${encodeURIComponent(site)}`);
          expect(address.startsWith(own ? 'http://127.0.0.1:1' : 'https://')).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ code: 'usage' });
        }
      }),
    );
  });
});

describe('what changed', () => {
  const first = deployment();
  const chained = { serial: 2, previous: 'a'.repeat(64), accepted: 'a'.repeat(64) };
  const second = (changes: Partial<LiveManifest>) => ({ ...first, ...changes, ...chained }) as LiveManifest;
  const sentences = (changes: Partial<LiveManifest>) => changesOf(first, second(changes)).sentences;

  test('from nothing is that the fleet begins', () => {
    expect(changesOf(undefined, first)).toEqual({
      sentences: [`The fleet begins, with ${first.nodes.length} nodes run by 3 operators.`],
      weaker: [],
    });
  });

  test('in a renewal is how long it is announced, and nothing else', () => {
    const until = first.notAfter + 300 * DAY;
    expect(sentences({ notBefore: first.notBefore + DAY })).toEqual([]);
    expect(sentences({ notAfter: until })).toEqual([`It is announced until ${TEXTS.words.date(until)}.`]);
  });

  test('in limits is said with both figures, and that it is weaker', () => {
    const policy = { ...first.policy, limit: first.policy.limit + 2 };
    const { sentences: said, weaker } = changesOf(first, second({ policy }));
    expect(said).toEqual([`Guesses in a row: ${policy.limit}, before that ${first.policy.limit}.`]);
    expect(weaker).toEqual([`More guesses in a row: ${policy.limit} instead of ${first.policy.limit}.`]);
  });

  test('in the nodes is said node by node, without keys', () => {
    const changed = nextEpoch(first, { 2: 'another' });
    const { sentences: said } = changesOf(first, second(changed));
    expect(said).toContain('node-2 has new keys, in a new token.');
    expect(said.join(' ')).toContain('Epoch 2 follows epoch 1: new tokens for node-2.');
    expect(said.join(' ')).not.toMatch(/identity|oprf|session/);
    const nodes = first.nodes.map((node, i) =>
      i === 0 ? { ...node, region: 'elsewhere', operator: 'other.example' } : node,
    );
    expect(sentences({ nodes })).toEqual([
      `node-1 is run by other.example instead of ${first.nodes[0]!.operator}.`,
      `node-1 stands in elsewhere instead of ${first.nodes[0]!.region}.`,
    ]);
  });

  test('in a retirement is where records go, and until when', () => {
    const retired = retirement(first);
    expect(changesOf(first, second(retired)).sentences[0]).toBe(
      `The fleet is retired: records move to second, and can be recovered here until ${TEXTS.words.date(retired.sunset)}.`,
    );
  });
});

describe('what is remembered of a log', () => {
  const seenAt = (size: number, root: string) => ({
    seen: { origin: 'log.example', size, root: root.repeat(64) },
    at: size,
    passed: true,
  });

  test('is never taken back by a check of another tab that saw less, or something else', () => {
    const stored = new Map<string, string>();
    vi.stubGlobal('localStorage', {
      getItem: (key: string) => stored.get(key) ?? null,
      setItem: (key: string, value: string) => void stored.set(key, value),
    });
    try {
      const site = 'https://log.example';
      remember(site, seenAt(12, 'b'));
      remember(site, seenAt(10, 'a'));
      remember(site, seenAt(12, 'c'));
      expect(recall(site)!.seen).toEqual(seenAt(12, 'b').seen);
      remember(site, { ...seenAt(12, 'b'), at: 20 });
      expect(recall(site)!.at).toBe(20);
      remember(site, seenAt(13, 'd'));
      expect(recall(site)!.seen.size).toBe(13);
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
