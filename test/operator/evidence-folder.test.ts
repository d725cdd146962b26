/** Evidence as a folder: parts from several hands in one manifest, and nothing that was changed afterwards. */

import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { fileEntry, parseEvidenceManifest, type Statement, verifyEvidence } from '../../src/evidence/index.ts';
import {
  addStatement,
  assembleEvidence,
  publishEvidence,
  readEvidenceFile,
  readEvidenceFolder,
} from '../../src/operator/index.ts';
import { canonicalJson } from '../../src/trust/index.ts';
import { CEREMONY_KEY, EVIDENCE_KEY, signed, statementsOf } from '../evidence/scene.ts';
import { deployment } from '../trust/manifests.ts';

const keyOf = ({ kind }: Statement) => (kind === 'ceremony' ? CEREMONY_KEY : EVIDENCE_KEY);
const empty = () => mkdtempSync(join(tmpdir(), 'evidence-'));

async function folderWith(statements: readonly Statement[] = statementsOf(deployment())): Promise<string> {
  const folder = empty();
  for (const each of statements) await addStatement(folder, each, signed(each, keyOf(each)), keyOf(each));
  return folder;
}

describe('a folder of evidence', () => {
  it('is what a cosigner verifies, whoever made which part', async () => {
    const folder = await folderWith();
    const { sha256, manifest } = await assembleEvidence(folder);
    expect(manifest.statements.map(({ kind }) => kind).toSorted()).toEqual([
      ...['ceremony', 'node-keys', 'node-keys', 'node-keys', 'software'],
    ]);
    expect((await readEvidenceFolder(folder)).entry.sha256).toBe(sha256);
    const bundle = deployment({ evidence: { sha256, address: 'https://vault.example/evidence/x.json' } });
    const verified = await verifyEvidence({ manifest: bundle, read: readEvidenceFile(folder) });
    expect(verified.ceremony?.made).toEqual(['node-1', 'node-2', 'node-3']);
  });

  it('is the same whenever it is put together, and follows what was added', async () => {
    const [software, ...rest] = statementsOf(deployment()).toReversed();
    const folder = await folderWith(rest);
    const before = await assembleEvidence(folder);
    expect((await assembleEvidence(folder)).sha256).toBe(before.sha256);
    await addStatement(folder, software!, signed(software!, EVIDENCE_KEY), EVIDENCE_KEY);
    const after = await assembleEvidence(folder);
    expect(after.sha256).not.toBe(before.sha256);
    expect(after.manifest.statements).toHaveLength(before.manifest.statements.length + 1);
    // What a bundle may have named stays there.
    expect(readdirSync(folder)).toContain(`${before.sha256}.json`);
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('takes parts that others wrote, with files beside statements', async () => {
    const folder = await folderWith();
    const transcript = utf8('all that was typed');
    const { address, ...entry } = fileEntry(transcript, '.txt');
    writeFileSync(join(folder, address), transcript);
    const part = JSON.parse(readFileSync(join(folder, 'parts-ceremony.json'), 'utf8'));
    part.files = [{ kind: 'transcript', ...entry, address }];
    writeFileSync(join(folder, 'parts-ceremony.json'), canonicalJson(part));
    const { manifest } = await assembleEvidence(folder);
    expect(manifest.files).toEqual([{ kind: 'transcript', ...entry, address }]);
    const uploaded: [string, number][] = [];
    const logged: string[] = [];
    const submission = {
      evidenceFile: async (kind: string, content: Uint8Array) => void uploaded.push([kind, content.length]),
      evidence: async ({ address: where }: { address: string }) => logged.push(where),
    };
    const named = await publishEvidence({ folder, submission, site: 'https://log.example' });
    expect(named.address).toBe(`https://log.example/evidence/${named.sha256}.json`);
    expect(uploaded).toHaveLength(7);
    expect(uploaded).toContainEqual(['txt', transcript.length]);
    // Every statement, and last what the bundle names.
    expect(logged).toHaveLength(6);
    expect(logged.at(-1)).toBe(named.address);
  });

  it('is refused where anything of it is not what it was', async () => {
    const code = async (work: Promise<unknown>) =>
      work.then(
        () => 'done',
        (error: { code: string }) => error.code,
      );
    expect(await code(assembleEvidence(empty()))).toBe('usage');
    expect(await code(assembleEvidence(join(empty(), 'nowhere')))).toBe('usage');
    expect(await code(readEvidenceFolder(empty()))).toBe('usage');
    const changed = await folderWith();
    const [statement] = readdirSync(changed).filter((name) => /^[0-9a-f]{64}/.test(name));
    writeFileSync(join(changed, statement!), '{}');
    expect(await code(assembleEvidence(changed))).toBe('evidence_wrong');
    const mixed = await folderWith();
    const [other] = statementsOf(deployment({ coordinators: ['https://c.vault.example'] }));
    await addStatement(mixed, other!, signed(other!, CEREMONY_KEY), CEREMONY_KEY);
    expect(await code(assembleEvidence(mixed))).toBe('evidence_mismatch');
    const renamed = await folderWith();
    const impostor = { ...CEREMONY_KEY, name: EVIDENCE_KEY.name };
    const [ceremony] = statementsOf(deployment());
    await addStatement(renamed, ceremony!, signed(ceremony!, impostor), impostor);
    expect(await code(assembleEvidence(renamed))).toBe('evidence_mismatch');
    const part = await folderWith();
    writeFileSync(join(part, 'parts.json'), '[]');
    expect(await code(assembleEvidence(part))).toBe('evidence_malformed');
    expect(() => parseEvidenceManifest(utf8('{}'))).toThrow();
  });
});
