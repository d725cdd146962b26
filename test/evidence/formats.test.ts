/** The formats of evidence: one form each, nothing unknown, nothing too large; and what any change of a byte comes to. */

import { p256 } from '@noble/curves/nist.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromUtf8, HoldfastError, sha256, utf8 } from '../../src/core/index.ts';
import {
  agreementTexts,
  bundleSubject,
  checkNodeKeys,
  descriptionDigest,
  descriptionSubject,
  type NodeKeysPredicate,
  parseEvidenceManifest,
  parseSigstoreBundle,
  parseStatement,
  publicKeyPem,
  type SoftwarePredicate,
  type Statement,
  serialiseEvidenceManifest,
  serialiseStatement,
  verifySigstoreBundle,
} from '../../src/evidence/index.ts';
import { deployment, point } from '../trust/manifests.ts';
import { CEREMONY_KEY, EVIDENCE_KEY, evidenceFolder, nodeKeysOf, signWith, statementsOf } from './scene.ts';

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'read';
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
};

const manifest = deployment();
const record: Statement = {
  kind: 'service-record',
  subject: bundleSubject('first', 'b'.repeat(64)),
  predicate: {
    gathered: manifest.notBefore,
    through: ['https://a.vault.example'],
    reports: [{ node: 2, statement: utf8('statement'), signature: utf8('signature') }],
  },
};
const STATEMENTS = [...statementsOf(manifest), record];
const folder = evidenceFolder();

describe('a statement', () => {
  it.each(STATEMENTS.map((each) => [each.kind, each] as const))(
    'of kind %s is read back as it was written',
    (_kind, each) => {
      const bytes = serialiseStatement(each);
      expect(parseStatement(bytes)).toEqual(each);
      expect(serialiseStatement(parseStatement(bytes))).toEqual(bytes);
    },
  );

  it.each(STATEMENTS.map((each) => [each.kind, each] as const))('of kind %s has no second form', (_kind, each) => {
    const text = fromUtf8(serialiseStatement(each));
    const value = JSON.parse(text) as Record<string, unknown>;
    for (const other of [
      `${text}\n`,
      ` ${text}`,
      JSON.stringify(value, undefined, 1),
      JSON.stringify({ ...value, extra: 1 }),
      JSON.stringify({ ...value, predicate: { ...(value.predicate as object), extra: 1 } }),
      text.replace('"subject":[', '"subject":[{"digest":{"sha256":"'.concat('0'.repeat(64), '"},"name":"other"},')),
      text.replace('{', '{"_type":"https://in-toto.io/Statement/v1",'),
      text.replace('Statement/v1', 'Statement/v2'),
      text.replace(/\/v1","subject/, '/v9","subject'),
    ])
      expect(`${codeOf(() => parseStatement(utf8(other)))} ${other.slice(0, 80)}`).toContain('evidence_malformed');
  });

  it('of any text reads as itself, or not at all', () => {
    const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(word, word, word, (version, name, builder) => {
        const predicate: SoftwarePredicate = {
          ...{ version, source: 'git+https://code.example/x', commit: 'a'.repeat(40), lockfile: '0'.repeat(64) },
          builder: `https://build.example/${encodeURIComponent(builder)}`,
          artifacts: [{ name, sha256: '1'.repeat(64) }],
        };
        const each: Statement = { kind: 'software', subject: descriptionSubject('first', '2'.repeat(64)), predicate };
        try {
          expect(parseStatement(serialiseStatement(each))).toEqual(each);
        } catch (error) {
          if (!(error instanceof HoldfastError)) throw error;
          expect(error.code).toBe('evidence_malformed');
          // Refused are only texts that could move a cursor or turn the direction of writing, and bad Unicode.
          expect(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(version + name) || !(version + name + builder).isWellFormed()).toBe(
            true,
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  it('of any bytes is refused with its code', () => {
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), fc.json().map(utf8)), (bytes) => {
        expect(codeOf(() => parseStatement(bytes))).toBe('evidence_malformed');
        expect(codeOf(() => parseSigstoreBundle(bytes))).toBe('evidence_malformed');
        expect(codeOf(() => parseEvidenceManifest(bytes))).toBe('evidence_malformed');
      }),
      { numRuns: 200 },
    );
  });

  it.each([
    [parseStatement, 700_001],
    [parseSigstoreBundle, 1_048_577],
    [parseEvidenceManifest, 262_145],
  ] as const)('larger than allowed is refused unread', (read, size) => {
    expect(codeOf(() => read(new Uint8Array(size).fill(0x20)))).toBe('evidence_malformed');
  });
});

describe('a signed statement', () => {
  const [entry] = folder.evidence.statements;
  const file = folder.files.get(entry!.sha256)!;

  it('with any byte changed does not verify', () => {
    fc.assert(
      fc.property(fc.nat(file.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const changed = file.with(at, file[at]! ^ flip);
        const code = codeOf(() => verifySigstoreBundle(changed, folder.evidence.keys));
        expect(['evidence_malformed', 'evidence_signature']).toContain(code);
      }),
      { numRuns: 200 },
    );
    expect(codeOf(() => verifySigstoreBundle(file, folder.evidence.keys))).toBe('read');
  });

  it('has no second form either', () => {
    const text = fromUtf8(file);
    for (const other of [
      text.trimEnd(),
      text.replace('"signatures":[{', '"signatures":[{"keyid":"x",'),
      text.replace('"publicKey":{', '"publicKey":{"rawBytes":"AA==",'),
      text.replace('v0.3+json', 'v0.2+json'),
      text.replace(/("signatures":\[)(.*?)(\])/, '$1$2,$2$3'),
    ])
      expect(codeOf(() => parseSigstoreBundle(utf8(other)))).toBe('evidence_malformed');
  });

  it('by ECDSA with s in the upper half is refused, so that no signature has a second form', () => {
    const { payload, signature, key } = parseSigstoreBundle(file);
    expect(key).toBe(CEREMONY_KEY.name);
    const half = p256.Signature.fromBytes(signature, 'der');
    const other = new p256.Signature(half.r, p256.Point.Fn.neg(half.s)).toBytes('der');
    const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
    const changed = utf8(fromUtf8(file).replace(base64(signature), base64(other)));
    expect(payload.length).toBeGreaterThan(100);
    expect(codeOf(() => verifySigstoreBundle(changed, folder.evidence.keys))).toBe('evidence_signature');
  });
});

describe('an evidence manifest', () => {
  const { evidence } = folder;

  it('is read back as it was written', () => {
    expect(parseEvidenceManifest(serialiseEvidenceManifest(evidence))).toEqual(evidence);
  });

  it.each([
    ['two keys of one name', { keys: [EVIDENCE_KEY, { ...CEREMONY_KEY, name: EVIDENCE_KEY.name }] }],
    ['one file twice', { statements: evidence.statements.map((each) => ({ ...each, sha256: '1'.repeat(64) })) }],
    ['no statement', { statements: [] }],
    [
      'two ceremonies',
      { statements: [0, 1].map((i) => ({ ...evidence.statements[0]!, sha256: String(i).repeat(64) })) },
    ],
    ['an address of another scheme', { statements: [{ ...evidence.statements[0]!, address: 'file:///etc/passwd' }] }],
    ['an address that leads upward', { statements: [{ ...evidence.statements[0]!, address: '../secret.json' }] }],
    ['a node’s statement without its node', { statements: [{ ...evidence.statements[1]!, node: undefined }] }],
    [
      'a key that is no point',
      { keys: [{ ...CEREMONY_KEY, spki: CEREMONY_KEY.spki.with(90, CEREMONY_KEY.spki[90]! ^ 1) }] },
    ],
    [
      'a file too large',
      {
        files: [
          { kind: 'transcript' as const, sha256: '2'.repeat(64), size: 5_000_000, address: `${'2'.repeat(64)}.txt` },
        ],
      },
    ],
  ] as const)('with %s is refused', (_what, changes) => {
    expect(codeOf(() => serialiseEvidenceManifest({ ...evidence, ...changes }))).toBe('evidence_malformed');
  });

  it('has keys that openssl reads', () => {
    expect(publicKeyPem(EVIDENCE_KEY)).toMatch(
      /^-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA[A-Za-z0-9+/=]{44}\n-----END PUBLIC KEY-----\n$/,
    );
  });
});

describe('a proof by agreement', () => {
  const secret = sha256(utf8('ephemeral'));
  const description = descriptionDigest(manifest);
  const label = 'holdfast/oprf';
  const texts = (changes: { secret?: Uint8Array; key?: Uint8Array } = {}) =>
    agreementTexts(
      { description, node: 'node-1', label },
      changes.secret ?? secret,
      changes.key ?? point('node-1 oprf'),
    )!;

  const statement = (proofSecret: Uint8Array, answer: string) => {
    const base = nodeKeysOf(manifest, 'node-1');
    const predicate: NodeKeysPredicate = {
      ...base,
      keys: base.keys.map((key) =>
        key.name === 'oprf'
          ? {
              ...key,
              proof: { kind: 'agreement', secret: proofSecret, signature: signWith('node-1 identity', utf8(answer)) },
            }
          : key,
      ),
    };
    return { kind: 'node-keys' as const, subject: descriptionSubject('first', description), predicate };
  };

  it('verifies where the node used its key, and is the same from both sides', () => {
    const made = texts();
    // What the node computes with its own secret and the ephemeral point.
    const shared = p256.getSharedSecret(sha256(utf8('node-1 oprf')), p256.getPublicKey(secret, false), true).slice(1);
    const own = p256.getSharedSecret(secret, point('node-1 oprf'), true).slice(1);
    expect(shared).toEqual(own);
    const { agreed } = checkNodeKeys(statement(secret, made.answer), manifest);
    expect(agreed).toEqual([{ key: 'oprf', ...made }]);
  });

  it.each([
    ['another secret than the one of the answer', sha256(utf8('other')), texts().answer],
    ['an answer by another key', secret, texts({ key: point('thief') }).answer],
    ['a secret that is no scalar', new Uint8Array(32), texts().answer],
  ])('with %s is refused', (_what, proofSecret, answer) => {
    expect(codeOf(() => checkNodeKeys(statement(proofSecret, answer), manifest))).toBe('possession_invalid');
  });
});
