/** All evidence of a bundle: what is in order passes, and each piece that was tampered with has a code of its own. */

import { describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../src/core/index.ts';
import { type Statement, type StatementOf, verifyEvidence } from '../../src/evidence/index.ts';
import { deployment, nextEpoch, nodeKeys, point } from '../trust/manifests.ts';
import {
  CEREMONY_KEY,
  ceremonyOf,
  type EvidenceChanges,
  type EvidenceFolder,
  evidenceFolder,
  nodeKeysOf,
  signedPayload,
} from './scene.ts';

async function verdict({ manifest, files }: EvidenceFolder, earlier: EvidenceFolder['manifest'][] = []) {
  try {
    await verifyEvidence({
      manifest,
      earlier,
      read: async ({ sha256 }) => {
        const found = files.get(sha256);
        if (!found) throw new HoldfastError('not_found', 'no such file');
        return found;
      },
    });
    return 'verified';
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
}

const replaced =
  <K extends Statement['kind']>(kind: K, change: (statement: StatementOf<K>) => Statement) =>
  (all: Statement[]) =>
    all.map((each) => (each.kind === kind ? change(each as unknown as StatementOf<K>) : each));

/** What is changed, and the code that it is refused with. */
const TAMPERED: readonly (readonly [string, string, EvidenceChanges])[] = [
  [
    'the description of the evidence manifest',
    'evidence_mismatch',
    { evidence: (evidence) => ({ ...evidence, description: 'f'.repeat(64) }) },
  ],
  [
    'the key of a statement, which the manifest does not name',
    'evidence_signature',
    { evidence: (evidence) => ({ ...evidence, keys: [CEREMONY_KEY] }) },
  ],
  [
    'the key of a statement, to another of the manifest',
    'evidence_signature',
    {
      evidence: (evidence) => ({
        ...evidence,
        statements: evidence.statements.map((entry) => ({ ...entry, key: CEREMONY_KEY.name })),
      }),
    },
  ],
  [
    'the kind of a statement',
    'evidence_mismatch',
    {
      evidence: (evidence) => ({
        ...evidence,
        statements: evidence.statements.map((entry) =>
          entry.kind === 'software'
            ? { ...entry, kind: 'ceremony' }
            : entry.kind === 'ceremony'
              ? { ...entry, kind: 'software' }
              : entry,
        ),
      }),
    },
  ],
  [
    'the size of a statement',
    'evidence_wrong',
    {
      evidence: (evidence) => ({
        ...evidence,
        statements: evidence.statements.map((entry) => ({ ...entry, size: entry.size + 1 })),
      }),
    },
  ],
  [
    'a statement on another description',
    'evidence_mismatch',
    {
      statements: replaced('software', (statement) => ({
        ...statement,
        subject: { ...statement.subject, sha256: '0'.repeat(64) },
      })),
    },
  ],
  [
    'a statement whose subject has another fleet’s name',
    'evidence_mismatch',
    {
      statements: replaced('software', (statement) => ({
        ...statement,
        subject: { ...statement.subject, name: 'second description' },
      })),
    },
  ],
  [
    'a node’s statement left out',
    'evidence_missing',
    { statements: (all) => all.filter((each) => each.kind !== 'node-keys' || each.predicate.node !== 'node-2') },
  ],
  ['the ceremony left out', 'evidence_missing', { statements: (all) => all.filter(({ kind }) => kind !== 'ceremony') }],
  ['the software left out', 'evidence_missing', { statements: (all) => all.filter(({ kind }) => kind !== 'software') }],
  [
    'a possession signature by another key',
    'possession_invalid',
    {
      statements: replaced('node-keys', (statement) => ({
        ...statement,
        predicate: nodeKeysOf(deployment(), statement.predicate.node, 'thief'),
      })),
    },
  ],
  [
    'a possession signature for another label',
    'possession_invalid',
    {
      statements: replaced('node-keys', (statement) => ({
        ...statement,
        predicate: {
          ...statement.predicate,
          keys: statement.predicate.keys.map((key) => ({ ...key, label: `${key.label}-2` })),
        },
      })),
    },
  ],
  [
    'the identity key’s proof left out',
    'possession_invalid',
    {
      statements: replaced('node-keys', (statement) => ({
        ...statement,
        predicate: {
          ...statement.predicate,
          keys: statement.predicate.keys.map((key) => ({ ...key, proof: { kind: 'none', reason: 'no time' } })),
        },
      })),
    },
  ],
  [
    'another key of a node than the bundle’s',
    'evidence_mismatch',
    {
      statements: replaced('node-keys', (statement) => ({
        ...statement,
        predicate: {
          ...statement.predicate,
          keys: statement.predicate.keys.map((key) => (key.name === 'oprf' ? { ...key, publicKey: point('x') } : key)),
        },
      })),
    },
  ],
  [
    'a key that can leave its token',
    'evidence_mismatch',
    {
      statements: replaced('node-keys', (statement) => ({
        ...statement,
        predicate: {
          ...statement.predicate,
          keys: statement.predicate.keys.map((key) => ({
            ...key,
            attributes: { ...key.attributes, CKA_EXTRACTABLE: true },
          })),
        },
      })),
    },
  ],
  [
    'keys that the ceremony made',
    'evidence_mismatch',
    {
      statements: replaced('ceremony', (statement) => ({
        ...statement,
        predicate: ceremonyOf(deployment(), {
          keys: deployment().nodes.map(({ name }) => ({ node: name, keys: nodeKeys('others') })),
        }),
      })),
    },
  ],
  [
    'a node that the ceremony did not make',
    'evidence_mismatch',
    {
      statements: replaced('ceremony', (statement) => ({
        ...statement,
        predicate: ceremonyOf(deployment(), { keys: statement.predicate.keys.slice(1) }),
      })),
    },
  ],
  [
    'the serial of a token in the ceremony',
    'evidence_mismatch',
    {
      statements: replaced('ceremony', (statement) => ({
        ...statement,
        predicate: ceremonyOf(deployment(), {
          tokens: statement.predicate.tokens.map((token) => ({ ...token, serial: 'another' })),
        }),
      })),
    },
  ],
  [
    'what was destroyed, after the people had signed',
    'evidence_signature',
    {
      statements: replaced('ceremony', (statement) => ({
        ...statement,
        predicate: { ...statement.predicate, destroyed: [] },
      })),
    },
  ],
  [
    'the role of a person, after the people had signed',
    'evidence_signature',
    {
      statements: replaced('ceremony', (statement) => ({
        ...statement,
        predicate: {
          ...statement.predicate,
          people: statement.predicate.people.map((person) => ({ ...person, role: 'auditor' })),
        },
      })),
    },
  ],
  [
    'a payload that is no statement',
    'evidence_malformed',
    { signed: (files) => files.map((file, i) => (i === 0 ? signedPayload(utf8('{}'), CEREMONY_KEY) : file)) },
  ],
];

describe('the evidence of a bundle', () => {
  it('verifies', async () => {
    expect(await verdict(evidenceFolder())).toBe('verified');
  });

  it.each(TAMPERED)('with %s changed is refused: %s', async (_what, code, changes) => {
    expect(await verdict(evidenceFolder(changes))).toBe(code);
  });

  it('is not the file that the bundle names', async () => {
    const { manifest, files, evidence } = evidenceFolder();
    const other = evidenceFolder({ bundle: { coordinators: ['https://c.vault.example'] } });
    const content = other.files.get(other.manifest.evidence.sha256)!;
    files.set(manifest.evidence.sha256, content);
    expect(await verdict({ manifest, files, evidence })).toBe('evidence_wrong');
  });

  it('is not there', async () => {
    const folder = evidenceFolder();
    folder.files.delete(folder.evidence.statements[2]!.sha256);
    expect(await verdict(folder)).toBe('not_found');
  });

  it('has a statement that was swapped for another signed one', async () => {
    const folder = evidenceFolder();
    const [first, second] = folder.evidence.statements;
    folder.files.set(first!.sha256, folder.files.get(second!.sha256)!);
    expect(await verdict(folder)).toBe('evidence_wrong');
  });

  it('serves a renewal too, and other limits of the same nodes, but no other nodes', async () => {
    const { manifest, evidence, files } = evidenceFolder();
    const named = { evidence: manifest.evidence };
    const renewed = deployment({ ...named, serial: 2, previous: '1'.repeat(64), accepted: '1'.repeat(64) });
    expect(await verdict({ manifest: renewed, evidence, files })).toBe('verified');
    const limited = { ...renewed, policy: { ...renewed.policy, limit: 5 } };
    expect(await verdict({ manifest: limited, evidence, files })).toBe('evidence_mismatch');
    expect(await verdict({ manifest: limited, evidence, files }, [manifest])).toBe('verified');
    const moved = { ...renewed, ...nextEpoch(renewed, { 3: 'new-3' }) };
    expect(await verdict({ manifest: moved, evidence, files }, [manifest])).toBe('evidence_mismatch');
  });

  it('of the next epoch needs a ceremony for the new node only', async () => {
    const before = deployment();
    const epoch = {
      ...nextEpoch(before, { 3: 'new-3' }),
      serial: 2,
      previous: '1'.repeat(64),
      accepted: '1'.repeat(64),
    };
    const after = deployment(epoch);
    const onlyThird = (all: Statement[]) =>
      all.map((each): Statement => {
        if (each.kind === 'node-keys' && each.predicate.node === 'node-3') {
          return { ...each, predicate: nodeKeysOf(after, 'node-3', 'new-3') };
        }
        if (each.kind !== 'ceremony') return each;
        return { ...each, predicate: ceremonyOf(after, { keys: each.predicate.keys.slice(2) }) };
      });
    const folder = evidenceFolder({ bundle: epoch, statements: onlyThird });
    expect(await verdict(folder, [before])).toBe('verified');
    expect(await verdict(folder)).toBe('evidence_mismatch');
  });

  it('needs only the nodes’ keys in development', async () => {
    const changes = {
      bundle: { environment: 'development' },
      statements: (all: Statement[]) => all.filter(({ kind }) => kind === 'node-keys'),
    };
    expect(await verdict(evidenceFolder(changes))).toBe('verified');
  });
});
