/** Trust files: what is written is read back, and nothing else is read. */

import { p256 } from '@noble/curves/nist.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/core/index.ts';
import { DEFAULT_POLICY, successorOf } from '../../src/protocol/index.ts';
import { type PinnedTrust, parseTrustFile, serialiseTrustFile } from '../../src/trust/index.ts';

const point = (seed: number) => {
  const secret = new Uint8Array(32);
  new DataView(secret.buffer).setUint32(28, seed + 1);
  return p256.getPublicKey(secret, false);
};
const nodesOf = (n: number) =>
  Array.from({ length: n }, (_, i) => ({
    identity: point(3 * i),
    session: point(3 * i + 1),
    oprf: point(3 * i + 2),
  }));
const NOW = Date.UTC(2030, 0, 1);
const PEM = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
const trust: PinnedTrust = {
  fleet: { fleet: 'fleet-a', epoch: 1, nodes: nodesOf(3), policy: { ...DEFAULT_POLICY, minimumShares: 3 } },
  environment: 'production',
  expires: NOW + 86_400_000,
  names: ['node-1', 'node-2', 'node-3'],
  coordinators: ['https://vault.example', 'http://localhost:8080'],
  authority: PEM,
};
const text = serialiseTrustFile(trust);
const file = JSON.parse(text);

function codeOf(content: unknown, now = NOW): string {
  try {
    parseTrustFile(typeof content === 'string' ? content : JSON.stringify(content), { now });
    return 'accepted';
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    expect(error.message.length).toBeLessThan(300);
    return error.code;
  }
}

describe('a trust file', () => {
  it('carries earlier epochs, by the keys that still matter', () => {
    const next = successorOf(trust.fleet, new Map([[2, nodesOf(4)[3]!]]));
    const carried = parseTrustFile(serialiseTrustFile({ ...trust, fleet: next }), { now: NOW });
    expect(carried.fleet).toEqual(next);
    const raw = JSON.parse(serialiseTrustFile({ ...trust, fleet: next }));
    expect(Object.keys(raw.earlier[0].nodes[0])).toEqual(['identity', 'oprf']);
    for (const earlier of [
      [],
      [{ epoch: 1, nodes: [] }],
      [{ epoch: 1 }],
      [{ ...raw.earlier[0], more: 1 }],
      [{ ...raw.earlier[0], epoch: 2 }],
    ]) {
      expect(codeOf({ ...raw, earlier })).toBe('bad_input');
    }
    expect(codeOf({ ...raw, earlier: [{ epoch: 1, nodes: raw.nodes.map(() => raw.nodes[0]) }] })).toBe('bad_input');
  });

  it('is read back as it was written, whatever is in it', () => {
    const anyTrust = fc
      .record({
        n: fc.constantFrom(1, 3, 5),
        epoch: fc.integer({ min: 1, max: 2 ** 40 }),
        limit: fc.integer({ min: 1, max: 100 }),
        waits: fc.array(fc.integer({ min: 0, max: 86_400 }), { minLength: 1, maxLength: 12 }),
        takeover: fc.oneof(
          fc.constant({ kind: 'off' as const }),
          fc.constant({ kind: 'immediate' as const }),
          fc.integer({ min: 1, max: 31_536_000 }).map((seconds) => ({ kind: 'delayed' as const, seconds })),
        ),
        days: fc.integer({ min: 1, max: 3650 }),
        authority: fc.constantFrom(undefined, PEM),
      })
      .map(({ n, epoch, limit, waits, takeover, days, authority }) => ({
        ...trust,
        fleet: {
          fleet: 'fleet-a',
          epoch,
          nodes: nodesOf(n),
          policy: {
            ...DEFAULT_POLICY,
            limit,
            lifetimeLimit: 5 * limit,
            waits,
            takeover,
            minimumShares: n === 5 ? 4 : n,
          },
        },
        names: Array.from({ length: n }, (_, i) => `node-${i}`),
        expires: NOW + days * 86_400_000,
        authority,
      }));
    fc.assert(
      fc.property(anyTrust, (one) => {
        expect(parseTrustFile(serialiseTrustFile(one), { now: NOW })).toEqual(one);
      }),
      { numRuns: 50 },
    );
  });

  it('has expired from the very moment that it names', () => {
    expect(codeOf(text, trust.expires - 1)).toBe('accepted');
    expect(codeOf(text, trust.expires)).toBe('trust_expired');
    expect(codeOf(text, Number.NaN)).toBe('trust_expired');
  });

  const node = file.nodes[0];
  const flipped = `${node.identity.slice(0, 40)}${node.identity[40] === 'A' ? 'B' : 'A'}${node.identity.slice(41)}`;
  it.each<[string, unknown]>([
    ['nothing', ''],
    ['a list', []],
    ['an unknown member', { ...file, note: 'x' }],
    ['an unknown member of the policy', { ...file, policy: { ...file.policy, guesses: 3 } }],
    ['an unknown member of a node', { ...file, nodes: [{ ...node, url: 'x' }, ...file.nodes.slice(1)] }],
    ['a member twice', text.replace('{', '{"epoch": 2,')],
    ['a member twice, once in escapes', text.replace('{', '{"\\u0065poch": 2,')],
    ['another format', { ...file, format: 'holdfast/trust/v2' }],
    ['no environment', { ...file, environment: undefined }],
    ['an environment in capitals', { ...file, environment: 'PROD' }],
    ['an even number of nodes', { ...file, nodes: file.nodes.slice(0, 2) }],
    ['no nodes', { ...file, nodes: [] }],
    ['nodes out of order', { ...file, nodes: [...file.nodes].reverse() }],
    ['a key twice', { ...file, nodes: [{ ...node, session: node.identity }, ...file.nodes.slice(1)] }],
    ['a key that is no point', { ...file, nodes: [{ ...node, identity: flipped }, ...file.nodes.slice(1)] }],
    ['a short key', { ...file, nodes: [{ ...node, oprf: 'AAAA' }, ...file.nodes.slice(1)] }],
    ['a name twice', { ...file, nodes: file.nodes.map((one: object) => ({ ...one, name: 'same' })) }],
    ['a limit of nothing', { ...file, policy: { ...file.policy, limit: 0 } }],
    ['too few shares', { ...file, policy: { ...file.policy, minimumShares: 2 } }],
    [
      'seconds on a takeover that is off',
      { ...file, policy: { ...file.policy, takeover: { kind: 'off', seconds: 5 } } },
    ],
    ['a delayed takeover without seconds', { ...file, policy: { ...file.policy, takeover: { kind: 'delayed' } } }],
    ['a date that is none', { ...file, expires: '2030-02-30T00:00:00Z' }],
    ['a date with an offset', { ...file, expires: '2030-02-20T00:00:00+01:00' }],
    ['a date without a time', { ...file, expires: '2030-02-20' }],
    ['plain HTTP to elsewhere', { ...file, coordinators: ['http://vault.example'] }],
    ['a coordinator with a path', { ...file, coordinators: ['https://vault.example/v1'] }],
    ['a coordinator with a password', { ...file, coordinators: ['https://a:b@vault.example'] }],
    ['a script for a coordinator', { ...file, coordinators: ['javascript:alert(1)'] }],
    ['no coordinators', { ...file, coordinators: [] }],
    ['an authority that is a key', { ...file, authority: PEM.replaceAll('CERTIFICATE', 'PRIVATE KEY') }],
    ['two authorities', { ...file, authority: PEM + PEM }],
    ['a great length', ' '.repeat(70_000)],
    ['great depth', `${'['.repeat(30_000)}${']'.repeat(30_000)}`],
  ])('with %s is refused', (_, content) => {
    expect(codeOf(content)).toBe('bad_input');
  });

  it('damaged anywhere is refused or says something else, and never throws anything of its own', () => {
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ minLength: 1, maxLength: 2 }), (at, change) => {
        expect(['bad_input', 'trust_expired', 'accepted']).toContain(
          codeOf(text.slice(0, at) + change + text.slice(at + 1)),
        );
      }),
      { numRuns: 200 },
    );
  });

  it('is not written where it would not be read', () => {
    const wrong = (change: Partial<PinnedTrust>) => () => serialiseTrustFile({ ...trust, ...change });
    expect(wrong({ names: ['a', 'b'] })).toThrow(/name/);
    expect(wrong({ expires: Number.NaN })).toThrow(/time/);
    expect(wrong({ coordinators: ['ftp://x.example'] })).toThrow(/https/);
  });
});
