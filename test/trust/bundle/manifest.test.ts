import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../../src/core/index.ts';
import {
  canonicalJson,
  type DeployManifest,
  diffManifests,
  digestOf,
  fleetOf,
  type Manifest,
  parseBundle,
  requireLive,
  serialiseBundle,
} from '../../../src/trust/index.ts';
import {
  bundleNode,
  DAY,
  deployment,
  membership,
  NOW,
  nextEpoch,
  nodeKeys,
  retirement,
  revocation,
} from '../manifests.ts';

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
  return 'nothing';
};

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/);
const digest = fc.stringMatching(/^[0-9a-f]{64}$/);

const manifests: fc.Arbitrary<Manifest> = fc
  .record({
    vault: name,
    environment: name,
    fleet: name,
    epoch: fc.integer({ min: 1, max: 1000 }),
    serial: fc.integer({ min: 1, max: 1000 }),
    nodes: fc.constantFrom(1, 3, 5, 7, 9),
    previous: digest,
    accepted: fc.option(digest),
    start: fc.integer({ min: 0, max: 4_000_000_000 }),
    life: fc.integer({ min: 2, max: 40_000_000 }),
    /** Which token each node had in each of the epochs before. */
    tokens: fc.array(fc.array(fc.boolean(), { minLength: 9, maxLength: 9 }), { maxLength: 4 }),
    kind: fc.constantFrom('deploy' as const, 'retire' as const, 'revoke' as const),
    reason: fc.stringMatching(/^[a-zA-Z ü"\\]{1,40}$/),
    coordinators: fc.uniqueArray(name, { minLength: 1, maxLength: 5 }),
  })
  .map((drawn): Manifest => {
    const { vault, environment, epoch, serial } = drawn;
    const fleet = drawn.fleet === 'successor' ? 'fleet' : drawn.fleet;
    if (drawn.kind === 'revoke') {
      return {
        kind: 'revoke',
        vault,
        environment,
        fleet,
        epoch,
        serial,
        revokes: drawn.previous,
        reason: drawn.reason,
      };
    }
    const deployed = deployment({
      vault,
      environment,
      fleet,
      epoch,
      serial,
      previous: serial === 1 ? null : drawn.previous,
      accepted: serial === 1 ? null : drawn.accepted,
      notBefore: drawn.start * 1000,
      notAfter: (drawn.start + drawn.life) * 1000,
      nodes: Array.from({ length: drawn.nodes }, (_, i) => bundleNode(i + 1)),
      coordinators: drawn.coordinators.map((host) => `https://${host}.example`),
      policy: { ...deployment().policy, minimumShares: drawn.nodes },
    });
    const carried = drawn.tokens.slice(-(epoch - 1)).slice(0, epoch - 1);
    const earlier = carried.map((now, at) => ({
      epoch: epoch - carried.length + at,
      nodes: deployed.nodes.map(({ keys: { identity, oprf } }, i) => {
        const then = nodeKeys(`old-${i}`);
        return now[i] ? { identity, oprf } : { identity: then.identity, oprf: then.oprf };
      }),
    }));
    const full = earlier.length > 0 ? { ...deployed, earlier } : deployed;
    if (drawn.kind === 'deploy') return full;
    return retirement(full, { successor: 'successor', sunset: (drawn.start + drawn.life - 1) * 1000 });
  });

describe('a bundle’s text', () => {
  it('is read back as the manifest that it was made from', () => {
    fc.assert(
      fc.property(manifests, (manifest) => {
        const text = serialiseBundle(manifest);
        const read = parseBundle(text);
        expect(read.manifest).toEqual(manifest);
        expect(read.digest).toBe(digestOf(text));
        expect(serialiseBundle(read.manifest)).toBe(text);
      }),
      { numRuns: 100 },
    );
  });

  it('has no second form: whatever one character is changed to, it is refused or says something else', () => {
    const text = serialiseBundle(deployment());
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.string({ unit: 'binary', maxLength: 2 }), (at, put) => {
        const changed = text.slice(0, at) + put + text.slice(at + 1);
        if (changed === text) return;
        try {
          expect(parseBundle(changed).manifest).not.toEqual(deployment());
        } catch (error) {
          expect(error).toMatchObject({ code: 'bundle_malformed' });
        }
      }),
      { numRuns: 500 },
    );
  });

  it('is a line with its type and a line of canonical JSON', () => {
    const [type, json, end] = serialiseBundle(revocation({ fleet: 'first', serial: 4, digest: 'd'.repeat(64) })).split(
      '\n',
    );
    expect(type).toBe('holdfast/validation-bundle/v1');
    expect(json).toBe(
      '{"environment":"production","epoch":1,"fleet":"first","kind":"revoke","reason":"a node’s keys left its token",' +
        `"revokes":"${'d'.repeat(64)}","serial":4,"vault":"family"}`,
    );
    expect(end).toBe('');
  });

  it('gives the protocol’s fleet', () => {
    const { nodes, policy } = deployment();
    expect(fleetOf(deployment())).toEqual({ fleet: 'first', epoch: 1, nodes: nodes.map(({ keys }) => keys), policy });
  });

  it('gives the protocol’s fleet its earlier epochs, and has no member for none', () => {
    const second = { ...deployment(), ...nextEpoch(deployment(), { 3: 'new-3' }) };
    expect(fleetOf(second)).toMatchObject({ epoch: 2, earlier: [membership(deployment())] });
    expect(serialiseBundle({ ...deployment(), earlier: [] })).toBe(serialiseBundle(deployment()));
    const written = serialiseBundle(second);
    expect(fleetOf(requireLive(parseBundle(written)).manifest)).toEqual(fleetOf(second));
    const refused = [
      serialiseBundle(deployment()).replace('"environment"', '"earlier":[],"environment"'),
      written.replace('"earlier":[{"epoch":1', '"earlier":[{"epoch":2'),
      written.replace('"earlier":[{"epoch":1,', '"earlier":[{"epoch":1,"extra":1,'),
    ];
    for (const text of refused) expect(codeOf(() => parseBundle(text))).toBe('bundle_malformed');
  });

  it('is compared with the one before in words: who stays, what is carried, what is lost', () => {
    const first = deployment();
    const second = { ...first, ...nextEpoch(first, { 3: 'new-3' }) };
    expect(diffManifests(first, second).epochs).toEqual(['epoch 2 follows epoch 1: new tokens for node-3']);
    expect(diffManifests(first, second).changes.map(({ path }) => path)).toContain('earlier.1.3.oprf');
    expect(diffManifests(second, { ...second, earlier: [] }).epochs).toEqual([
      'epoch 1 is no longer carried: records not enrolled anew since then are lost',
    ]);
    const others = [1, 2, 3].map((number) => bundleNode(number, `other-${number}`));
    const anew = { ...first, epoch: 2, nodes: others };
    expect(diffManifests(first, anew).epochs[0]).toContain('no record of before can be recovered');
    const rewritten = { ...second, earlier: [membership({ ...first, nodes: others })] };
    expect(diffManifests(second, rewritten).epochs).toEqual(['it says otherwise than before who was in epoch 1']);
    expect(diffManifests(first, first).epochs).toEqual([]);
  });

  const text = serialiseBundle(deployment());
  it.each<[string, string]>([
    ['white space', text.replace('{"', '{ "')],
    ['members in another order', text.replace('{"accepted":null,', '{').replace('}\n', ',"accepted":null}\n')],
    ['an escape where none is needed', text.replace('"first"', '"\\u0066irst"')],
    ['a number in another form', text.replace('"epoch":1,', '"epoch":1.0,')],
    ['a member twice', text.replace('"epoch":1,', '"epoch":1,"epoch":1,')],
    ['an unknown member', text.replace('"epoch":1,', '"epoch":1,"extra":1,')],
    ['a member of another kind', text.replace('"vault":', `"sunset":"2030-01-01T00:00:00Z","vault":`)],
    ['a third line', `${text}more\n`],
    ['no newline at its end', text.slice(0, -1)],
    ['a carriage return', text.replace('\n{', '\r\n{')],
    ['another type', text.replace('bundle/v1', 'bundle/v2')],
    ['a wrong threshold', text.replace('"threshold":2', '"threshold":1')],
    ['a time with a fraction', text.replace('T00:00:00Z', 'T00:00:00.000Z')],
    ['a point that is not on the curve', text.replace(/"oprf":"B[^"]{10}/, (found) => `${found.slice(0, -2)}AA`)],
    ['more bytes than it may have', text.replace('"first"', `"${'f'.repeat(60_000)}"`)],
    ['deep nesting', `holdfast/validation-bundle/v1\n${'['.repeat(20_000)}${']'.repeat(20_000)}\n`],
    ['half a character', text.replace('first', '\ud800')],
  ])('is refused with %s', (_, changed) => {
    expect(changed).not.toBe(text);
    expect(codeOf(() => parseBundle(changed))).toBe('bundle_malformed');
  });

  it.each<[string, Partial<DeployManifest>]>([
    ['two nodes', { nodes: [bundleNode(1), bundleNode(2)] }],
    ['a key twice', { nodes: [bundleNode(1), bundleNode(2), { ...bundleNode(3), keys: nodeKeys('node-1') }] }],
    ['a name twice', { nodes: [bundleNode(1), bundleNode(2), { ...bundleNode(3), name: 'node-1' }] }],
    [
      'an endpoint twice',
      { nodes: [bundleNode(1), bundleNode(2), { ...bundleNode(3), endpoint: bundleNode(1).endpoint }] },
    ],
    ['an end before its beginning', { notAfter: NOW - 11 * DAY }],
    ['a previous bundle at serial 1', { previous: 'a'.repeat(64) }],
    ['no previous bundle at serial 2', { serial: 2 }],
    [
      'an operator whose name ends in a space',
      { nodes: [bundleNode(1), bundleNode(2), { ...bundleNode(3), operator: 'a ' }] },
    ],
    ['a coordinator without TLS', { coordinators: ['http://a.vault.example'] }],
    ['evidence at another scheme', { evidence: { sha256: 'e'.repeat(64), address: 'file:///etc/passwd' } }],
  ])('is not written with %s', (_, changes) => {
    expect(codeOf(() => serialiseBundle(deployment(changes)))).toBe('bundle_malformed');
  });

  it('is not written for a fleet that retires to itself, or after its end', () => {
    expect(codeOf(() => serialiseBundle(retirement(deployment(), { successor: 'first' })))).toBe('bundle_malformed');
    expect(codeOf(() => serialiseBundle(retirement(deployment(), { sunset: NOW + 356 * DAY })))).toBe(
      'bundle_malformed',
    );
  });
});

describe('canonical JSON', () => {
  it('sorts members by UTF-16 code units, as the example of RFC 8785 section 3.2.3 does', () => {
    const value = { '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5, '\u0080': 6, '\u00f6': 7 };
    expect(canonicalJson(value)).toBe('{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😀":5,"\ufb33":3}');
  });

  it('escapes as section 3.2.2.2 does', () => {
    expect(canonicalJson('\u20ac$\u000f\nA\'B"\\\\"/')).toBe('"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"');
  });

  it.each([1.5, 2 ** 53, Number.NaN, -0, Number.POSITIVE_INFINITY])('refuses %d', (value) => {
    expect(codeOf(() => canonicalJson(value))).toBe('bad_input');
  });
});
