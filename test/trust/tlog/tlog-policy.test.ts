import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../../src/core/index.ts';
import {
  cosign,
  everyQuorumIncludes,
  isQuorum,
  minimalQuorums,
  minimumOverlap,
  minimumQuorumSize,
  newVerifierKey,
  parseTlogPolicy,
  parseVerifierKey,
  type QuorumRule,
  quorumMet,
  quorumsIntersect,
  quorumTime,
  type SignedNote,
  serialiseCheckpoint,
  serialiseTlogPolicy,
  signNote,
  softwareNoteSigner,
  toBase64,
  verifyCheckpoint,
  witnessesOf,
} from '../../../src/trust/index.ts';
import { ecdsaSigner, ed25519Key } from './keys.ts';

const fails = (code: string) => expect.objectContaining({ code });
const origin = 'log.example/a';
const logSigner = softwareNoteSigner(origin, ed25519Key('log'));
const NAMES = ['X1', 'X2', 'X3', 'Y1', 'Y2', 'Y3'];
const witnesses = new Map(
  NAMES.map((name) => [name, softwareNoteSigner(`${name}.example`, ed25519Key(name), 'cosignature')]),
);
const vkey = (name: string) => witnesses.get(name)!.verifierKey;

/** The specification's example, with keys. */
const EXAMPLE = `log ${logSigner.verifierKey}

witness X1 ${vkey('X1')}
witness X2 ${vkey('X2')} https://x2.example/
witness X3 ${vkey('X3')}
group X-witnesses 2 X1 X2 X3

# The others
witness Y1 ${vkey('Y1')}
witness Y2 ${vkey('Y2')}
 \twitness\tY3  ${vkey('Y3')}\t
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
`;
const policy = parseTlogPolicy(EXAMPLE);
const set = (...names: string[]) => new Set(names);

describe('a policy', () => {
  it('is read as in the specification’s example', () => {
    expect(policy.logs).toEqual([{ key: parseVerifierKey(logSigner.verifierKey), url: undefined }]);
    expect(policy.witnesses.map(({ name }) => name)).toEqual(NAMES);
    expect(policy.witnesses[1]!.url).toBe('https://x2.example/');
    expect(policy.groups).toEqual([
      { name: 'X-witnesses', threshold: 2, members: ['X1', 'X2', 'X3'] },
      { name: 'Y-witnesses', threshold: 1, members: ['Y1', 'Y2', 'Y3'] },
      { name: 'X-and-Y', threshold: 2, members: ['X-witnesses', 'Y-witnesses'] },
    ]);
    expect(isQuorum(policy.rule, set('X1', 'X3', 'Y2'))).toBe(true);
    expect(isQuorum(policy.rule, set('X1', 'Y1', 'Y2', 'Y3'))).toBe(false);
    expect(isQuorum(policy.rule, set('X1', 'X2', 'X3'))).toBe(false);
  });

  it('is written in one form, which reads as the same', () => {
    const written = serialiseTlogPolicy(policy);
    expect(written).not.toContain('#');
    expect(parseTlogPolicy(written)).toEqual(policy);
    expect(serialiseTlogPolicy(parseTlogPolicy(written))).toBe(written);
    const [group, ...groups] = policy.groups;
    const renamed = { ...policy, groups: [{ ...group!, name: 'X witnesses' }, ...groups] };
    expect(() => serialiseTlogPolicy(renamed)).toThrow(fails('bad_input'));
    for (const url of ['', 'a b', 'a\nquorum none']) {
      const withUrl = { ...policy, logs: [{ ...policy.logs[0]!, url }] };
      expect(() => serialiseTlogPolicy(withUrl)).toThrow(fails('bad_input'));
    }
  });

  it('may ask for no cosignature at all', () => {
    const none = parseTlogPolicy('quorum none\n');
    expect(none).toEqual({ logs: [], witnesses: [], groups: [], quorum: 'none', rule: null });
    expect(isQuorum(none.rule, set())).toBe(true);
    expect(quorumsIntersect(none.rule)).toBe(false);
    expect(minimalQuorums(none.rule)).toEqual([[]]);
  });

  it('takes names as they stand: no case, no normalisation', () => {
    const read = parseTlogPolicy(`witness K ${vkey('X1')}\nwitness \u212a ${vkey('X2')}\nquorum \u212a\n`);
    expect(isQuorum(read.rule, set('K'))).toBe(false);
    // A no-break space is no white space here, but part of a name.
    expect(parseTlogPolicy(`witness a\u00a0b ${vkey('X1')}\nquorum a\u00a0b\n`).quorum).toBe('a\u00a0b');
  });

  it('counts nothing by keys of types that are unknown here', () => {
    const mldsa = `m.example+01020304+${toBase64(new Uint8Array(1313).fill(6))}`;
    const read = parseTlogPolicy(`witness M ${mldsa}\nquorum M\n`);
    expect(read.witnesses[0]!.key.type).toBe('unknown');
  });

  const w = (name: string, key = name) => `witness ${name} ${vkey(key)}\n`;
  const sameKey = newVerifierKey('other.example', 'cosignature', parseVerifierKey(vkey('X1')).publicKey).text;
  const sameLog = newVerifierKey('other.example', 'ed25519', parseVerifierKey(logSigner.verifierKey).publicKey).text;
  it.each([
    ['nothing', ''],
    ['no quorum', w('X1')],
    ['no newline at its end', 'quorum none'],
    ['two quorums', 'quorum none\nquorum none\n'],
    ['a quorum of nobody', 'quorum X1\n'],
    ['a quorum before what it names', `quorum X1\n${w('X1')}`],
    ['a quorum of two names', `${w('X1')}${w('X2')}quorum X1 X2\n`],
    ['an unknown line', 'quorum none\nwitnesses\n'],
    ['a keyword in capitals', 'Quorum none\n'],
    ['a carriage return', 'quorum none\r\n'],
    ['a NUL', 'quorum none\n#\0\n'],
    ['a DEL', 'quorum none\n#\x7f\n'],
    ['half a character', 'quorum none\n#\ud800\n'],
    ['a witness without a key', 'witness X1\nquorum X1\n'],
    ['a witness with too many words', `witness X1 ${vkey('X1')} a b\nquorum X1\n`],
    ['a witness with a broken key', `witness X1 ${vkey('X1').slice(0, -1)}\nquorum X1\n`],
    ['a witness with a log’s key', `witness X1 ${logSigner.verifierKey}\nquorum X1\n`],
    ['a log with a witness’s key', `log ${vkey('X1')}\nquorum none\n`],
    ['two witnesses of one name', `${w('X1')}${w('X1', 'X2')}quorum X1\n`],
    ['two witnesses of one key', `${w('X1')}witness X2 ${sameKey}\nquorum X1\n`],
    ['two logs of one key', `log ${logSigner.verifierKey}\nlog ${sameLog}\nquorum none\n`],
    ['a witness called none', `${w('none', 'X1')}quorum none\n`],
    ['a group called none', `${w('X1')}group none 1 X1\nquorum none\n`],
    ['a group of the name of a witness', `${w('X1')}group X1 1 X1\nquorum X1\n`],
    ['a group of nobody', `${w('X1')}group g any\nquorum X1\n`],
    ['a group of itself', `${w('X1')}group g any X1 g\nquorum g\n`],
    ['a group of what comes later', `group g any X1\n${w('X1')}quorum g\n`],
    ['a group with none', `${w('X1')}group g any X1 none\nquorum g\n`],
    ['a member twice', `${w('X1')}group g any X1 X1\nquorum g\n`],
    ['a member of two groups', `${w('X1')}${w('X2')}group g any X1\ngroup h any X1 X2\nquorum g\n`],
    ['a threshold of 0', `${w('X1')}group g 0 X1\nquorum g\n`],
    ['a threshold above its members', `${w('X1')}group g 2 X1\nquorum g\n`],
    ['a threshold in another form', `${w('X1')}group g 01 X1\nquorum g\n`],
    ['a threshold in hex', `${w('X1')}group g 0x1 X1\nquorum g\n`],
  ])('is refused with %s', (_, text) => {
    expect(() => parseTlogPolicy(text)).toThrow(fails('bad_input'));
  });

  it('has limits: 64 of each kind, and a length', () => {
    const lines = Array.from({ length: 65 }, (_, i) => {
      const key = newVerifierKey('w', 'cosignature', new Uint8Array(32).fill(i + 1)).text;
      return `witness w${i} ${key}\n`;
    });
    expect(parseTlogPolicy(`${lines.slice(0, 64).join('')}quorum w0\n`).witnesses).toHaveLength(64);
    expect(() => parseTlogPolicy(`${lines.join('')}quorum w0\n`)).toThrow(fails('bad_input'));
    expect(() => parseTlogPolicy(`${'#'.repeat(300_000)}\nquorum none\n`)).toThrow(fails('too_large'));
  });

  it('says on which line it went wrong', () => {
    expect(() => parseTlogPolicy('# one\nquorum nobody\n')).toThrow(/line 2/);
  });

  it('fails by its own errors only', () => {
    const words = fc.constantFrom(
      'log',
      'witness',
      'group',
      'quorum',
      'none',
      'any',
      'all',
      '1',
      'X1',
      'g',
      vkey('X1'),
      '#',
      '\n',
      '\t',
      '\0',
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 30 }), (parts) => {
        try {
          const read = parseTlogPolicy(`${parts.join(' ')}\n`);
          expect(parseTlogPolicy(serialiseTlogPolicy(read))).toEqual(read);
        } catch (error) {
          expect(error).toBeInstanceOf(HoldfastError);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('what a quorum rule says', () => {
  it('of the example: quorums meet, but only among the Xs', () => {
    expect(witnessesOf(policy.rule)).toEqual(NAMES);
    expect(minimalQuorums(policy.rule)).toHaveLength(3 * 3);
    expect(minimalQuorums(policy.rule)[0]).toEqual(['X1', 'X2', 'Y1']);
    expect(minimumOverlap(policy.rule)).toBe(1);
    expect(minimumQuorumSize(policy.rule)).toBe(3);
    expect(everyQuorumIncludes(policy.rule, set('X1', 'X2'))).toBe(true);
    expect(everyQuorumIncludes(policy.rule, set('X1'))).toBe(false);
    expect(everyQuorumIncludes(policy.rule, set('Y1', 'Y2', 'Y3'))).toBe(true);
  });

  it('does not look at all sets where there are many', () => {
    const members = Array.from({ length: 64 }, (_, i) => ({ name: `w${i}` }));
    const half: QuorumRule = { name: 'half', threshold: 33, members };
    expect(minimumOverlap(half)).toBe(2);
    expect(() => minimalQuorums(half)).toThrow(fails('too_large'));
    expect(minimalQuorums({ ...half, threshold: 63 })).toHaveLength(64);
  });

  /** Rules of at most 7 witnesses, each of which stands once. */
  const rules = fc
    .array(fc.record({ parent: fc.nat(100), threshold: fc.nat(100) }), { minLength: 1, maxLength: 7 })
    .map((choices): QuorumRule => {
      const groups: { name: string; threshold: number; members: QuorumRule[] }[] = [];
      for (const [i, { parent, threshold }] of choices.entries()) {
        const group = groups[parent % (groups.length + 1)];
        if (group) group.members.push({ name: `w${i}` });
        else groups.push({ name: `g${groups.length}`, threshold, members: [{ name: `w${i}` }] });
      }
      // Groups hang in a chain, the last being the innermost.
      for (let i = groups.length - 1; i > 0; i--) groups[i - 1]!.members.push(groups[i]!);
      for (const group of groups) group.threshold = 1 + (group.threshold % group.members.length);
      return groups[0]!;
    });

  it('is what looking at all sets finds', () => {
    fc.assert(
      fc.property(rules, (rule) => {
        const names = witnessesOf(rule);
        const subsets = Array.from({ length: 2 ** names.length }, (_, bits) =>
          names.filter((_name, i) => (bits >> i) & 1),
        );
        const quorums = subsets.filter((names) => isQuorum(rule, new Set(names)));
        const minimal = quorums.filter((quorum) =>
          quorum.every((name) => !isQuorum(rule, new Set(quorum.filter((other) => other !== name)))),
        );
        const sorted = (sets: string[][]) => sets.map((names) => names.toSorted().join()).sort();
        expect(sorted(minimalQuorums(rule))).toEqual(sorted(minimal));
        const overlaps = quorums.flatMap((a) => quorums.map((b) => a.filter((name) => b.includes(name)).length));
        expect(minimumOverlap(rule)).toBe(Math.min(...overlaps));
        expect(quorumsIntersect(rule)).toBe(!overlaps.includes(0));
        expect(minimumQuorumSize(rule)).toBe(Math.min(...quorums.map(({ length }) => length)));
        for (const some of subsets) {
          const included = quorums.every((quorum) => quorum.some((name) => some.includes(name)));
          expect(everyQuorumIncludes(rule, new Set(some))).toBe(included);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('a checkpoint under a policy', () => {
  const text = serialiseCheckpoint({ origin, size: 9, root: new Uint8Array(32).fill(3) });
  const now = 1_800_000_000;

  async function cosigned(times: Readonly<Record<string, number>>, signedText = text): Promise<SignedNote> {
    const { signatures } = await signNote(signedText, [logSigner]);
    const lines = await Promise.all(
      Object.entries(times).map(([name, t]) => cosign(signedText, witnesses.get(name)!, t)),
    );
    return { text: signedText, signatures: [...signatures, ...lines] };
  }

  it('tells who cosigned when, and whether that is a quorum in time', async () => {
    const note = await cosigned({ X1: now - 50, Y1: now - 10, X3: now - 100 });
    const { checkpoint, log, cosignatures } = verifyCheckpoint(note, policy);
    expect(checkpoint).toMatchObject({ origin, size: 9 });
    expect(log.key.name).toBe(origin);
    expect(cosignatures.map(({ witness, seconds }) => [witness.name, seconds])).toEqual([
      ['X1', now - 50],
      ['X3', now - 100],
      ['Y1', now - 10],
    ]);
    expect(quorumMet(policy, cosignatures, { from: now - 100, to: now - 10 })).toBe(true);
    expect(quorumMet(policy, cosignatures, { from: now - 99, to: now })).toBe(false);
    expect(quorumMet(policy, cosignatures, { from: 0, to: now - 11 })).toBe(false);
    expect(quorumTime(policy, cosignatures)).toBe(now - 100);
    expect(quorumTime(policy, cosignatures, { to: now - 11 })).toBeUndefined();
    expect(quorumTime(policy, cosignatures.slice(1))).toBeUndefined();
    expect(quorumTime(parseTlogPolicy('quorum none\n'), cosignatures)).toBeUndefined();
  });

  it('takes the freshest quorum there is', async () => {
    const note = await cosigned({ X1: now - 50, X2: now - 20, X3: now - 90, Y1: now - 10, Y2: now - 500 });
    expect(quorumTime(policy, verifyCheckpoint(note, policy).cosignatures)).toBe(now - 50);
  });

  it('does not let a witness’s clock that is fast make it fresher', async () => {
    const note = await cosigned({ X1: now + 1000, X2: now - 900, X3: now - 800, Y1: now });
    const { cosignatures } = verifyCheckpoint(note, policy);
    expect(quorumTime(policy, cosignatures)).toBe(now - 800);
    expect(quorumTime(policy, cosignatures, { to: now })).toBe(now - 900);
  });

  it('is refused without the log’s signature, whoever cosigned', async () => {
    const note = await cosigned({ X1: now, X2: now, Y1: now });
    const [own, ...others] = note.signatures;
    expect(() => verifyCheckpoint({ text, signatures: others }, policy)).toThrow(fails('untrusted'));
    const stranger = await signNote(text, [ecdsaSigner(origin)]);
    const swapped = { text, signatures: [...stranger.signatures, ...others] };
    expect(() => verifyCheckpoint(swapped, policy)).toThrow(fails('untrusted'));
    expect(verifyCheckpoint({ text, signatures: [own!] }, policy).cosignatures).toEqual([]);
  });

  it('is refused from another origin, although a log of the policy signed it', async () => {
    const other = text.replace(origin, 'log.example/b');
    expect(() => verifyCheckpoint({ text: other, signatures: [] }, policy)).toThrow(fails('untrusted'));
    const note = await cosigned({}, other);
    expect(() => verifyCheckpoint(note, policy)).toThrow(fails('untrusted'));
  });

  it('is refused with one wrong cosignature of a known witness, and with extension lines', async () => {
    const note = await cosigned({ X1: now });
    const wrong = await cosign(text.replace('\n9\n', '\n8\n'), witnesses.get('Y1')!, now);
    const spoiled = { text, signatures: [...note.signatures, wrong] };
    expect(() => verifyCheckpoint(spoiled, policy)).toThrow(fails('untrusted'));
    const extended = await cosigned({ X1: now }, `${text}extension\n`);
    expect(() => verifyCheckpoint(extended, policy)).toThrow(fails('malformed'));
  });
});
